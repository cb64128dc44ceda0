"""Reinforcement learning of a student on rows of the dataset, to a registered model version.

    plan = rl_plan(lake, home, settings, parent)   # what would be trained, and under which id
    finished(lake, home, plan)                     # the model, if that was done before
    train(lake, home, settings, plan)              # else train, measure, register

Identity: method, the weights begun from, the rows (version, snapshot, files), settings, seed, and
the text-to-image model and scorers that the reward looks through.  The row in `model_versions` is
the commit: until it is there, the same command goes on from the last checkpoint.  Free of Prefect.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.device import pick_device
from models.tis import load_token_counter
from models.train.card import write_card
from models.train.clock import Clock
from models.train.distributed import accelerator, gathered, is_main, rank, wait
from models.train.policy import student_hash
from schemas.errors import TrainingError
from schemas.identity import content_id
from schemas.settings import Settings
from tasks.model_folder import WORK, alone, place, writing
from tasks.model_versions import ModelVersion, find_model, register_model, resolve_model
from tasks.plan import Plan, now, plan_of
from tasks.progress import stage
from tasks.sft import measured_as
from tasks.training_data import TrainingData, training_data
from tasks.training_log import Report, Samples, fifths, total, with_drift
from warehouse import Warehouse

LOG = logging.getLogger(__name__)
Log = Callable[[int, dict[str, float]], None]  # takes a step's number and its terms
PICTURES = ("pictures_asked", "pictures_rendered")  # terms of a step, and figures of the run
# How often something is written, and what is only looked at, is no part of a model's id.
NOT_IDENTITY = {"checkpoint_every", "samples_every", "dataset_version", "parquet"}


@dataclass(frozen=True)
class RlPlan:
    """What would be trained: from which model, on which rows, as which model id."""

    model_id: str
    begun: ModelVersion
    data: TrainingData


def rl_plan(lake: Warehouse, home: Path, settings: Settings, parent: str) -> RlPlan:
    """Resolve what would be trained; hashes files, loads nothing.

    Raises ModelError for the parent, WarehouseError and SourceError for the data.
    """
    begun = resolve_model(lake, home, parent, settings.student)
    data = training_data(lake, settings.rl, "rl")
    return RlPlan(identity(plan_of(settings), begun, data), begun, data)


def identity(plan: Plan, begun: ModelVersion, data: TrainingData) -> str:
    """What determines the trained weights."""
    return content_id(
        "model", plan.settings.rl.method, begun.model_id, data.identity,
        plan.settings.rl.model_dump(mode="json", exclude=NOT_IDENTITY),
        plan.tis.tis_id if plan.tis else None, [scorer.scorer_id for scorer in plan.scorers],
        plan.settings.student.max_new_tokens, plan.settings.student.dtype,
    )  # fmt: skip


def finished(lake: Warehouse, home: Path, plan: RlPlan) -> dict[str, Any] | None:
    """What `train` would return, where the model of this plan is registered already."""
    known = find_model(lake, home, plan.model_id)
    return known and known.as_result("method", "status")


def train(lake: Warehouse, home: Path, settings: Settings, plan: RlPlan) -> dict[str, Any]:
    """Train, save, measure, register; returns model_id, folder, method, status, reason, metrics.

    Raises TrainingError with what to do; the last good checkpoint is kept, and the same call goes
    on from it.
    """
    folder = home / "models" / plan.model_id
    with alone(folder, is_main()):
        policy, ended, metrics = _fit(lake, settings, plan, folder)
        wait()
        result = {
            "model_id": plan.model_id, "folder": str(folder), "method": settings.rl.method,
            "status": ended.status, "reason": ended.reason, "metrics": metrics,
        }  # fmt: skip
        if is_main():
            metrics |= _measured(policy, plan, settings)
            _finish(lake, folder, settings, plan, policy, result)
    return result


def _fit(
    lake: Warehouse, settings: Settings, plan: RlPlan, folder: Path
) -> tuple[Any, Any, dict[str, Any]]:
    """Run the loop; returns the trained policy, how it ended, and figures of the run."""
    from models.train.baselines import train_trl
    from models.train.policy import load_policy
    from models.train.questions import fitting, questions_of
    from models.train.reward import MEASURES, Reward
    from models.train.rl import Sinks, train_ppo
    from models.train.surrogate import Surrogate
    from tasks.judging import Judge
    from tasks.known_scores import known_scores

    build, chosen = plan_of(settings), settings.rl
    judge = Judge(lake, build, chosen.reward.seeds, MEASURES)
    assert build.tis is not None
    surrogate = None
    if chosen.reward.surrogate is not None:
        known = known_scores(lake, build, chosen.reward)
        surrogate = Surrogate(chosen.reward.surrogate, known, folder / WORK / f"surrogate-{rank()}")
    count, budget = load_token_counter(settings.tis), build.tis.token_budget
    reward = Reward(chosen.reward, judge, count, budget, surrogate=surrogate)
    policy = load_policy(str(plan.begun.folder), settings.student)
    longest = settings.student.max_new_tokens
    batches = plan.data.batches("train", chosen.max_examples)
    asked = questions_of((row for b in batches for row in b.to_pylist()), plan.data.parents())
    questions, left_out = fitting(asked, policy, longest, count, budget)
    _say_left_out(plan, len(asked), left_out, longest, budget)
    drift = surrogate.drift if surrogate else {}
    with stage("rl", chosen.steps) as advance:
        report = Report(
            lake, plan.model_id, folder / "events", advance, chosen.checkpoint_every, drift
        )  # fmt: skip
        log = _counting(report, judge)
        if chosen.method == "ppo":
            ended = train_ppo(
                policy, questions, reward, chosen, folder / WORK,
                Sinks(_apart(log, judge.clock), Samples(lake, plan.model_id, judge)),
                max_new_tokens=longest, accelerator=accelerator(),
                ahead=runs_ahead(settings, policy),
            )  # fmt: skip
        else:
            ended = train_trl(
                policy, plan.begun.folder, questions, reward, chosen, folder / WORK, log,
                max_new_tokens=longest,
            )  # fmt: skip
    report.close()
    wait()  # the log of all steps, of those before a restart too
    pictures = {name: int(total(lake, plan.model_id, name)) for name in PICTURES}
    figures = {"steps": len(ended.history), "scales": list(ended.scales), "left_out": left_out}
    course = fifths(with_drift(ended.history, drift), chosen.epoch_steps)
    return policy, ended, figures | course | pictures


def _counting(report: Log, judge: Any) -> Log:
    """`report` with the pictures of all processes since the step before, found ones counted."""
    before = dict.fromkeys(PICTURES, 0)

    def log(step: int, terms: dict[str, float]) -> None:
        now = dict(zip(PICTURES, (judge.asked, judge.rendered), strict=True))
        since = {name: float(sum(gathered([now[name] - before[name]]))) for name in PICTURES}
        before.update(now)
        report(step, terms | since)

    return log


def _apart(report: Log, pictures: Clock) -> Log:
    """`report` with the seconds of rendering and scoring beside those of the rest of the reward.

    Where pictures are made beside the update, `seconds_reward` is the wait for them and stays; so
    does that of a process's first step, before which σ may have been measured.
    """
    first = True

    def log(step: int, terms: dict[str, float]) -> None:
        nonlocal first
        spent = pictures.parts()
        left = terms["seconds_reward"] - sum(spent.values())
        if not first and left >= 0:
            terms = terms | spent | {"seconds_reward": left}
        first = False
        report(step, terms)

    return log


def _say_left_out(
    plan: RlPlan, asked: int, left_out: dict[str, int], longest: int, budget: int
) -> None:
    """Warn of questions that cannot be asked; raises TrainingError if none can."""
    out = sum(left_out.values())
    if not out:
        return
    said = (
        f"of the {asked} questions of {plan.data.title} can be asked: {left_out['context']} leave "
        f"no room for an answer of student.max_new_tokens = {longest} tokens in the student's "
        f"context, {left_out['token_budget']} have a raw prompt over the text-to-image model's "
        f"{budget} tokens"
    )
    if out == asked:
        raise TrainingError(f"None {said}.")
    LOG.warning("%d %s", asked - out, said)


def runs_ahead(settings: Settings, policy: Any) -> bool:
    """Whether pictures are made beside the update: if their device is not the student's."""
    if settings.rl.ahead != "auto":
        return settings.rl.ahead == "always"
    return pick_device(settings.tis.device, "tis.device") != str(policy.device)


