"""Turns that people give: into the table `chat_turns`, and from there into the next dataset.

Stored only for sessions with `consent`, turn by turn as they are made; the session's id, which is
the key to it, is hashed.  `diffchat import chat` makes triples of them: the next build renders,
scores and decides them like any others, so that only what made pictures better is published.
"""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from app.session import Session, Turn
from schemas.errors import SourceError
from schemas.identity import content_id
from schemas.records import CHAT_TURNS
from schemas.settings import Settings
from warehouse import Warehouse


class ConsentedTurns:
    """Appends turns to the warehouse, which is opened when the first one comes."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self.settings, self.home = settings, home
        self._opening = threading.Lock()
        self._lake: Warehouse | None = None

    def keep(self, session: Session, known: int) -> int:
        """Store what was made since there were `known` turns; returns how many rows were added.

        Nothing without consent.  Starts and variations have no instruction and are not stored.
        """
        made = [turn for turn in session.turns[known:] if turn.kind in ("edit", "better")]
        if not session.consent or not made:
            return 0
        rows = [row_of(session, turn, self.settings.chat.licence) for turn in made]
        return self.lake().append("chat_turns", pa.Table.from_pylist(rows, schema=CHAT_TURNS))

    def lake(self) -> Warehouse:
        """The warehouse, open for writing until `close`.  Raises WarehouseError."""
        with self._opening:
            if self._lake is None:
                self._lake = Warehouse.open(self.settings.warehouse, self.home)
            return self._lake

    def close(self) -> None:
        if self._lake is not None:
            self._lake.close()


def row_of(session: Session, turn: Turn, licence: str) -> dict[str, Any]:
    """One row of `chat_turns`."""
    assert turn.parent is not None
    hashed = content_id("chat_session", session.session_id)
    return {
        "turn_id": content_id("chat_turn", hashed, turn.number),
        "session_id": hashed,
        "number": turn.number,
        "parent": turn.parent,
        "raw_prompt": session.turns[turn.parent].prompt,
        "instruction": turn.instruction,
        "target_prompt": turn.prompt,
        "units": [unit._asdict() for unit in turn.units],
        "model": turn.model,
        "tis_id": turn.tis_id,
        "seed": turn.seed,
        "render_id": turn.render_id,
        "scores": json.dumps(turn.scores, sort_keys=True),
        "licence": licence,
        "consented_at": datetime.now(UTC),
    }


GIVEN = """
SELECT DISTINCT raw_prompt, instruction, target_prompt FROM chat_turns
WHERE licence = ? AND raw_prompt <> target_prompt ORDER BY ALL
"""


def write_given(lake: Warehouse, folder: Path) -> list[tuple[Path, str]]:
    """The given turns as JSONL files that `diffchat import` reads, one a licence.

    Raises SourceError when nobody has given any.
    """
    licences = lake.query("SELECT DISTINCT licence FROM chat_turns ORDER BY 1").column(0)
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, licence in enumerate(licences.to_pylist()):
        rows = lake.query(GIVEN, [licence]).to_pylist()
        if rows:
            path = folder / f"given-{number}.jsonl"
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            written.append((path, licence))
    if not written:
        raise SourceError(
            "No turns were given yet: people give them by ticking the box in `diffchat app`."
        )
    return written
