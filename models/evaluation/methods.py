"""The methods of a comparison: identities, and what each answers to a case.

A method gets questions and gives answers; an answer without a prompt has an error that says why,
and stands in the report as such.  Identities hold what determines an answer: weights and sampling,
never a URL or a key.  Models, rewriters and their libraries are loaded when first asked.

    raw        the raw prompt
    pasted     raw prompt and instruction, joined by a comma
    teacher    the case's target
    model      greedy answers of a student, in the format of `schemas.chat`
    best_of_n  n samples of a student, of which the reward's scorers choose (`best_of`)
    rewriter   somebody else's checkpoint in its own input format (`rewriters`)
    endpoint   an OpenAI-compatible endpoint, in the format of `schemas.chat`
    edit       no prompt at all: the raw prompt's picture is edited (`editing`)

Leaves out: pictures and scores.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.tis.folder import open_folder
from models.weights import HUB_PATTERNS, config_files, hash_files, resolve, weight_files
from schemas.chat import Turn, messages_of
from schemas.errors import ModelError, SettingsError
from schemas.evaluation import MethodSettings
from schemas.identity import content_id
from schemas.settings import StudentSettings, TisSettings


class Question(NamedTuple):
    """A case as a method sees it: the conversation so far, in its own words where it spoke."""

    raw_prompt: str  # what the instruction applies to
    instruction: str
    target: str | None
    first_prompt: str
    history: tuple[Turn, ...] = ()


class Answer(NamedTuple):
    """A prompt, or why there is none."""

    prompt: str | None
    error: str | None = None
    finished: bool | None = None
    tokens: int | None = None
    latency_ms: float | None = None


ANSWER_BATCH = 16  # conversations a call of the student; latency is the batch's share

Answerer = Callable[[Sequence[Question]], list[Answer]]


class Method(NamedTuple):
    """One method with its identity.  Models that differ only in their training seed share
    `group`: they are one column of the report, with the seed as a level of its own."""

    method_id: str
    name: str
    group: str
    settings: MethodSettings
    folder: str | None = None  # of a model or rewriter
    model_id: str | None = None  # of a model version of ours
    samples: tuple[str, ...] = ()  # method ids of the samples that best_of_n chooses from


class ModelRef(NamedTuple):
    """A model as the warehouse or a folder knows it."""

    folder: Path
    weights_hash: str
    model_id: str | None = None
    group: str | None = None  # everything of its training but the seed


def model_folder(name: str) -> ModelRef:
    """A folder or hub id that is no model version of ours.  Raises ModelError without weights."""
    folder = resolve(name, HUB_PATTERNS)
    if not folder.is_dir() or not weight_files(folder):
        raise ModelError(f"{folder} holds no weights (*.safetensors): give a model's folder.")
    return ModelRef(folder, hash_files(folder, config_files(folder) + weight_files(folder)))


def method_of(
    settings: MethodSettings, student: StudentSettings, tis_id: str, model: ModelRef | None = None
) -> Method:
    """The method that `settings` name.  Raises SettingsError for what it lacks."""
    kind = settings.kind
    if kind in ("model", "best_of_n", "rewriter"):
        if model is None:
            raise SettingsError(f"Method {kind} needs `model`: a model version, folder or hub id.")
        return _of_model(settings, student, model)
    if kind == "endpoint":
        if not settings.model or not settings.base_url:
            raise SettingsError("Method endpoint needs `model` and `base_url` (https://host/v1).")
        parts: list[Any] = [settings.model, student.max_new_tokens]
    elif kind == "edit":
        if not settings.model:
            raise SettingsError("Method edit needs `model`: an InstructPix2Pix folder or hub id.")
        parts = [editor_id(settings), tis_id]
    else:
        parts = []
    name = settings.name or _name(settings)
    return Method(content_id("method", kind, *parts), name, name, settings)


def _of_model(settings: MethodSettings, student: StudentSettings, model: ModelRef) -> Method:
    most = student.max_new_tokens
    name = settings.name or _name(settings, model)
    group = settings.name or (_name(settings, model) if model.group is None else model.group)
    parts: list[Any] = [model.weights_hash, most]
    if settings.kind == "rewriter":
        parts.append(settings.format)
    samples: tuple[str, ...] = ()
    if settings.kind == "best_of_n":
        how = [settings.temperature, settings.seed]
        samples = tuple(content_id("method", "sample", *parts, *how, i) for i in range(settings.n))
        parts = [*parts, *how, settings.n]
        group = f"best of {settings.n}, {group}" if model.group else group
    name_id = content_id("method", settings.kind, *parts)
    return Method(name_id, name, group, settings, str(model.folder), model.model_id, samples)


def _name(settings: MethodSettings, model: ModelRef | None = None) -> str:
    called = (model.model_id or "")[:8] if model else ""
    called = called or Path(settings.model or "").name
    return {
        "model": called,
        "best_of_n": f"best of {settings.n}, {called}",
        "rewriter": f"{settings.format}: {called}",
        "endpoint": f"endpoint {settings.model}",
        "edit": f"edit: {called}",
        "pasted": "raw + instruction",
    }.get(settings.kind, settings.kind)


def pasted(question: Question) -> str:
    """The baseline without a model: the instruction behind the prompt."""
    said = [turn.instruction for turn in question.history]
    start = question.first_prompt if said else question.raw_prompt
    return ", ".join([start, *said, question.instruction])


def load_answerer(method: Method, student: StudentSettings) -> Answerer:
    """What answers for `method`.  Raises ModelError if its model cannot be loaded."""
    kind = method.settings.kind
    if kind in ("raw", "pasted", "teacher"):
        return lambda questions: [_by_rule(kind, question) for question in questions]
    if kind == "model":
        return student_answers(method, student)
    if kind == "rewriter":
        from models.evaluation.rewriters import load_rewriter

        return load_rewriter(method, student.max_new_tokens)
    if kind == "endpoint":
        from models.evaluation.endpoint import endpoint_answers

        return lambda questions: endpoint_answers(method.settings, student, questions)
    if kind == "edit":
        return lambda questions: [Answer(edit_key(question)) for question in questions]
    raise ValueError(f"{kind} has no answers of its own: it chooses among samples.")


def _by_rule(kind: str, question: Question) -> Answer:
    if kind == "raw":
        return Answer(question.raw_prompt)
    if kind == "pasted":
        return Answer(pasted(question))
    if question.target is None:
        return Answer(None, "the case has no target")
    return Answer(question.target)


def conversation(question: Question) -> list[dict[str, str]]:
    """The messages of a question, in the project's one format."""
    first = question.first_prompt if question.history else question.raw_prompt
    return messages_of(first, question.instruction, question.history)


