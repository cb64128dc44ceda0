"""`diffchat chat`: the conversation in a terminal.

Lines are instructions; those that begin with a slash are commands (`/help`).  Pictures are drawn in
terminals that can (kitty's and iTerm's protocols, else coloured half blocks) and always saved, with
their metadata, beside each other in a folder.
"""

import base64
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from app import turns
from app.changes import changes
from app.console import printable
from app.from_image import describe_upload
from app.parts import Workshop
from app.pictures import file_name, with_metadata
from app.session import Session, Turn
from app.store import ChatStore
from app.turns import Parts, Step, Watch
from schemas.errors import Cancelled, ChatError, DiffChatError
from schemas.settings import Settings, home

HELP = """Write what the picture should show; then say what to change, in plain words.
  /better            make it better, without saying how
  /vary [n]          n pictures of the same words (other seeds)
  /reword [n]        up to n other answers to the last instruction (same seed)
  /undo  /redo       back to the turn before, forward again
  /tree  /go N       all turns; go to one: what you say next branches off there
  /seed [N|lock|free]  the seed: locked, only the words change the picture
  /lock words, words   phrases that no turn may lose; /lock alone frees them
  /image FILE        start from a picture
  /new               a new conversation
  /export FILE       this session as .json; or the picture as .png with prompt and seed
  /help  /quit"""
STYLES = {"kept": "", "added": "bold green", "removed": "strike red"}
SIGNS = {"kept": "", "added": "+", "removed": "-"}


def run_chat(settings: Settings, resume: str | None, folder: Path | None, show: str) -> None:
    """Converse until /quit or the end of input; the session is saved after every turn."""
    import readline  # noqa: F401  (history and editing for input())

    store = ChatStore(home(), settings.chat.stored_pictures)
    console = Console(highlight=False)
    session = _resumed(store, resume)
    workshop = Workshop(settings, home(), store)
    talk = Terminal(workshop, session, folder or store.root / "saved", console, picture_mode(show))
    talk.greet()
    while talk.goes_on:
        try:
            line = input("> ")
        except EOFError:
            break
        except KeyboardInterrupt:
            console.print("(/quit leaves)")
            continue
        talk.hear(line)
    console.print(f"Session {talk.session.session_id}: `diffchat chat --resume last` goes on.")


def _resumed(store: ChatStore, wanted: str | None) -> Session:
    if wanted is None:
        return store.new()
    if Path(wanted).is_file():
        return store.adopt(Path(wanted).read_text(encoding="utf-8", errors="replace"))
    known = store.sessions()
    found = known[0] if wanted == "last" and known else wanted
    session = store.get(found) if found != "last" else None
    if session is None:
        raise ChatError(f"There is no session {wanted!r}: take one of {', '.join(known[:5])}, "
                        "`last`, or an exported .json.")  # fmt: skip
    return session


