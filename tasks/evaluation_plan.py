"""What an evaluation wants: methods, cases, text-to-image models, scorers, and what is missing.

Free of Prefect and torch, like `tasks.plan`: the command line finds out here whether there is
anything to do.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.evaluation.cases import conversations, dataset_cases, numbered, read_cases
from models.evaluation.hacking import trait_id
from models.evaluation.methods import Method, ModelRef, method_of, model_folder
from models.evaluation.metrics import PICTURE_SCORES, TRAITS
from models.scorers import ScorerIdentity, describe_scorer
from models.tis import TisIdentity, describe_tis
from schemas.errors import SettingsError, SourceError
from schemas.evaluation import MethodSettings
from schemas.identity import content_id, split_of, tis_id
from schemas.settings import Settings, TisSettings
from tasks.model_versions import resolve_model
from tasks.plan import Run, lake_of, new_run
from warehouse import Warehouse

Row = dict[str, Any]
HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w.-]+)?$")
ATTEMPTS = 2  # an answer that failed so often (an endpoint was down) is given up


class EvaluationRun(Run):
    """One evaluation: what crosses every task border."""

    models: tuple[str, ...] = ()  # model versions or folders beside the profile's methods
    cases: str | None = None  # a file of cases; None: the test split


def evaluation_run(
    settings: Settings, folder: Path, models: tuple[str, ...] = (), cases: str | None = None
) -> EvaluationRun:
    """A run of an evaluation; its identity is the plan's, not the run's."""
    run = new_run(settings, folder)
    return EvaluationRun(**run.model_dump(), models=models, cases=cases)


@dataclass(frozen=True)
class EvaluationPlan:
    """Settings resolved into identities and rows."""

    run: EvaluationRun
    methods: tuple[Method, ...]
    case_set_id: str
    cases: tuple[Row, ...]
    dataset_version: int | None
    tis_settings: tuple[TisSettings, ...]  # the main one first
    tis: tuple[TisIdentity, ...]
    scorers: tuple[ScorerIdentity, ...]

    @cached_property
    def rendered(self) -> list[str]:
        """Ids of the methods whose prompts are rendered: all but direct editing, with samples."""
        written = [m for m in self.methods if m.settings.kind != "edit"]
        return [i for m in written for i in (m.method_id, *m.samples)]

    @cached_property
    def edits(self) -> list[Method]:
        return [m for m in self.methods if m.settings.kind == "edit"]

    def scorer_of(self, measure: str) -> str | None:
        """Id of the first scorer that measures it."""
        return next((s.scorer_id for s in self.scorers if s.measures == measure), None)

    @property
    def asked_scorers(self) -> tuple[str, ...]:
        """Ids of the scorers and of the traits that every picture is asked."""
        return (*(s.scorer_id for s in self.scorers), *map(trait_id, TRAITS))

    def edit_tis(self, method: Method) -> str:
        """What edited pictures are attributed to: the editor on the main model's pictures."""
        return tis_id(method.method_id, {"edits": self.tis[0].tis_id})

    def canvases(self) -> list[tuple[str, list[str]]]:
        """(tis id, method ids) of all pictures: each model's renders, then each editor's."""
        rendered = [(tis.tis_id, self.rendered) for tis in self.tis]
        return rendered + [(self.edit_tis(m), [m.method_id]) for m in self.edits]


def evaluation_plan(run: EvaluationRun) -> EvaluationPlan:
    """Resolve a run.  Raises DiffChatError for whatever a person has to mend first."""
    lake, settings = lake_of(run), run.settings
    if not settings.scorers:
        raise SettingsError("An evaluation needs scorers: the profile lists none ([[scorers]]).")
    tis_settings = (settings.tis, *(
        settings.tis.model_copy(update={"model": name, "loras": ()})
        for name in settings.evaluation.transfer
    ))  # fmt: skip
    tis = tuple(map(describe_tis, tis_settings))
    version, cases = _cases(lake, run)
    case_set_id, rows = numbered(cases)
    return EvaluationPlan(
        run=run,
        methods=_methods(lake, run, tis[0].tis_id),
        case_set_id=case_set_id,
        cases=tuple(rows),
        dataset_version=version,
        tis_settings=tis_settings,
        tis=tis,
        scorers=tuple(map(describe_scorer, settings.scorers)),
    )


def _cases(lake: Warehouse, run: EvaluationRun) -> tuple[int | None, list[Row]]:
    settings = run.settings.evaluation
    if run.cases is not None:
        return None, read_cases(Path(run.cases))
    version = settings.dataset_version
    if version is None:
        latest = lake.latest()
        if latest is None:
            raise SourceError(
                "There is no published dataset version to take cases from: run `diffchat build`, "
                "or bring cases of your own with --cases FILE."
            )
        version = int(latest["version"])
    sql = "FROM published_rows WHERE version = $v AND split = 'test' ORDER BY triple_id"
    rows = lake.query(sql, {"v": version}, version=version).to_pylist()
    assert all(split_of(row["raw_prompt_id"]) == "test" for row in rows)
    cases = dataset_cases(rows, version)
    cases.sort(key=lambda case: content_id("order", case["case_id"]))
    cases = cases[: settings.max_cases]
    return version, cases + conversations(cases, settings.turns, settings.max_conversations)