def _measured(policy: Any, plan: RlPlan, settings: Settings) -> dict[str, Any]:
    """Figures on the test split of the trained model, and under "base" of the one it began as."""
    from models.train.measure import measure
    from models.train.policy import load_policy

    rows, plain = plan.data.cases(settings.sft.measured_cases)
    parents, known = plan.data.parents(), plan.begun.metrics or {}
    how = measured_as(settings)
    with stage("measure", 0) as advance:
        found = measure(policy, rows, parents, advance, plain) | {"measured_as": how}
        same_data = (plan.begun.settings or {}).get("data") == plan.data.identity
        if same_data and known.get("measured_as") == how:
            return found | {"base": {name: known[name] for name in ("test", "hard")}}
        begun = load_policy(str(plan.begun.folder), settings.student)
        return found | {"base": measure(begun, rows, parents, advance, plain)}


def _finish(
    lake: Warehouse, folder: Path, settings: Settings, plan: RlPlan, policy: Any,
    result: dict[str, Any],
) -> None:  # fmt: skip
    """Save the checkpoint with its card and register it."""
    from tasks.opening import code_revision  # brings Prefect

    begun, version, build = plan.begun, plan.data.version or {}, plan_of(settings)
    policy.model.generation_config.max_new_tokens = settings.student.max_new_tokens
    with writing(folder):
        policy.model.save_pretrained(folder / WORK / "model", safe_serialization=True)
        policy.tokenizer.save_pretrained(folder / WORK / "model")
    place(folder / WORK / "model", folder)
    columns = {
        "model_id": plan.model_id,
        "method": settings.rl.method,
        "base": begun.base if begun.method == "base" else f"models/{begun.model_id}",
        "base_hash": student_hash(begun.folder),
        "parent_model_id": None if begun.method == "base" else begun.model_id,
        "dataset_version": version.get("version"),
        "snapshot_id": version.get("snapshot_id"),
        "settings": {
            "rl": settings.rl.model_dump(mode="json"),
            "student": settings.student.model_dump(mode="json"),
            "data": plan.data.identity,
            "tis": build.tis.tis_id if build.tis else None,  # rows of tis_models and scorers
            "scorers": [scorer.scorer_id for scorer in build.scorers],
        },
        "settings_hash": settings.hash(),
        "seed": settings.rl.seed,
        "status": result["status"],
        "folder": f"models/{plan.model_id}",
        "weights_hash": student_hash(folder),
        "metrics": result["metrics"],
        "code_revision": code_revision(),
        "trained_at": now(),
    }
    reason = f" ({result['reason']})" if result["reason"] else ""
    course = f"{result['metrics']['steps']}, ended: {result['status']}{reason}"
    write_card(folder, columns, plan.data.title, course)
    register_model(lake, **columns)
    shutil.rmtree(folder / WORK, ignore_errors=True)
