"""Reinforcement learning of a student on a dataset version, to a registered model version.

    plan = rl_plan(lake, home, settings, parent)   # what would be trained, and under which id
    finished(lake, home, plan)                     # the model, if that was done before
    train(lake, home, settings, plan)              # else train, measure, register

Identity: method, the weights begun from, dataset version and snapshot, settings, seed, and the
text-to-image model and scorers that the reward looks through.  The row in `model_versions` is the
commit: until it is there, the same command goes on from the last checkpoint.  Free of Prefect.
"""

import json
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models.tis import load_token_counter
from models.train.distributed import is_main, wait
from models.weights import write_sums
from schemas.errors import TrainingError
from schemas.identity import content_id
from schemas.records import TRAINING_LOG, TRAINING_SAMPLES
from schemas.settings import Settings
from tasks.model_versions import ModelVersion, find_model, register_model, resolve_model
from tasks.plan import Plan, now, plan_of
from tasks.progress import stage
from warehouse import Warehouse

if TYPE_CHECKING:
    from tasks.judging import Judge

# How often something is written, and what is only looked at, is no part of a model's id.
NOT_IDENTITY = {"checkpoint_every", "samples_every", "dataset_version"}
QUESTIONS = """
SELECT triple_id, parent_triple_id, raw_prompt, instruction, target_prompt, edit_kind, intent, units
FROM published_rows WHERE version = $1 AND split = $2 ORDER BY triple_id
"""


@dataclass(frozen=True)
class RlPlan:
    """What would be trained: from which model, on which version, as which model id."""

    model_id: str
    begun: ModelVersion
    dataset: dict[str, Any]  # row of dataset_versions


def rl_plan(lake: Warehouse, home: Path, settings: Settings, parent: str) -> RlPlan:
    """Resolve what would be trained; hashes files, loads nothing.

    Raises ModelError for the parent, TrainingError for the dataset version.
    """
    dataset = dataset_of(lake, settings.rl.dataset_version)
    begun = resolve_model(lake, home, parent, settings.student)
    return RlPlan(identity(plan_of(settings), begun, dataset), begun, dataset)


def finished(lake: Warehouse, home: Path, plan: RlPlan) -> ModelVersion | None:
    """The registered model of this plan, or None."""
    return find_model(lake, home, plan.model_id)


def train(lake: Warehouse, home: Path, settings: Settings, plan: RlPlan) -> dict[str, Any]:
    """Train, save, measure, register; returns model_id, folder, method, status, reason, metrics.

    Raises TrainingError with what to do; the last good checkpoint is kept, and the same call goes
    on from it.
    """
    folder = home / "models" / plan.model_id
    ended, metrics = _run(lake, settings, plan, folder)
    wait()
    result = {
        "model_id": plan.model_id, "folder": str(folder / "final"), "method": settings.rl.method,
        "status": ended.status, "reason": ended.reason, "metrics": metrics,
    }  # fmt: skip
    if not is_main():
        return result
    from tasks.opening import code_revision

    begun = plan.begun
    register_model(
        lake,
        model_id=plan.model_id,
        method=settings.rl.method,
        base=str(begun.folder),
        base_hash=_hash_of(begun.folder),
        parent_model_id=None if begun.method == "base" else begun.model_id,
        dataset_version=plan.dataset["version"],
        snapshot_id=plan.dataset["snapshot_id"],
        settings=settings.rl.model_dump(mode="json") | {"scales": list(ended.scales)},
        settings_hash=settings.hash(),
        seed=settings.rl.seed,
        status=ended.status,
        folder=str((folder / "final").relative_to(home)),
        weights_hash=_hash_of(folder / "final"),
        metrics=metrics,
        code_revision=code_revision(),
        trained_at=now(),
    )
    return result


