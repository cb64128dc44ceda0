"""`retrain`: build what is new, train, evaluate against the champion, promote or keep.

    prefect deployment run retrain/embedded         (after `make up`)
    diffchat retrain                                (the same, in this process)

Order and parameters only.  Each step is wanted − have, so a second run with nothing new does
nothing and says so; a step that fails ends the run, and the champion stays.  The trigger on
`instructpe.published` starts it without its build step: a build that published starts a training,
and a training never starts a build that would start it again.  Trainings run on a worker of the
pool `gpu` where one is up, else here; the flow of a training then finds its model done.
"""

from typing import Any

from prefect import flow

from flows.build_instructpe import build_instructpe
from flows.evaluate import evaluate
from flows.train_rl import train_rl
from flows.train_sft import train_sft
from tasks.evaluating import resolve_evaluation
from tasks.opening import resolve, up_to_date
from tasks.placing import place_rl, place_sft
from tasks.promoting import contenders, promote


@flow(name="retrain", persist_result=False)
def retrain(
    profile: str = "embedded",
    overrides: dict[str, Any] | None = None,
    build: bool = True,
    rl: bool = True,
) -> dict[str, Any]:
    """Build, SFT, RL, evaluate, promote; returns what each step did.

    Args:
        profile: a name in `profiles/`, or the path of a TOML file.
        overrides: dotted settings, such as {"sft.epochs": 2}.
        build: first build the increment; the trigger on a published version leaves it out.
        rl: train by reinforcement learning after SFT.
    """
    steps: dict[str, Any] = {}
    run = resolve(profile, overrides, False)
    if build and not up_to_date(run):
        steps["build"] = build_instructpe(profile, overrides)
    asked = {"profile": profile, "overrides": overrides}
    placed = place_sft(run, asked)
    steps["sft"] = train_sft(profile, overrides)
    steps["sft"]["new"] |= placed
    candidate = steps["sft"]["model_id"]
    if rl:
        placed = place_rl(run, asked | {"parent": candidate})
        steps["rl"] = train_rl(profile, overrides, candidate)
        steps["rl"]["new"] |= placed
        candidate = steps["rl"]["model_id"]
    evaluation = resolve_evaluation(profile, overrides, (), None)
    names = contenders(evaluation, candidate)
    steps["evaluate"] = evaluate(profile, overrides, names)
    steps["promote"] = promote(evaluation, steps["evaluate"]["evaluation_id"], candidate)
    worked = [name for name in steps if steps[name].get("new", False)]
    return steps | {"candidate": candidate, "worked": worked}
