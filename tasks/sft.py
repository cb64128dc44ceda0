"""Supervised fine-tuning from rows in the warehouse to a registered model version.

    plan = sft_plan(lake, settings)         # what would be trained, and under which id
    finished(lake, home, plan)              # the model, if that was done before
    train(lake, home, settings, plan)       # else train, measure, write the card, register

The model's folder is `models/<model_id>/` below the home (`tasks.model_folder`).  The row in
`model_versions` is the commit: until it is there, the same command goes on where it was.  Free of
Prefect.
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.train.card import write_card
from models.train.data import Row, write_examples
from models.train.distributed import is_main, wait
from models.train.policy import folder_context, load_student_tokenizer, student_hash
from models.weights import resolve
from schemas.errors import TrainingError
from schemas.identity import content_id, settings_hash
from schemas.settings import Settings
from tasks.model_folder import WORK, alone, place
from tasks.model_versions import find_model, register_model
from tasks.plan import now
from tasks.progress import follow, stage
from tasks.training_data import TrainingData, training_data
from tasks.training_log import append_log
from warehouse import Warehouse

LOG = logging.getLogger(__name__)
LEFT_OUT = "left_out.jsonl"
# Where and how fast something is computed, and what is only looked at, is no part of a model's id.
NOT_IDENTITY = {"dataset_version", "parquet", "measured_cases"}


@dataclass(frozen=True)
class SftPlan:
    model_id: str
    data: TrainingData
    base: Path
    base_hash: str
    parent_model_id: str | None
    settings: dict[str, Any]  # of [sft], what determines the weights


def sft_plan(lake: Warehouse, settings: Settings) -> SftPlan:
    """Resolve what would be trained; hashes files, loads nothing.

    Raises ModelError for the base, WarehouseError and SourceError for the data.
    """
    data = training_data(lake, settings.sft, "sft")
    base = resolve(settings.student.base)
    digest = student_hash(base)
    chosen = settings.sft.model_dump(mode="json", exclude=NOT_IDENTITY)
    chosen |= {"dtype": settings.student.dtype}
    rows = lake.query("SELECT model_id FROM model_versions WHERE weights_hash = $1", [digest])
    parents = rows.column("model_id").to_pylist()
    return SftPlan(
        model_id=content_id("model", "sft", data.identity, digest, chosen),
        data=data,
        base=base,
        base_hash=digest,
        parent_model_id=parents[0] if parents else None,
        settings=chosen,
    )


def measured_as(settings: Settings) -> dict[str, int]:
    """What figures of a model depend on beside its weights and data."""
    return {
        "cases": settings.sft.measured_cases, "max_new_tokens": settings.student.max_new_tokens
    }  # fmt: skip


def finished(lake: Warehouse, home: Path, plan: SftPlan) -> dict[str, Any] | None:
    """What `train` would return, where the model of this plan is registered already."""
    known = find_model(lake, home, plan.model_id)
    return known and known.as_result()


def train(lake: Warehouse, home: Path, settings: Settings, plan: SftPlan) -> dict[str, Any]:
    """Train, measure and register; returns model_id, folder, steps, metrics and what was left out.

    Raises TrainingError if nothing fits the context, another process trains the same model, the
    disk is full or the training diverged; run again it goes on from the last checkpoint.
    """
    folder = home / "models" / plan.model_id
    work = folder / WORK
    with alone(folder, is_main()):
        parents = plan.data.parents()
        if is_main():
            _prepare(plan, settings, parents, work)
        wait()
        trained = _fit(plan, settings, work)
        if not is_main():
            return {"model_id": plan.model_id}
        metrics = _measured(plan, settings, parents, work)
        metrics |= {"steps": trained["steps"], "last_step": trained["last_step"]}
        metrics |= json.loads((work / "rows.json").read_text(encoding="utf-8"))
        append_log(lake, plan.model_id, trained["log"])
        _finish(lake, folder, settings, plan, metrics)
        shutil.rmtree(work)
    return {"model_id": plan.model_id, "folder": str(folder), "metrics": metrics}


def _prepare(plan: SftPlan, settings: Settings, parents: dict[str, Row], work: Path) -> None:
    """Tokenise both splits, once; counts go to rows.json, what is too long to left_out.jsonl."""
    if (work / "rows.json").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = load_student_tokenizer(plan.base)
    longest = _longest(plan, settings)
    counts: dict[str, Any] = {}
    lines: list[dict[str, Any]] = []
    limits = {"train": settings.sft.max_examples, "validation": settings.sft.validation_cases}
    with stage("tokenise", 0) as advance:
        for split, limit in limits.items():
            written = write_examples(
                plan.data.batches(split, limit),
                parents,
                tokenizer,
                work / f"{split}.arrow",
                longest,
                advance,
            )
            counts[split] = {"examples": written.examples, "tokens": written.tokens}
            counts[split] |= {"longest": written.longest, "too_long": len(written.too_long)}
            lines += [{"split": split, **item._asdict()} for item in written.too_long]
    (work / LEFT_OUT).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if not counts["train"]["examples"]:
        _refuse_empty(plan, longest, counts["train"])
    draft = work / "rows.draft"
    draft.write_text(json.dumps({"rows": counts}), encoding="utf-8")
    draft.replace(work / "rows.json")


def _longest(plan: SftPlan, settings: Settings) -> int:
    """Tokens of an example: `sft.max_length`, or what the student's context holds."""
    context = folder_context(plan.base)
    return min(settings.sft.max_length, context or settings.sft.max_length)