def dataset_of(lake: Warehouse, version: int | None) -> dict[str, Any]:
    """The row of `dataset_versions`; raises TrainingError that lists what there is."""
    rows = lake.query("FROM dataset_versions WHERE status = 'published' ORDER BY version")
    known = {row["version"]: row for row in rows.to_pylist()}
    if not known:
        raise TrainingError("No dataset version is published yet: run `diffchat build` first.")
    if version is None:
        return known[max(known)]
    if version not in known:
        raise TrainingError(
            f"rl.dataset_version = {version}: there is no such published version; there are "
            f"{', '.join(map(str, known))}."
        )
    return known[version]


def identity(plan: Plan, begun: ModelVersion, dataset: dict[str, Any]) -> str:
    """What determines the trained weights."""
    return content_id(
        "model", plan.settings.rl.method, begun.model_id, dataset["version"],
        dataset["snapshot_id"], plan.settings.rl.model_dump(mode="json", exclude=NOT_IDENTITY),
        plan.tis.tis_id if plan.tis else None, [scorer.scorer_id for scorer in plan.scorers],
        plan.settings.student.max_new_tokens,
    )  # fmt: skip


def _run(
    lake: Warehouse, settings: Settings, plan: RlPlan, folder: Path
) -> tuple[Any, dict[str, Any]]:
    """Run the loop, save the finished folder; returns how it ended and the model's figures."""
    from models.train.baselines import train_trl
    from models.train.events import Events
    from models.train.measure import measure
    from models.train.policy import load_policy
    from models.train.questions import questions_of
    from models.train.reward import MEASURES, Reward
    from models.train.rl import Sinks, train_ppo
    from tasks.judging import Judge

    build = plan_of(settings)
    rows = lake.query(QUESTIONS, [plan.dataset["version"], "train"]).to_pylist()
    questions = questions_of(rows[: settings.rl.max_examples], {r["triple_id"]: r for r in rows})
    judge = Judge(lake, build, settings.rl.reward.seeds, MEASURES)
    assert build.tis is not None
    reward = Reward(
        settings.rl.reward, judge, load_token_counter(settings.tis), build.tis.token_budget
    )
    log = TrainingLog(lake, plan.model_id, judge, settings.rl.checkpoint_every)
    with stage("rl", settings.rl.steps) as advance:
        report = Report(Events(folder / "events") if is_main() else None, log, advance)
        policy = load_policy(str(plan.begun.folder), settings.student)
        if settings.rl.method == "ppo":
            ended = train_ppo(
                policy, questions, reward, settings.rl, folder / "checkpoints",
                Sinks(report, log.samples), accelerator=accelerator(),
                max_new_tokens=settings.student.max_new_tokens,
            )  # fmt: skip
        else:
            ended = train_trl(
                policy, plan.begun.folder, questions, reward, settings.rl, folder / "checkpoints",
                report, max_new_tokens=settings.student.max_new_tokens,
            )  # fmt: skip
    report.close()
    if is_main():
        save(policy, folder / "final", settings, plan.model_id, ended)
    tests = lake.query(QUESTIONS, [plan.dataset["version"], "test"]).to_pylist()
    tests = tests[: settings.sft.measured_cases]
    metrics = measure(policy, tests, {row["triple_id"]: row for row in tests})
    asked = {"pictures_asked": judge.asked, "pictures_rendered": judge.rendered}
    return ended, figures(ended.history) | asked | metrics


def accelerator() -> Any:
    """accelerate's view of this process: one, or one of several under `accelerate launch`."""
    from accelerate import Accelerator

    return Accelerator()


class Report:
    """What a step says, told to TensorBoard, the warehouse and the bar."""

    def __init__(
        self, events: Any | None, log: "TrainingLog", advance: Callable[[int], None]
    ) -> None:
        self.events, self.log, self.advance = events, log, advance
        self._done = 0

    def __call__(self, step: int, terms: dict[str, float]) -> None:
        if self.events is None:  # the first process speaks for all
            return
        self.events(step, terms)
        self.log(step, terms)
        self.advance(step - self._done)  # a run that goes on begins in the middle
        self._done = step

    def close(self) -> None:
        self.log.flush()
        if self.events is not None:
            self.events.close()


