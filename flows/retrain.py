"""`retrain`: build what is new, train, evaluate against the champion, promote or keep.

    prefect deployment run retrain/embedded         (after `make up`)
    diffchat retrain                                (the same, in this process)

Order and parameters only.  Each step is wanted − have, so a second run with nothing new does
nothing and says so; a step that fails ends the run, and the champion stays.  The trigger on
`instructpe.published` starts it without its build step: a build that published starts a training,
and a training never starts a build that would start it again.
"""

from typing import Any

from prefect import flow

from flows.build_instructpe import build_instructpe
from flows.evaluate import evaluate
from flows.train_rl import train_rl
from flows.train_sft import train_sft
from tasks.evaluating import resolve_evaluation
from tasks.opening import resolve, up_to_date
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
    if build and not up_to_date(resolve(profile, overrides, False)):
        steps["build"] = build_instructpe(profile, overrides)
    steps["sft"] = train_sft(profile, overrides)
    candidate = steps["sft"]["model_id"]
    if rl:
        steps["rl"] = train_rl(profile, overrides, candidate)
        candidate = steps["rl"]["model_id"]
    run = resolve_evaluation(profile, overrides, (), None)
    names = contenders(run, candidate)
    steps["evaluate"] = evaluate(profile, overrides, names)
    steps["promote"] = promote(run, steps["evaluate"]["evaluation_id"], candidate)
    worked = [name for name in steps if steps[name].get("new", False)]
    return steps | {"candidate": candidate, "worked": worked}