def student_answers(method: Method, student: StudentSettings) -> Answerer:
    """Greedy answers of a model, in batches."""
    samples = sample_answers(method, student, n=1)
    return lambda questions: [answers[0] for answers in samples(questions)]


def sample_answers(
    method: Method, student: StudentSettings, n: int
) -> Callable[[Sequence[Question]], list[list[Answer]]]:
    """`n` answers of a model to each question: greedy for one, sampled for more."""
    from models.train.policy import load_policy

    policy, settings = load_policy(str(method.folder), student), method.settings
    how = {"n": n, "temperature": settings.temperature, "seed": settings.seed} if n > 1 else {}

    def answer(questions: Sequence[Question]) -> list[list[Answer]]:
        started = time.perf_counter()
        try:
            found = policy.rewrite([conversation(question) for question in questions], **how)
        except ModelError as error:  # one conversation that is too long fails its whole batch
            if len(questions) == 1:
                return [[Answer(None, str(error))] * n]
            return [answers for question in questions for answers in answer([question])]
        each = (time.perf_counter() - started) * 1e3 / max(len(questions) * n, 1)
        return [[_answer(rewrite, each) for rewrite in rewrites] for rewrites in found]

    def in_batches(questions: Sequence[Question]) -> list[list[Answer]]:
        starts = range(0, len(questions), ANSWER_BATCH)
        return [a for start in starts for a in answer(questions[start : start + ANSWER_BATCH])]

    return in_batches


def _answer(rewrite: Any, latency_ms: float) -> Answer:
    prompt = rewrite.prompt.strip()
    if not prompt:
        return Answer(None, "the model wrote nothing", rewrite.finished, rewrite.tokens, latency_ms)
    return Answer(prompt, None, rewrite.finished, rewrite.tokens, latency_ms)


def best_of(candidates: Sequence[Mapping[str, float]]) -> int | None:
    """Index of the sample to keep: most content first, then the sum of the standardised scores
    of the reward (aesthetics and preference, never the held-out one); None if none was rendered.

    Each candidate has `integrity`, and `aesthetics` and `preference` in σ, NaN where there is no
    picture.
    """
    best, most = None, (-1.0, -float("inf"))
    for index, scores in enumerate(candidates):
        looks = scores["aesthetics"] + scores["preference"]
        rank = (scores["integrity"], looks)
        if looks == looks and rank > most:
            best, most = index, rank
    return best


def editor_settings(settings: MethodSettings) -> TisSettings:
    """The editor in the terms of [tis]."""
    return TisSettings(
        model=str(settings.model), steps=settings.steps, guidance=settings.guidance,
        **dict(settings.options),
    )  # fmt: skip


def editor_id(settings: MethodSettings) -> str:
    """Content id of an editor: its weights and what determines its pictures."""
    tis = editor_settings(settings)
    folder = open_folder(tis.model, tis.variant)
    weights = hash_files(folder.root, folder.files(tis.variant))
    return content_id("editor", weights, tis.identity(), settings.image_guidance)


def edit_key(question: Question) -> str:
    """What an edited picture is kept under instead of a prompt."""
    return json.dumps(
        {"edit": question.raw_prompt, "instruction": question.instruction},
        sort_keys=True, ensure_ascii=False,
    )  # fmt: skip


def edit_parts(key: str) -> tuple[str, str]:
    """(raw prompt, instruction) of an edit's key."""
    parts = json.loads(key)
    return parts["edit"], parts["instruction"]