def _methods(lake: Warehouse, run: EvaluationRun, main_tis: str) -> tuple[Method, ...]:
    wanted = list(run.settings.evaluation.methods)
    if not any(method.kind == "raw" for method in wanted):
        wanted.insert(0, MethodSettings(kind="raw"))  # all others are compared with it
    wanted += [MethodSettings(kind="model", model=name) for name in run.models]
    found: dict[str, Method] = {}
    for settings in wanted:
        model = _model(lake, run, settings)
        method = method_of(settings, run.settings.student, main_tis, model)
        found.setdefault(method.method_id, method)
    return tuple(_named(list(found.values())))


def _named(methods: list[Method]) -> list[Method]:
    """A group of one is called by its own name; names are unique."""
    sizes: dict[str, int] = {}
    for method in methods:
        sizes[method.group] = sizes.get(method.group, 0) + 1
    methods = [m if sizes[m.group] > 1 else m._replace(group=m.name) for m in methods]
    groups: dict[str, str] = {}
    for method in methods:
        kind = groups.setdefault(method.group, method.settings.kind)
        if kind != method.settings.kind:
            raise SettingsError(
                f"Two methods are both called {method.group!r}: give one another `name`."
            )
    return methods


def _model(lake: Warehouse, run: EvaluationRun, settings: MethodSettings) -> ModelRef | None:
    if settings.kind == "rewriter" and settings.model:
        return model_folder(settings.model)
    if settings.kind not in ("model", "best_of_n") or not settings.model:
        return None
    if HUB_ID.match(settings.model) and not Path(settings.model).exists():
        return model_folder(settings.model)
    version = resolve_model(lake, Path(run.home), settings.model, run.settings.student)
    row = version_row(lake, version.model_id)
    if row is None:
        return model_folder(str(version.folder))
    return ModelRef(version.folder, row["weights_hash"], row["model_id"], group_of(lake, row))


def version_row(lake: Warehouse, model_id: str | None) -> Row | None:
    """The row of `model_versions`, or None."""
    rows = lake.query("FROM model_versions WHERE model_id = $id", {"id": model_id}).to_pylist()
    return rows[0] if rows else None


def group_of(lake: Warehouse, row: Mapping[str, Any]) -> str:
    """Name of what a model version shares with its sisters of other training seeds."""
    return f"{row['method']} {_group_id(lake, row)[:8]}"


def _group_id(lake: Warehouse, row: Mapping[str, Any]) -> str:
    parent = version_row(lake, row["parent_model_id"]) if row["parent_model_id"] else None
    before = _group_id(lake, parent) if parent else row["base_hash"]
    settings = _without_seed(json.loads(row["settings"]))
    return content_id("training", row["method"], before, row["dataset_version"], settings)


def _without_seed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_seed(v) for k, v in value.items() if k != "seed"}
    return value


def wanted_cases(plan: EvaluationPlan, method: Method) -> list[Row]:
    """The cases that a method is asked: conversations only of those that can go on from their
    own answers, a target only where there is one."""
    kind = method.settings.kind
    if kind in ("teacher", "edit", "best_of_n"):
        cases = [case for case in plan.cases if case["form"] == "single"]
        return [c for c in cases if kind != "teacher" or c["target_prompt"] is not None]
    return list(plan.cases)


def output_id(method_id: str, case_id: str) -> str:
    """An answer is a method and a case: of a method that is not deterministic, the first."""
    return content_id("output", method_id, case_id)


def outputs_of(lake: Warehouse, method_id: str, plan: EvaluationPlan) -> dict[str, Row]:
    """case id → the answer that counts (the one that is ok, else the last), with its attempts."""
    sql = """
    SELECT case_id, max(attempt) AS attempts,
        arg_max(o, (status = 'ok', attempt)) AS answer
    FROM evaluation_outputs AS o
    WHERE method_id = $method AND case_id IN (
        SELECT case_id FROM evaluation_cases WHERE case_set_id = $cases)
    GROUP BY case_id
    """
    rows = lake.query(sql, {"method": method_id, "cases": plan.case_set_id}).to_pylist()
    return {row["case_id"]: row["answer"] | {"attempts": row["attempts"]} for row in rows}


def unanswered(lake: Warehouse, plan: EvaluationPlan, method: Method) -> list[Row]:
    """Cases that a method has yet to answer, with the number of the next attempt."""
    have = outputs_of(lake, method.method_id, plan)
    rows = []
    for case in wanted_cases(plan, method):
        answer = have.get(case["case_id"])
        if answer is None:
            rows.append(case | {"attempt": 1})
        elif answer["status"] != "ok" and answer["attempts"] < ATTEMPTS:
            rows.append(case | {"attempt": answer["attempts"] + 1})
    return rows


