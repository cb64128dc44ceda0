"""How a turn is made: rewrite, protect, units, budget, safety, picture, scores.

What computes is passed in as `Parts`, so that a local model, an endpoint and a test are the same to
it.  A generator: it yields `Step` while it works and last the new session.  Whatever goes wrong
before there is a prompt raises and leaves the session as it was; a picture that cannot be made is
a turn without one that says why.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from app.protecting import clean_answer, fit, one_line, protect
from app.session import Session, Turn, TurnKind
from models.collect.triples import plain_sentence
from models.integrity import extract_units, unit_texts
from schemas.chat import messages_of
from schemas.errors import Cancelled, ChatError, DiffChatError, PromptTooLong
from schemas.units import Unit

BETTER = "make it look better"  # as people word it in the training data
DRAWN_AT_MOST = 4  # answers for each other wording that is wanted: many are alike
MAX_ANSWER = 8  # characters of an answer: at most so many times the longest prompt allowed

OnStep = Callable[[int, int], None]


class Step(NamedTuple):
    """What is being done: "writing" with the text so far, "drawing", "scoring"."""

    stage: str
    text: str = ""


class Rewritten(NamedTuple):
    """A new prompt, protected and within the budget, before it is drawn."""

    prompt: str
    units: tuple[Unit, ...]
    notes: tuple[str, ...]


class Parts(NamedTuple):
    """What a turn is made with."""

    model: str  # name of what writes
    rewrite: Callable[[list[dict[str, str]]], Iterator[str]]  # pieces of the answer
    sample: Callable[[list[dict[str, str]], int, int], Iterator[str]]  # (…, how many, seed)
    tis: str
    tis_id: str
    count_tokens: Callable[[str], int]
    token_budget: int
    render: Callable[[str, int, OnStep], str]  # (prompt, seed) → render_id, cached by content
    score: Callable[[str, str], dict[str, float]]  # (render_id, intent) → by what they measure
    unsafe: Callable[[str], str | None]  # the first unsafe word of a text
    history: int = 1
    max_characters: int = 2_000
    max_instruction: int = 1_000


class Watch(NamedTuple):
    """Who looks on: hears the steps of a drawing, and may stop the turn between any two."""

    on_step: OnStep = lambda done, of: None
    stopped: Callable[[], bool] = lambda: False


NOBODY = Watch()


def start(
    session: Session, prompt: str, parts: Parts, watch: Watch = NOBODY
) -> Iterator[Step | Session]:
    """A first prompt, drawn as it is.  Raises ChatError, PromptTooLong."""
    yield from _drawn(session, first_turn(session, prompt, parts), parts, watch)


def first_turn(session: Session, prompt: str, parts: Parts) -> Turn:
    """The turn that a first prompt makes, without its picture.  Raises ChatError, PromptTooLong."""
    prompt = _checked(prompt, "The prompt", parts.max_characters, parts)
    tokens = parts.count_tokens(prompt)
    if tokens > parts.token_budget:
        raise PromptTooLong(
            f"The prompt has {tokens} tokens, {parts.tis} reads {parts.token_budget}: shorten it "
            f"by {tokens - parts.token_budget}."
        )
    units = tuple(Unit("keep", text) for text in unit_texts(prompt))
    return _turn(session, None, "start", "", prompt, session.next_seed(), parts, units)


def edit(
    session: Session,
    instruction: str,
    parts: Parts,
    watch: Watch = NOBODY,
) -> Iterator[Step | Session]:
    """One instruction on the turn looked at; raises ChatError, PromptTooLong, EndpointError."""
    yield from _rewritten(session, "edit", instruction, parts, watch)


def better(session: Session, parts: Parts, watch: Watch = NOBODY) -> Iterator[Step | Session]:
    """Just make it better, without an instruction."""
    yield from _rewritten(session, "better", BETTER, parts, watch)


def variations(
    session: Session,
    number: int,
    parts: Parts,
    watch: Watch = NOBODY,
) -> Iterator[Step | Session]:
    """The same words with `number` other seeds: that many turns beside each other."""
    origin = _origin(session, number)
    for _ in range(number):
        seed = session.variation_seed(0)
        turn = _turn(
            session, origin.number, "variation", "", origin.prompt, seed, parts, origin.units
        ).model_copy(update={"model": origin.model})
        for step in _drawn(session, turn, parts, watch):
            if isinstance(step, Session):
                session = step
            yield step


def wordings(
    session: Session,
    number: int,
    parts: Parts,
    watch: Watch = NOBODY,
) -> Iterator[Step | Session]:
    """The same instruction on the same seed in up to `number` other words: turns beside this one.

    Sampled where an edit is greedy.  Raises ChatError if the turn has no instruction, or if the
    model has no other words for it.
    """
    origin = _origin(session, number)
    if origin.kind not in ("edit", "better") or origin.parent is None:
        raise ChatError(
            "These words are no answer to an instruction, so there are no others to try: say what "
            "to change first."
        )
    yield Step("writing")
    for new in _other_words(session, origin, number, parts):
        turn = _turn(
            session, origin.parent, origin.kind, origin.instruction, new.prompt, origin.seed,
            parts, new.units, new.notes,
        )  # fmt: skip
        for step in _drawn(session, turn, parts, watch):
            if isinstance(step, Session):
                session = step
            yield step


def _other_words(session: Session, origin: Turn, number: int, parts: Parts) -> list[Rewritten]:
    """Up to `number` answers that differ from each other and from what was tried before."""
    assert origin.parent is not None  # `wordings` asks
    parent = session.turns[origin.parent]
    raw, history = session.jump(parent.number).asked(parts.history)
    messages = messages_of(raw, origin.instruction, history)
    tried = {parent.prompt, *(turn.prompt for turn in session.children(parent.number))}
    found: list[Rewritten] = []
    refused: list[DiffChatError] = []
    answers = parts.sample(messages, DRAWN_AT_MOST * number, session.variation_seed(0))
    like_others = 0
    for answer in answers:
        try:
            new = finished(session.lock, parent.prompt, answer, origin.instruction, parts)
        except (ChatError, PromptTooLong) as error:  # one of many: said if all are like it
            refused.append(error)
            continue
        if new.prompt in tried:
            like_others += 1
            continue
        tried.add(new.prompt)
        found.append(new)
        if len(found) == number:
            break
    if not found and refused and not like_others:
        raise refused[0]
    if not found:
        raise ChatError(
            f"{parts.model} found no other words for this: say it in other words yourself."
        )
    return found


def _origin(session: Session, number: int) -> Turn:
    """The turn to vary.  Raises ChatError if there is none, or for no number of variations."""
    if session.now is None:
        raise ChatError("There is no picture yet to vary: begin with a prompt.")
    if not 1 <= number <= 16:
        raise ChatError(f"{number} variations: take 1 to 16.")
    return session.now


def rewrite(
    session: Session, instruction: str, parts: Parts, watch: Watch = NOBODY
) -> Iterator[Step | Rewritten]:
    """The words of a turn without its picture: steps while it is written, last the new prompt."""
    instruction = _checked(instruction, "The instruction", parts.max_instruction, parts)
    raw, history = session.asked(parts.history)
    parent = session.now
    assert parent is not None  # `asked` raises without a turn
    answer = ""
    yield Step("writing")  # a large model takes its time for the first word
    for piece in parts.rewrite(messages_of(raw, instruction, history)):
        answer += piece
        if watch.stopped():
            raise Cancelled("Stopped: nothing was changed.")
        if len(answer) > MAX_ANSWER * parts.max_characters:
            raise ChatError(
                "The model did not come to an end, so nothing was changed: say it in other words."
            )
        yield Step("writing", answer)
    yield finished(session.lock, parent.prompt, answer, instruction, parts)


def _rewritten(
    session: Session,
    kind: TurnKind,
    instruction: str,
    parts: Parts,
    watch: Watch,
) -> Iterator[Step | Session]:
    new = None
    for step in rewrite(session, instruction, parts, watch):
        if isinstance(step, Step):
            yield step
        else:
            new = step
    assert new is not None  # the last of `rewrite`
    turn = _turn(
        session,
        session.current,
        kind,
        one_line(instruction),
        new.prompt,
        session.next_seed(),
        parts,
        new.units,
        new.notes,
    )
    yield from _drawn(session, turn, parts, watch)


def finished(
    lock: Sequence[str], old: str, answer: str, instruction: str, parts: Parts
) -> Rewritten:
    """A model's answer as a prompt: protected, within the budget, safe.

    Raises ChatError for an answer that is none, PromptTooLong.
    """
    notes = []
    safe = protect(old, clean_answer(answer, old), instruction, lock)
    if safe.restored:
        notes.append("Put back what the model had lost: " + ", ".join(safe.restored))
    units = extract_units(old, instruction, safe.prompt)
    needed = [unit.text for unit in units if unit.role != "remove"] + list(lock)
    try:
        fitted = fit(safe.prompt, parts.count_tokens, parts.token_budget, needed, parts.tis)
    except PromptTooLong:  # better without an old detail than without a picture
        asked = [unit.text for unit in units if unit.role == "add"] + list(lock)
        fitted = fit(safe.prompt, parts.count_tokens, parts.token_budget, asked, parts.tis)
    if fitted.dropped:
        dropped = ", ".join(reversed(fitted.dropped))
        notes.append(f"Left out, for {parts.tis} reads {parts.token_budget} tokens: {dropped}")
        units = extract_units(old, instruction, fitted.prompt)
    found = parts.unsafe(fitted.prompt)
    if found:
        raise ChatError(
            f"Refused: the new prompt would have the word {found!r}, which the safety filter does "
            "not let through. Nothing was changed."
        )
    if fitted.prompt == old:
        notes.append("The model changed no word: say it in other words, or ask for more.")
    return Rewritten(fitted.prompt, units, tuple(notes))


def _checked(text: str, what: str, most: int, parts: Parts) -> str:
    """The text on one line, or ChatError: empty, too long, unsafe, no text."""
    if len(text) > most:
        raise ChatError(f"{what} has {len(text):,} characters, {most:,} are allowed: shorten it.")
    text = one_line(text)
    if not text:
        hint = "write what the picture should show" if what == "The prompt" else (
            "say what to change, or press “Make it better”"
        )  # fmt: skip
        raise ChatError(f"{what} is empty: {hint}.")
    found = parts.unsafe(text)
    if found:
        raise ChatError(
            f"Refused: the safety filter does not let the word {found!r} through. Say it "
            "differently."
        )
    return text


def _turn(
    session: Session,
    parent: int | None,
    kind: TurnKind,
    instruction: str,
    prompt: str,
    seed: int,
    parts: Parts,
    units: tuple[Unit, ...],
    notes: tuple[str, ...] = (),
) -> Turn:
    return Turn(
        number=len(session.turns),
        parent=parent,
        kind=kind,
        instruction=instruction,
        prompt=prompt,
        seed=seed,
        units=units,
        notes=notes,
        model=parts.model if kind in ("edit", "better") else "",
        tis=parts.tis,
        tis_id=parts.tis_id,
        made_at=datetime.now(UTC),
    )


def _drawn(session: Session, turn: Turn, parts: Parts, watch: Watch) -> Iterator[Step | Session]:
    """`turn` with its picture and scores, added to the session."""

    def step(done: int, of: int) -> None:
        if watch.stopped():
            raise Cancelled("Stopped: nothing was changed.")
        watch.on_step(done, of)

    yield Step("drawing", turn.prompt)
    found: dict[str, Any] = {}
    try:
        found["render_id"] = parts.render(turn.prompt, turn.seed, step)
    except Cancelled:
        raise
    except (DiffChatError, MemoryError) as error:
        found["problem"] = str(error) or "Out of memory: take a smaller picture size."
    if "render_id" in found:
        yield Step("scoring", turn.prompt)
        found |= _scored(session, turn, found["render_id"], parts)
    yield session.add(turn.model_copy(update=found))


def _scored(session: Session, turn: Turn, render_id: str, parts: Parts) -> dict[str, Any]:
    """Scores of the picture; gains against the parent's picture, both asked the same intent."""
    intent = plain_sentence(turn.prompt)
    try:
        scores = parts.score(render_id, intent)
        before = session.turns[turn.parent].render_id if turn.parent is not None else None
        old = parts.score(before, intent) if before else {}
    except DiffChatError as error:
        return {"notes": (*turn.notes, f"Not scored: {error}")}
    gains = {name: round(value - old[name], 4) for name, value in scores.items() if name in old}
    return {"scores": scores, "gains": gains}
