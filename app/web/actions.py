"""What happens on a click.  Sessions live on disk and are named by an id that the browser keeps, so
that a reload finds its own and two people never share one.

Every action yields values for `OUTPUTS`, in that order; a component that does not change gets
`gr.skip()`.  What a person can mend is said in the status line and leaves the session as it was.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from app import turns
from app.consent import ConsentedTurns
from app.from_image import describe_upload
from app.parts import Workshop
from app.pictures import file_name, with_metadata
from app.session import Session
from app.turns import Parts, Step, Watch
from app.web import views
from app.web.beside import beside
from app.web.limits import Line, RateLimit, Turns
from schemas.errors import Cancelled, ChatError, DiffChatError, WarehouseError

LOG = logging.getLogger(__name__)
MAX_SESSION_FILE = 20 * 2**20  # bytes of an exported session
OUTPUTS = (
    "session_id", "message", "unsent", "chat", "picture", "prompt", "tree", "facts", "status",
    "seed", "seed_locked", "lock", "consent", "save_picture", "save_session",
)  # fmt: skip
LOOK_S = 0.5  # between two looks at whether it was stopped or the person has left
PER_ADDRESS = 4  # sessions of one address that may be at the limit at once


class Wishes(NamedTuple):
    """What the controls of the page say when something is asked."""

    model: str
    tis_model: str
    seed: float | None
    seed_locked: bool
    lock: str
    consent: bool


class Asked(NamedTuple):
    """A turn as the page asks for it."""

    session_id: str
    controls: tuple[Any, ...]  # values of Wishes
    address: str
    words: str = ""  # what was sent; given back if no turn comes of it


class Actions:
    """The events of the page, bound to the models and files of this process."""

    def __init__(self, workshop: Workshop, given: ConsentedTurns) -> None:
        self.workshop, self.store, self.given = workshop, workshop.store, given
        chat = workshop.settings.chat
        self.under_way = Turns()
        self.rate = RateLimit(chat.turns_a_minute)
        self.address_rate = RateLimit(chat.turns_a_minute * PER_ADDRESS)
        self.upload_rate = RateLimit(chat.turns_a_minute)
        self.line = Line(chat.at_once, chat.queue)

    # The page opens

    def open(self, session_id: str, request: gr.Request) -> Iterator[list[Any]]:
        """The session of this browser, or a copy of the one that a link shares.

        A turn that was under way when the page was reloaded is waited for and shown.
        """
        try:
            shared = dict(request.query_params or {}).get("shared")
            if shared:
                session = self.store.shared(shared)
                if session is None:
                    raise ChatError("The session behind this link is not here (any more).")
                self.store.save(session)
                said = "A copy of a shared session: go on as you like."
                yield self._shown(session, said)
                return
            if self.under_way.busy(session_id):
                said = _doing("a turn of this session is still being made")
                yield self._shown(self._session(session_id))
                while self.under_way.busy(session_id):
                    yield self._partly(status=said)
                    time.sleep(LOOK_S)
            yield self._shown(self._session(session_id))
        except DiffChatError as error:
            yield self._shown(self.store.new(), str(error), "alert")

    # Turns

    def send(
        self, session_id: str, message: str, *controls: Any, address: str = ""
    ) -> Iterator[list[Any]]:
        """A first prompt, or an instruction on the turn looked at."""

        def begin(session: Session, parts: Parts, **options: Any) -> Iterator[Step | Session]:
            kind = turns.start if session.current is None else turns.edit
            return kind(session, message or "", parts, **options)

        yield from self._turn(Asked(session_id, controls, address, message or ""), begin)

    def better(self, session_id: str, *controls: Any, address: str = "") -> Iterator[list[Any]]:
        yield from self._turn(Asked(session_id, controls, address), turns.better)

    def vary(
        self, session_id: str, number: float, *controls: Any, address: str = ""
    ) -> Iterator[list[Any]]:
        yield from self._several(Asked(session_id, controls, address), turns.variations, number)

    def reword(
        self, session_id: str, number: float, *controls: Any, address: str = ""
    ) -> Iterator[list[Any]]:
        yield from self._several(Asked(session_id, controls, address), turns.wordings, number)

    def _several(
        self, asked: Asked, kind: Callable[..., Iterator[Step | Session]], number: float
    ) -> Iterator[list[Any]]:
        def begin(session: Session, parts: Parts, **options: Any) -> Iterator[Step | Session]:
            return kind(session, _count(number), parts, **options)

        yield from self._turn(asked, begin)

    def _turn(
        self, asked: Asked, begin: Callable[..., Iterator[Step | Session]]
    ) -> Iterator[list[Any]]:
        """What to show of a turn while it is made.

        It is made in a thread, to its end even if the page is closed or reloaded meanwhile.
        """
        drawn: list[str] = []  # how far the picture is
        left = threading.Event()
        made = self._made(asked, begin, drawn, left)
        for shown in beside(made, LOOK_S, left):
            if shown is not None:
                yield shown
            elif drawn:
                yield self._partly(status=_doing(drawn[0]))

    def _made(
        self,
        asked: Asked,
        begin: Callable[..., Iterator[Step | Session]],
        drawn: list[str],
        left: threading.Event,
    ) -> Iterator[list[Any]]:
        if not asked.session_id:
            # The answer of `open`, still on its way, would take the place of this turn's session.
            # With this one the page works even if that answer never comes.
            said = "The page was still opening: send that again."
            yield self._shown(self.store.new(), said, "alert", unsent=asked.words)
            return
        session = None
        try:
            session = self._session(asked.session_id)
            wishes = Wishes(*asked.controls)
            with self.under_way.one(session.session_id):
                self.rate.take(session.session_id)
                self.address_rate.take(asked.address)
                session = _as_wished(session, wishes)
                with self.line.place() as ahead:
                    yield from self._waiting(session, ahead, left)
                    for shown in self._steps(session, begin, wishes, drawn):
                        if isinstance(shown, Session):
                            session = shown
                        else:
                            yield shown
            yield self._shown(session, _done(session))
        except Cancelled as error:
            yield self._shown(session, str(error), unsent=asked.words)
        except DiffChatError as error:
            yield self._shown(session, str(error), "alert", unsent=asked.words)
        except Exception as error:
            said = f"A fault of the program ({type(error).__name__}), which its terminal shows: "
            said += "your session is kept, send the same again."
            yield self._shown(session, said, "alert", unsent=asked.words)
            raise

    def _waiting(
        self, session: Session, ahead: Callable[[float], int], left: threading.Event
    ) -> Iterator[list[Any]]:
        """What to show until it is this session's turn.  Raises Cancelled."""
        while before := ahead(LOOK_S):
            if left.is_set() or self.under_way.stopped(session.session_id):
                raise Cancelled("Stopped before it began: nothing was changed.")
            many = "1 turn is" if before == 1 else f"{before} turns are"
            said = _doing(f"{many} before yours; Stop takes you out of the line")
            yield self._partly(session_id=session.session_id, status=said)

    def _steps(
        self,
        session: Session,
        begin: Callable[..., Iterator[Step | Session]],
        wishes: Wishes,
        drawn: list[str],
    ) -> Iterator[list[Any] | Session]:
        """What to show while a turn is made, and each session that it gives."""
        yield self._partly(session_id=session.session_id, status=_doing("waiting for the models"))

        def on_step(done: int, of: int) -> None:
            drawn[:] = [f"drawing the picture: step {done} of {of}"]

        parts = self.workshop.parts(wishes.model, wishes.tis_model)
        stopped = partial(self.under_way.stopped, session.session_id)
        for step in begin(session, parts, watch=Watch(on_step, stopped)):
            drawn.clear()
            if isinstance(step, Session):
                known = len(session.turns)
                self.store.save(step)
                self._give(step, known)
                session = step
                yield step
            elif step.stage == "writing":
                writing = views.prompt_html(session, step.text)
                yield self._partly(prompt=writing, status=_doing("writing the prompt"))
            else:
                yield self._partly(status=_doing(f"{step.stage} the picture"))

    def _give(self, session: Session, known: int) -> None:
        try:
            self.given.keep(session, known)
        except WarehouseError as error:  # the turn is made; that it was not kept is for the log
            LOG.warning("A consented turn could not be stored: %s", error)

    def stop(self, session_id: str) -> str:
        there = bool(session_id) and self.under_way.stop(session_id)
        return views.status_html("Stopping …" if there else "There is nothing to stop.")

    # Moving about

    def undo(self, session_id: str) -> list[Any]:
        return self._moved(session_id, Session.undo)

    def redo(self, session_id: str) -> list[Any]:
        return self._moved(session_id, Session.redo)

    def jump(self, session_id: str, number: int) -> list[Any]:
        return self._moved(session_id, lambda session: session.jump(int(number)))

    def new(self) -> list[Any]:
        said = "A new session. Write what the picture should show."
        return self._shown(self.store.new(), said, message="")

    def delete(self, session_id: str) -> list[Any]:
        """Forget the session: its file goes; turns that were given stay given."""
        try:
            if session_id:
                self.store.delete(session_id)
        except ChatError as error:
            return self._shown(self.store.new(), str(error), "alert")
        said = "The session was deleted from this machine."
        return self._shown(self.store.new(), said, message="")

    def _moved(self, session_id: str, move: Callable[[Session], Session]) -> list[Any]:
        session = None
        try:
            session = self._session(session_id)
            with self.under_way.one(session.session_id):
                session = move(session)
                self.store.save(session)
            return self._shown(session)
        except DiffChatError as error:
            return self._shown(session, str(error), "alert")

    # Files in

    def upload(self, session_id: str, file: str | None, address: str = "") -> list[Any]:
        """A picture: its prompt goes into the message box, to be corrected before it is sent."""
        session = None
        try:
            session = self._session(session_id)
            self.upload_rate.take(address)
            found = describe_upload(self._bytes(file), self.workshop)
            session = self.store.new(found.seed if found.seed is not None else session.seed)
            said = f"By {found.source}. Correct it, then send it."
            return self._shown(session, said, message=found.prompt)
        except DiffChatError as error:
            return self._shown(session, str(error), "alert")

    def resume(self, session_id: str, file: str | None) -> list[Any]:
        """A downloaded session file, as a session of one's own."""
        session = None
        try:
            session = self._session(session_id)
            data = self._bytes(file, MAX_SESSION_FILE)
            session = self.store.adopt(data.decode("utf-8", "replace"))
            self.store.save(session)
            missing = sum(not (t.render_id and self.store.picture(t.render_id))
                          for t in session.turns)  # fmt: skip
            said = "Your session, as it was saved."
            if missing:
                said += f" {missing} of its pictures are not on this machine."
            return self._shown(session, said)
        except DiffChatError as error:
            return self._shown(session, str(error), "alert")

    def share(self, session_id: str) -> str:
        """The query of a link to a copy of the session; empty before there is a turn."""
        session = self._session(session_id)
        return self.store.share(session) if session.turns else ""

    def _bytes(self, file: str | None, most: int | None = None) -> bytes:
        if file is None:
            raise ChatError("There is no file: choose one.")
        path = Path(file)
        limit = most or int(self.workshop.settings.chat.upload_megabytes * 2**20)
        try:
            if path.stat().st_size > limit:
                size = path.stat().st_size / 2**20
                raise ChatError(f"The file has {size:.1f} MB, {limit / 2**20:g} are allowed.")
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)  # uploads are not kept

    # Showing

    def _session(self, session_id: str) -> Session:
        """The session of that id; one whose first turn is under way is not in the store yet."""
        found = self.store.get(session_id) if session_id else None
        if found is None and self.under_way.busy(session_id):
            return Session(session_id=session_id)
        return found or self.store.new()

    def _shown(
        self,
        session: Session | None,
        said: str = "",
        kind: str = "status",
        *,
        message: str | None = None,
        unsent: str = "",
    ) -> list[Any]:
        """Values of all of OUTPUTS for a session; without a `message` the box keeps its words."""
        session = session or self.store.new()
        picture, save_picture = self._picture(session)
        values = {
            "session_id": session.session_id,
            "message": gr.skip() if message is None else message,
            "unsent": unsent,
            "chat": views.messages(session),
            "picture": picture,
            "prompt": views.prompt_html(session),
            "tree": views.tree_html(session, self.store.picture),
            "facts": views.facts_html(session, self.workshop.model_name, ""),
            "status": views.status_html(said or _done(session), kind),
            "seed": session.seed,
            "seed_locked": session.seed_locked,
            "lock": ", ".join(session.lock),
            "consent": session.consent,
            "save_picture": save_picture,
            "save_session": self._session_file(session),
        }
        return [values[name] for name in OUTPUTS]

    def _partly(self, **values: Any) -> list[Any]:
        return [values.get(name, gr.skip()) for name in OUTPUTS]

    def _picture(self, session: Session) -> tuple[str, Any]:
        """The picture and the button that saves it: one file, which says how it was made."""
        turn = session.now
        path = turn.render_id and self.store.picture(turn.render_id) if turn else None
        if turn is None or not path:
            return views.picture_html(None, turn), gr.DownloadButton(interactive=False)
        tis = self.workshop.settings.tis
        png = with_metadata(
            path.read_bytes(), turn, tis, tis.scheduler or "default", list(session.path())
        )
        file = self.store.offer(file_name(turn), png)
        shown = views.picture_html(file, turn)
        return shown, gr.DownloadButton(value=str(file), interactive=True)

    def _session_file(self, session: Session) -> Any:
        if not session.turns:
            return gr.DownloadButton(interactive=False)
        file = self.store.offer("diffchat-session.json", session.save().encode())
        return gr.DownloadButton(value=str(file), interactive=True)


def _count(number: float | None) -> int:
    if number is None or number != int(number):
        raise ChatError("How many? Take a whole number from 1 to 16.")
    return int(number)


def _as_wished(session: Session, wishes: Wishes) -> Session:
    seed = wishes.seed
    if seed is None or seed != int(seed):
        raise ChatError("The seed must be a whole number from 0 to 2,147,483,647.")
    session = session.with_seed(int(seed), bool(wishes.seed_locked)).with_lock(wishes.lock or "")
    return session.model_copy(update={"consent": bool(wishes.consent)})


def _doing(what: str) -> str:
    return views.status_html(f"{what[:1].upper()}{what[1:]} …")


def _done(session: Session) -> str:
    turn = session.now
    if turn is None:
        return "Write what the picture should show, or start from a picture."
    if turn.problem:
        return f"No picture: {turn.problem}"
    return f"Turn {turn.number + 1} of {len(session.turns)}."