def _refuse_empty(plan: SftPlan, longest: int, counts: dict[str, int]) -> None:
    if counts["too_long"]:
        raise TrainingError(
            f"All {counts['too_long']} examples of {plan.data.title} are longer than "
            f"{longest} tokens (sft.max_length or, if less, the student's context): raise the "
            "former, or take a student with a longer context."
        )
    raise TrainingError(f"The train split of {plan.data.title} is empty: nothing to train on.")


def _fit(plan: SftPlan, settings: Settings, work: Path) -> dict[str, Any]:
    """Train to `work/model` unless that was done; what is known of it stands in trained.json."""
    known = work / "trained.json"
    if known.exists():
        return json.loads(known.read_text(encoding="utf-8"))
    from models.train.sft import SftJob, run_sft

    rows = json.loads((work / "rows.json").read_text(encoding="utf-8"))["rows"]
    validation = work / "validation.arrow" if rows["validation"]["examples"] else None
    job = SftJob(
        base=plan.base,
        student=settings.student,
        sft=settings.sft,
        folder=work,
        train=work / "train.arrow",
        validation=validation,
    )
    trained = run_sft(job, follow("sft"))
    found = {"steps": trained.steps, "last_step": trained.last_step, "log": trained.log}
    if is_main():
        draft = work / "trained.draft"
        draft.write_text(json.dumps(found), encoding="utf-8")
        draft.replace(known)
    return found


def _measured(
    plan: SftPlan, settings: Settings, parents: dict[str, Row], work: Path
) -> dict[str, Any]:
    """Figures on the test split of the trained model ("test", "hard") and of its base ("base")."""
    from models.train.measure import measure
    from models.train.policy import load_policy

    rows, plain = plan.data.cases(settings.sft.measured_cases)
    found: dict[str, Any] = {}
    with stage("measure", 2 * len(rows)) as advance:
        for name, model in (("base", plan.base), ("trained", work / "model")):
            policy = load_policy(str(model), settings.student)
            found[name] = measure(policy, rows, parents, advance, plain)
    if not found["trained"]["test"].get("cases"):
        LOG.warning("No test case fits the student's context: the model has no figures.")
    return found["trained"] | {"base": found["base"], "measured_as": measured_as(settings)}


def _finish(
    lake: Warehouse, folder: Path, settings: Settings, plan: SftPlan, metrics: dict[str, Any]
) -> None:
    """Move the checkpoint to its place, write its card and sums, register it."""
    from tasks.opening import code_revision  # brings Prefect

    left_out = folder / WORK / LEFT_OUT
    place(folder / WORK / "model", folder)
    if left_out.stat().st_size:
        shutil.copyfile(left_out, folder / LEFT_OUT)
    version = plan.data.version or {}
    columns = {
        "model_id": plan.model_id,
        "method": "sft",
        "base": settings.student.base,
        "base_hash": plan.base_hash,
        "parent_model_id": plan.parent_model_id,
        "dataset_version": version.get("version"),
        "snapshot_id": version.get("snapshot_id"),
        "settings": {"sft": settings.sft.model_dump(mode="json")}
        | {"student": settings.student.model_dump(mode="json"), "data": plan.data.identity},
        "settings_hash": settings_hash(plan.settings),
        "seed": settings.sft.seed,
        "status": "ok",
        "folder": f"models/{plan.model_id}",
        "metrics": metrics,
        "code_revision": code_revision(),
        "trained_at": now(),
    }
    columns["weights_hash"] = student_hash(folder)
    course = f"{metrics['steps']} of {metrics['last_step']}"
    if metrics["rows"]["validation"]["examples"]:
        course += ", the best by validation loss"
    write_card(folder, columns, plan.data.title, course)
    register_model(lake, **columns)