class Terminal:
    """One conversation; `hear` takes a line and never raises what a person can mend."""

    def __init__(
        self, workshop: Workshop, session: Session, folder: Path, console: Console, show: str
    ) -> None:
        self.workshop, self.session, self.folder = workshop, session, folder
        self.console, self.show = console, show
        self.goes_on = True
        folder.mkdir(parents=True, exist_ok=True)

    def greet(self) -> None:
        chat = self.workshop.settings.chat
        model, tis = self.workshop.model_name, self.workshop.settings.tis.model
        self._say(f"DiffChat: {model} writes, {tis} "
                  f"draws. /help lists the commands. Pictures: {self.folder}")  # fmt: skip
        if chat.safety and chat.picture_safety.model is None:
            self._say("The safety filter reads words; no classifier looks at pictures.")
        for turn in self.session.path():
            self._show_turn(turn)

    def hear(self, line: str) -> None:
        """An instruction, a first prompt or a command."""
        line = line.strip()
        if not line:
            return
        try:
            if line.startswith("/"):
                word, _, rest = line[1:].partition(" ")
                self._command(word)(rest.strip())
            elif self.session.current is None:
                self._turn(lambda parts, **o: turns.start(self.session, line, parts, **o))
            else:
                self._turn(lambda parts, **o: turns.edit(self.session, line, parts, **o))
        except (KeyboardInterrupt, Cancelled):
            self._say("Stopped: nothing was changed.")
        except DiffChatError as error:
            self._say(str(error), "yellow")
        except OSError as error:
            self._say(f"{error.filename or 'The file'}: {error.strerror}.", "yellow")

    def _command(self, word: str) -> Callable[[str], None]:
        known = {
            "help": lambda _: self._say(HELP),
            "quit": self._quit,
            "better": lambda _: self._turn(lambda p, **o: turns.better(self.session, p, **o)),
            "vary": self._vary,
            "reword": self._reword,
            "undo": lambda _: self._move(self.session.undo()),
            "redo": lambda _: self._move(self.session.redo()),
            "go": lambda rest: self._move(self.session.jump(_number(rest) - 1)),
            "tree": self._tree,
            "seed": self._seed,
            "lock": self._lock,
            "image": self._image,
            "new": self._new,
            "export": self._export,
        }
        if word not in known:
            raise ChatError(f"There is no command /{word}: /help lists them.")
        return known[word]

    def _quit(self, _: str) -> None:
        self.goes_on = False

    def _vary(self, rest: str) -> None:
        self._turn(lambda p, **o: turns.variations(self.session, self._many(rest), p, **o))

    def _reword(self, rest: str) -> None:
        self._turn(lambda p, **o: turns.wordings(self.session, self._many(rest), p, **o))

    def _many(self, rest: str) -> int:
        return _number(rest) if rest else self.workshop.settings.chat.variations

    def _turn(self, begin: Callable[..., Iterator[Step | Session]]) -> None:
        status = self.console.status("loading the models …")
        known = len(self.session.turns)
        with status:
            parts: Parts = self.workshop.parts()

            def on_step(done: int, of: int) -> None:
                status.update(f"drawing, step {done} of {of}")

            for step in begin(parts, watch=Watch(on_step)):
                if isinstance(step, Session):
                    self._keep(step)
                else:
                    status.update(Text(f"{step.stage} … {printable(step.text)[-200:]}"))
        for turn in self.session.turns[known:]:
            self._show_turn(turn)

    def _keep(self, session: Session) -> None:
        self.session = session
        self.workshop.store.save(session)

    def _move(self, session: Session) -> None:
        self._keep(session)
        if session.now:
            self._show_turn(session.now)

    def _show_turn(self, turn: Turn) -> None:
        self._say(f"[{turn.number + 1}] seed {turn.seed}", "dim")
        before = None if turn.parent is None else self.session.turns[turn.parent].prompt
        line = Text()
        for piece in changes(before if before is not None else turn.prompt, turn.prompt):
            sign = "" if self.console.is_terminal else SIGNS[piece.change]
            line.append(sign + printable(piece.text), STYLES[piece.change])
        self.console.print(line)
        for note in (*turn.notes, *filter(None, [turn.problem])):
            self._say(note, "yellow")
        if turn.scores:
            gains = {name: f" ({gain:+.2f})" for name, gain in turn.gains.items()}
            told = (f"{name} {value:.2f}{gains.get(name, '')}"
                    for name, value in turn.scores.items())  # fmt: skip
            self._say("  ".join(told), "dim")
        if turn.render_id:
            self._say(str(self._save_picture(turn)), "dim")

    def _save_picture(self, turn: Turn) -> Path:
        png = self._png(turn)
        path = self.folder / file_name(turn)
        path.write_bytes(png)
        if self.show != "none":
            sys.stdout.write(drawn(png, self.show))
            sys.stdout.flush()
        return path

    def _png(self, turn: Turn) -> bytes:
        path = turn.render_id and self.workshop.store.picture(turn.render_id)
        if not path:
            raise ChatError("This turn has no picture.")
        tis = self.workshop.settings.tis
        chain = list(self.session.jump(turn.number).path())
        return with_metadata(path.read_bytes(), turn, tis, tis.scheduler or "default", chain)

    def _tree(self, _: str) -> None:
        for turn in in_tree_order(self.session):
            here = "▶" if turn.number == self.session.current else " "
            said = turn.instruction or ("variation" if turn.kind == "variation" else turn.prompt)
            indent = "  " * min(self.session.depth(turn.number), 20)
            self._say(f"{here} {indent}{turn.number + 1}. {printable(said)[:80]}")

    def _seed(self, rest: str) -> None:
        session = self.session
        if rest in ("lock", "free"):
            session = session.with_seed(session.seed, rest == "lock")
        elif rest:
            session = session.with_seed(_number(rest), session.seed_locked)
        self._keep(session)
        self._say(f"seed {session.seed}, {'locked' if session.seed_locked else 'free'}")

    def _lock(self, rest: str) -> None:
        self._keep(self.session.with_lock(rest))
        self._say(f"locked: {', '.join(map(printable, self.session.lock)) or 'nothing'}")

    def _image(self, rest: str) -> None:
        found = describe_upload(Path(rest).expanduser().read_bytes(), self.workshop)
        self._say(
            f"{printable(found.prompt)}\n(by {found.source}; write it out, corrected, to start)"
        )
        self.session = self.workshop.store.new(found.seed if found.seed is not None else 0)

    def _new(self, _: str) -> None:
        self.session = self.workshop.store.new()
        self._say("A new conversation.")

    def _export(self, rest: str) -> None:
        path = Path(rest).expanduser()
        if path.suffix == ".png":
            now = self.session.now
            if now is None:
                raise ChatError("There is no picture yet.")
            path.write_bytes(self._png(now))
        elif path.suffix == ".json":
            path.write_text(self.session.save(), encoding="utf-8")
        else:
            raise ChatError("/export FILE.json keeps the session, /export FILE.png the picture.")
        self._say(str(path))

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style))


