"""Where sessions and their pictures are kept: `$DIFFCHAT_HOME/chat`.

    sessions/<id>.json    a session, written whole after every turn, so that a reload finds it
    shared/<id>.json      a copy that somebody gave away by link
    pictures/<id>.png     a picture, by render id: the same words, model and seed are drawn once
    cache/                uploads and downloads of the page, for a day

Names are made of ids alone, so that no text of a person becomes a path.  Nothing in here reaches
the warehouse: consented turns go there by `app.consent`.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path

from app.session import Session, load
from schemas.errors import ChatError

_ID = re.compile(r"[0-9a-f]{32}")
OFFERED_S = 24 * 3_600
_PRUNE_EVERY = 200  # pictures written between two looks at how many there are


class ChatStore:
    """Files under one folder.  Ids that are not 32 hex digits are refused."""

    def __init__(self, home: Path, stored_pictures: int = 5_000) -> None:
        self.root = home / "chat"
        self.stored_pictures = stored_pictures
        self._written = self._offered = 0
        for name in ("sessions", "shared", "pictures", "cache"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def new(self, seed: int = 0) -> Session:
        """An empty session with an id that nobody can guess."""
        return Session(session_id=secrets.token_hex(16), seed=seed)

    def save(self, session: Session) -> None:
        _write(self._path("sessions", session.session_id, "json"), session.save().encode())

    def get(self, session_id: str) -> Session | None:
        """The saved session, or None.  Raises ChatError if its file is damaged."""
        return self._load("sessions", session_id)

    def delete(self, session_id: str) -> None:
        """Forget a session; its pictures go when they are the oldest."""
        self._path("sessions", session_id, "json").unlink(missing_ok=True)

    def sessions(self) -> list[str]:
        """Ids of the saved sessions, the last used first."""
        files = sorted(self.root.glob("sessions/*.json"), key=os.path.getmtime, reverse=True)
        return [path.stem for path in files if _ID.fullmatch(path.stem)]

    def share(self, session: Session) -> str:
        """Keep a copy as it is now; returns the id for a link."""
        shared_id = secrets.token_hex(16)
        copy = session.model_copy(update={"session_id": shared_id, "consent": False})
        _write(self._path("shared", shared_id, "json"), copy.save().encode())
        return shared_id

    def shared(self, shared_id: str) -> Session | None:
        """What was shared, as a new session of one's own."""
        found = self._load("shared", shared_id)
        return found and found.model_copy(update={"session_id": secrets.token_hex(16)})

    def adopt(self, text: str) -> Session:
        """An exported file as a new session.  Raises ChatError for anything else."""
        changed = {"session_id": secrets.token_hex(16), "consent": False}
        return load(text).model_copy(update=changed)

    def picture(self, render_id: str) -> Path | None:
        """The file of a picture, or None."""
        path = self._path("pictures", render_id, "png")
        return path if path.is_file() else None

    def put_picture(self, render_id: str, png: bytes) -> Path:
        path = self._path("pictures", render_id, "png")
        _write(path, png)
        self._written += 1
        if self._written % _PRUNE_EVERY == 1:
            self._prune()
        return path

    def offer(self, name: str, data: bytes) -> Path:
        """A file that the page may give away, kept for a day; `name` is none of a person's."""
        folder = self.root / "cache" / hashlib.sha256(data).hexdigest()
        folder.mkdir(exist_ok=True)
        path = folder / name
        _write(path, data)
        self._offered += 1
        if self._offered % _PRUNE_EVERY == 1:
            self._prune_cache()
        return path

    def _prune_cache(self) -> None:
        oldest = time.time() - OFFERED_S
        for folder in self.root.glob("cache/*"):
            if folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)

    def _prune(self) -> None:
        found = sorted(self.root.glob("pictures/*.png"), key=os.path.getmtime)
        for path in found[: max(0, len(found) - self.stored_pictures)]:
            path.unlink(missing_ok=True)

    def _load(self, folder: str, name: str) -> Session | None:
        try:
            return load(self._path(folder, name, "json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _path(self, folder: str, name: str, suffix: str) -> Path:
        if not _ID.fullmatch(name):
            raise ChatError(f"{name[:40]!r} is no id of a session or a picture.")
        return self.root / folder / f"{name}.{suffix}"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ChatError(
            f"{path} could not be written ({error.strerror}): free some space."
        ) from None
