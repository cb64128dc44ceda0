"""A session: the tree of turns of one conversation.  Pure values, no torch, no disk, no clock.

Each turn has a number (its place in `turns`) and a parent; a turn on a turn that already has one
is a branch.  Nothing is ever taken out: undo and jump move `current`, and what was undone stays in
the tree.  Every method returns a new session, so two requests can never mix their turns up.

Leaves out how a turn is made (`app.turns`) and where sessions are kept (`app.store`).
"""

from datetime import datetime
from typing import Literal

from pydantic import Field, ValidationError

from schemas.base import Frozen
from schemas.chat import Turn as Asked
from schemas.errors import ChatError
from schemas.identity import content_id
from schemas.units import Unit

FORMAT = 1  # of the saved file
MAX_TURNS = 2_000  # of one session; a saved file with more is refused
MAX_SEED = 2**31 - 1
TurnKind = Literal["start", "edit", "better", "variation"]


class Turn(Frozen):
    """One picture's prompt and how it came about."""

    number: int
    parent: int | None
    kind: TurnKind
    instruction: str  # empty for a start
    prompt: str = Field(max_length=20_000)
    seed: int = Field(ge=0, le=MAX_SEED)
    units: tuple[Unit, ...] = ()
    notes: tuple[str, ...] = ()  # what was put back, left out or refused, for the person
    render_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")  # None: no picture
    problem: str | None = None  # why there is no picture
    scores: dict[str, float] = Field(default_factory=dict)  # by what they measure
    gains: dict[str, float] = Field(default_factory=dict)  # against the parent's picture
    model: str = ""  # that wrote the prompt
    tis: str = ""  # name of the text-to-image model
    tis_id: str = ""
    made_at: datetime | None = None


class Session(Frozen):
    """`current` is the number of the turn the person looks at, None before the first."""

    format: Literal[1] = FORMAT
    session_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    seed_locked: bool = True
    lock: tuple[str, ...] = ()  # phrases that no turn may lose
    consent: bool = False  # to turns being kept for the next dataset
    turns: tuple[Turn, ...] = Field(default=(), max_length=MAX_TURNS)
    current: int | None = None

    @property
    def now(self) -> Turn | None:
        """The turn the person looks at."""
        return None if self.current is None else self.turns[self.current]

    def next_seed(self) -> int:
        """The seed of the next turn: the locked one, else one that follows from the place."""
        return self.seed if self.seed_locked else self._drawn(len(self.turns))

    def variation_seed(self, index: int) -> int:
        """The seed of the `index`th variation made next."""
        return self._drawn(len(self.turns) + index)

    def _drawn(self, number: int) -> int:
        digest = content_id("chat_seed", self.session_id, self.seed, number)
        return int(digest[:8], 16) & MAX_SEED

    def add(self, turn: Turn) -> "Session":
        """With `turn` as the newest, and looked at.  Raises ChatError when the session is full."""
        if len(self.turns) >= MAX_TURNS:
            raise ChatError(
                f"This session has {MAX_TURNS} turns, which is all it can hold: download it and "
                "start a new one."
            )
        placed = turn.model_copy(update={"number": len(self.turns)})
        return self.model_copy(update={"turns": (*self.turns, placed), "current": placed.number})

    def undo(self) -> "Session":
        """Back to the parent.  Raises ChatError at the start."""
        if self.now is None or self.now.parent is None:
            raise ChatError("There is nothing to undo: this is where the conversation starts.")
        return self.jump(self.now.parent)

    def redo(self) -> "Session":
        """Forward to the newest child.  Raises ChatError where there is none."""
        children = self.children(self.current)
        if not children:
            raise ChatError("There is nothing to redo: no turn follows this one.")
        return self.jump(children[-1].number)

    def jump(self, number: int) -> "Session":
        """To any turn; what is asked next branches off there.  Raises ChatError for no turn."""
        if not 0 <= number < len(self.turns):
            last = len(self.turns)
            raise ChatError(f"There is no turn {number + 1}: this session has {last}.")
        turn = self.turns[number]
        seed = {"seed": turn.seed} if self.seed_locked else {}
        return self.model_copy(update={"current": number, **seed})

    def children(self, number: int | None) -> tuple[Turn, ...]:
        """The turns made on a turn, oldest first; of None, the starts."""
        return tuple(turn for turn in self.turns if turn.parent == number)

    def path(self) -> tuple[Turn, ...]:
        """From a start to the turn looked at."""
        turn, found = self.now, []
        while turn is not None:
            found.append(turn)
            turn = None if turn.parent is None else self.turns[turn.parent]
        return tuple(reversed(found))

    def depth(self, number: int) -> int:
        """Turns between `number` and its start."""
        depth, parent = 0, self.turns[number].parent
        while parent is not None:
            depth, parent = depth + 1, self.turns[parent].parent
        return depth

    def asked(self, history: int) -> tuple[str, tuple[Asked, ...]]:
        """(raw prompt, the last `history` turns since) of the path, as `schemas.chat` wants them.

        Variations of the seed changed no word and are no turns of that conversation.
        """
        path = [turn for turn in self.path() if turn.kind != "variation"]
        if not path:
            raise ChatError("There is no prompt yet: begin with one.")
        since = path[1:][-history:] if history else []
        raw = path[len(path) - len(since) - 1].prompt
        return raw, tuple(Asked(turn.instruction, turn.prompt) for turn in since)

    def with_lock(self, phrases: str) -> "Session":
        """Lock the comma-separated `phrases` and no others."""
        listed = (" ".join(phrase.split()) for phrase in phrases.split(","))
        lock = tuple(dict.fromkeys(phrase for phrase in listed if phrase))
        if sum(map(len, lock)) > 1_000:
            raise ChatError("The locked words are longer than 1,000 characters: lock fewer.")
        return self.model_copy(update={"lock": lock})

    def with_seed(self, seed: int, locked: bool) -> "Session":
        """Raises ChatError for a seed that is no whole number from 0 to 2,147,483,647."""
        if not 0 <= seed <= MAX_SEED:
            raise ChatError(f"Seed {seed}: take a whole number from 0 to {MAX_SEED:,}.")
        return self.model_copy(update={"seed": seed, "seed_locked": locked})

    def save(self) -> str:
        """The session as JSON, which `load` reads again."""
        return self.model_dump_json(indent=1)


def load(text: str) -> Session:
    """A session out of its JSON.  Raises ChatError that says what is wrong with the file."""
    try:
        session = Session.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ChatError(
            f"This is no session file of DiffChat: {where}: {first['msg'][:200]}. Take the .json "
            "that its download button gives."
        ) from None
    for number, turn in enumerate(session.turns):
        if turn.number != number or not (turn.parent is None or 0 <= turn.parent < number):
            raise ChatError(f"This session file is damaged: turn {number + 1} is out of place.")
    if session.current is not None and not 0 <= session.current < len(session.turns):
        raise ChatError(f"This session file is damaged: there is no turn {session.current + 1}.")
    return session