def in_tree_order(session: Session) -> Iterator[Turn]:
    """Every turn right behind its parent, older siblings first."""
    waiting = list(reversed(session.children(None)))
    while waiting:
        turn = waiting.pop()
        yield turn
        waiting += reversed(session.children(turn.number))


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ChatError(f"{text!r} is no number.") from None


def picture_mode(wish: str) -> str:
    """`auto` is what this terminal can: kitty, iterm, blocks; none without one."""
    if wish != "auto":
        return wish
    if not sys.stdout.isatty():
        return "none"
    if os.environ.get("KITTY_WINDOW_ID") or os.environ.get("TERM_PROGRAM") == "ghostty":
        return "kitty"
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        return "iterm"
    return "blocks" if os.environ.get("COLORTERM") in ("truecolor", "24bit") else "none"


def drawn(png: bytes, mode: str) -> str:
    """What makes a terminal show the picture."""
    data = base64.b64encode(png).decode()
    if mode == "iterm":
        return f"\x1b]1337;File=inline=1;height=16:{data}\x07\n"
    if mode == "kitty":
        chunks = [data[i : i + 4096] for i in range(0, len(data), 4096)]
        parts = (f"\x1b_G{'a=T,f=100,r=16,' if i == 0 else ''}m={int(i < len(chunks) - 1)};{chunk}"
                 "\x1b\\" for i, chunk in enumerate(chunks))  # fmt: skip
        return "".join(parts) + "\n"
    return _blocks(png)


def _blocks(png: bytes, columns: int = 40) -> str:
    """Two pixels a character, in 24-bit colour."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    rows = max(2, round(columns * picture.height / picture.width) // 2 * 2)
    small = picture.resize((columns, rows))
    lines = []
    for y in range(0, rows, 2):
        cells = []
        for x in range(columns):
            (r, g, b), (s, h, c) = small.getpixel((x, y)), small.getpixel((x, y + 1))  # type: ignore[misc]
            cells.append(f"\x1b[38;2;{r};{g};{b}m\x1b[48;2;{s};{h};{c}m▀")
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines) + "\n"