class TrainingLog:
    """Rows of `training_log` and `training_samples`, committed in batches."""

    def __init__(self, lake: Warehouse, model_id: str, judge: "Judge", every: int) -> None:
        self.lake, self.model_id, self.judge, self.every = lake, model_id, judge, every
        self._rows: list[dict[str, Any]] = []

    def __call__(self, step: int, terms: dict[str, float]) -> None:
        self._rows += [
            {"model_id": self.model_id, "step": step, "term": name, "value": number}
            for name, number in terms.items()
        ]
        if step % self.every == 0:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self.lake.append("training_log", pa.Table.from_pylist(self._rows, schema=TRAINING_LOG))
            self._rows = []

    def samples(self, step: int, rollout: Any, scored: list[Any]) -> None:
        """Store a step's answers with the pictures that its reward looked at."""
        if not is_main():
            return
        prompts = [q.raw_prompt for q in rollout.questions]
        prompts += [t for t, row in zip(rollout.texts, scored, strict=True) if not row.too_long]
        pictures = self.judge.images(prompts)

        def of(prompt: str) -> list[str | None]:
            return [pictures.get((prompt, seed)) for seed in self.judge.seeds]

        rows = [
            {
                "model_id": self.model_id, "step": step, "sample": index,
                "triple_id": question.question_id, "row_kind": kind,
                "raw_prompt": question.raw_prompt, "instruction": question.instruction,
                "prompt": text, "integrity": row.integrity, "reward": row.total,
                "raw_images": of(question.raw_prompt), "images": of(text),
            }
            for index, (question, kind, text, row) in enumerate(
                zip(rollout.questions, rollout.kinds, rollout.texts, scored, strict=True)
            )
        ]  # fmt: skip
        self.lake.append("training_samples", pa.Table.from_pylist(rows, schema=TRAINING_SAMPLES))


def figures(history: list[dict[str, float]]) -> dict[str, Any]:
    """First and last fifth of the on-policy reward, with standard errors over steps."""
    fifth = max(1, len(history) // 5)
    found: dict[str, Any] = {"steps": len(history)}
    for name, part in (("first_fifth", history[:fifth]), ("last_fifth", history[-fifth:])):
        for term in ("reward", "integrity", "aesthetic_gain", "preference_gain", "kl", "tokens"):
            numbers = [row[term] for row in part if term in row]
            if numbers:
                found[f"{term}_{name}"] = round(statistics.fmean(numbers), 4)
        rewards = [row["reward"] for row in part]
        if len(rewards) > 1:
            error = statistics.stdev(rewards) / len(rewards) ** 0.5
            found[f"reward_error_{name}"] = round(error, 4)
    return found


def save(policy: Any, folder: Path, settings: Settings, model_id: str, ended: Any) -> None:
    """The finished checkpoint in the standard layout, with its card and checksums."""
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        policy.model.save_pretrained(draft, safe_serialization=True)
        policy.tokenizer.save_pretrained(draft)
        (draft / "README.md").write_text(card(settings, model_id, ended), encoding="utf-8")
        write_sums(draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise TrainingError(
            f"The trained model cannot be written to {folder}: {error}. Free some space and run "
            "the same command again: its last checkpoint is kept."
        ) from error


def card(settings: Settings, model_id: str, ended: Any) -> str:
    """The model card; figures stand in the warehouse, too."""
    rows = "\n".join(f"| {k} | {v} |" for k, v in figures(ended.history).items())
    return (
        f"# DiffChat student {model_id[:12]}\n\n"
        f"Trained by reinforcement learning from rendered images (`{settings.rl.method}`), "
        f"profile `{settings.profile}`, seed {settings.rl.seed}; ended: {ended.status}"
        f"{f' ({ended.reason})' if ended.reason else ''}.\n\n"
        "It takes the messages of `schemas/chat.py` and answers with a prompt; see "
        "`docs/serving.md`.\n\n"
        f"| figure | value |\n| --- | --- |\n{rows}\n\n"
        f"Settings: `{json.dumps(settings.rl.model_dump(mode='json'), sort_keys=True)}`\n"
    )


def _hash_of(folder: Path) -> str:
    from models.train.policy import student_hash

    return student_hash(folder)