def todo_arguments(plan: EvaluationPlan, canvas: str, methods: list[str]) -> Row:
    """Arguments of `Warehouse.todo` for the pictures of a canvas."""
    return {
        "case_set_id": plan.case_set_id,
        "method_ids": methods,
        "tis_id": canvas,
        "seeds": plan.run.settings.evaluation.seeds,
        "attempts": 1,  # what fails here fails again: a prompt over the budget
    }


def picture_todos(plan: EvaluationPlan, index: int) -> list[tuple[str, Row]]:
    """(stage, arguments) of `Warehouse.todo` for the pictures of canvas `index`.

    Conversations are shown under the main model, each turn with one seed.
    """
    canvas, methods = plan.canvases()[index]
    todos = [("evaluation_render", todo_arguments(plan, canvas, methods))]
    if index == 0:
        seeds = plan.run.settings.evaluation.seeds[:1]
        case_ids = [case["case_id"] for turns in shown_conversations(plan) for case in turns]
        shown = {"case_ids": case_ids, "method_ids": methods, "tis_id": canvas, "seeds": seeds}
        todos.append(("conversation_render", shown | {"attempts": 1}))
    return todos


def shown_conversations(plan: EvaluationPlan) -> list[list[Row]]:
    """The cases of the first few conversations, each in order; which come first, a hash says."""
    conversations: list[list[Row]] = []
    for case in plan.cases:
        if case["form"] == "conversation":
            if case["parent_case_id"] is None:
                conversations.append([])
            conversations[-1].append(case)
    return conversations[: plan.run.settings.evaluation.shown_conversations]


def score_arguments(plan: EvaluationPlan, canvas: str, methods: list[str]) -> Row:
    """Arguments of `Warehouse.todo` for the scores of a canvas."""
    alignment = plan.scorer_of("alignment")
    units = plan.run.settings.evaluation.image_integrity and alignment is not None
    return todo_arguments(plan, canvas, methods) | {
        "scorer_ids": plan.asked_scorers,
        "unit_scorer_ids": (alignment,) if units else (),
    }


def evaluation_id(lake: Warehouse, plan: EvaluationPlan) -> str:
    """What an evaluation is: methods, cases, models, scorers, seeds, statistics and what is there.

    The state of the answers is part of it, so that an endpoint that came back makes another
    evaluation and not another content under the same id.
    """
    settings = plan.run.settings.evaluation
    ids = [method_id for m in plan.methods for method_id in (m.method_id, *m.samples)]
    sql = """
    SELECT method_id, status, count(DISTINCT case_id) AS cases FROM evaluation_outputs
    WHERE list_contains($methods::VARCHAR[], method_id) AND case_id IN (
        SELECT case_id FROM evaluation_cases WHERE case_set_id = $cases)
    GROUP BY ALL ORDER BY ALL
    """
    state = lake.query(sql, {"methods": ids, "cases": plan.case_set_id}).to_pylist()
    statistics = settings.model_dump(
        mode="json", include={"seeds", "resamples", "confidence", "tie_margin", "bootstrap_seed",
                              "image_integrity", "shown_cases", "shown_conversations"},
    )  # fmt: skip
    return content_id(
        "evaluation", [[m.method_id, m.group] for m in plan.methods], plan.case_set_id,
        [tis.tis_id for tis in plan.tis], list(plan.asked_scorers), statistics, state,
    )  # fmt: skip


def finished(lake: Warehouse, plan: EvaluationPlan) -> Row | None:
    """The row of `evaluations` that already answers this plan, or None."""
    sql = "FROM evaluations WHERE evaluation_id = $id"
    rows = lake.query(sql, {"id": evaluation_id(lake, plan)}).to_pylist()
    if not rows or not (Path(plan.run.home) / rows[0]["report"] / "index.html").is_file():
        return None
    if any(unanswered(lake, plan, m) for m in plan.methods if m.settings.kind != "best_of_n"):
        return None
    for index, (canvas, methods) in enumerate(plan.canvases()):
        if any(lake.count_todo(stage, **asked) for stage, asked in picture_todos(plan, index)):
            return None
        if lake.count_todo("evaluation_score", **score_arguments(plan, canvas, methods)):
            return None
    return rows[0]


def measure_ids(plan: EvaluationPlan) -> dict[str, str]:
    """scorer id → name of the metric that it gives."""
    names: dict[str, str] = {trait_id(name): name for name in TRAITS}
    for measure in PICTURE_SCORES:
        scorer = plan.scorer_of(measure)
        if scorer:
            names[scorer] = measure
    return names


def said(run: EvaluationRun, row: Row, new: bool) -> dict[str, Any]:
    """What the command line and the next flow want to know of an evaluation."""
    summary = row["summary"] if isinstance(row["summary"], dict) else json.loads(row["summary"])
    return {
        "evaluation_id": row["evaluation_id"],
        "version": summary["version"],
        "new": new,
        "cases": summary["cases"],
        "report": str(Path(run.home) / row["report"] / "index.html"),
        "verdict": summary["verdict"],
        "columns": summary["columns"],
        "failures": summary["failures"],
    }
