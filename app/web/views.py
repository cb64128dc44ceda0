"""A session as HTML: the coloured prompt, the tree, the figures.  Every text is escaped here."""

import base64
import io
from functools import lru_cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from app.changes import changes
from app.session import Session, Turn

THUMBNAIL_PX = 56
LANE_INDENT_PX, DEEPEST_INDENT = 18, 8
TAGS = {"kept": "span", "added": "ins", "removed": "del"}


def picture_html(path: Path | None, turn: Turn | None) -> str:
    """The picture, its prompt as the alternative text, a link to it in full size."""
    if turn is None:
        return '<div class="frame empty">The picture appears here.</div>'
    if path is None:
        return f'<div class="frame empty">{escape(turn.problem or "This picture is gone.")}</div>'
    url = f"gradio_api/file={escape(quote(str(path)), quote=True)}"
    said = escape(turn.prompt, quote=True)
    return (
        f'<div class="frame"><a href="{url}" target="_blank" rel="noopener" '
        f'title="Open in full size"><img src="{url}" alt="{said}"></a></div>'
    )


def prompt_html(session: Session, writing: str | None = None) -> str:
    """The prompt with what was kept, added and removed; of a text still being written, as it is."""
    turn = session.now
    if writing is not None:
        return f'<p class="prompt writing">{escape(writing)}<span class="caret"></span></p>'
    if turn is None:
        return '<p class="prompt empty">The prompt appears here, with its changes coloured.</p>'
    before = turn.prompt if turn.parent is None else session.turns[turn.parent].prompt
    pieces = []
    for text, change in changes(before, turn.prompt):
        said = "" if change == "kept" else f'<span class="sr">{change}: </span>'
        tag = TAGS[change]
        pieces.append(f"<{tag}>{said}{escape(text)}</{tag}>")
    return f'<p class="prompt" dir="auto">{"".join(pieces)}</p>{_units(turn)}{_notes(turn)}'


def _units(turn: Turn) -> str:
    signs = {"keep": "kept", "add": "added", "remove": "removed"}
    chips = [
        f'<li class="{signs[unit.role]}"><span class="role">{signs[unit.role]}</span> '
        f"{escape(unit.text)}</li>"
        for role in ("add", "remove", "keep")
        for unit in turn.units
        if unit.role == role
    ]
    return f'<ul class="units" aria-label="Content units">{"".join(chips)}</ul>' if chips else ""


def _notes(turn: Turn) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in turn.notes)


def facts_html(session: Session, model: str, tis: str) -> str:
    """Scores with their gains, the seed, who wrote and who drew."""
    turn = session.now
    if turn is None:
        return ""
    cells = [_score(name, value, turn.gains.get(name)) for name, value in turn.scores.items()]
    cells.append(f"<div><dt>seed</dt><dd>{turn.seed}</dd></div>")
    cells.append(f"<div><dt>written by</dt><dd>{escape(turn.model or 'you')}</dd></div>")
    cells.append(f"<div><dt>drawn by</dt><dd>{escape(turn.tis or tis)}</dd></div>")
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _score(name: str, value: float, gain: float | None) -> str:
    moved = ""
    if gain is not None:
        way = "up" if gain > 0 else "down" if gain < 0 else "same"
        moved = f' <span class="{way}">{gain:+.2f}</span>'
    return f"<div><dt>{escape(name)}</dt><dd>{value:.2f}{moved}</dd></div>"


def status_html(text: str, kind: str = "status") -> str:
    """A line that screen readers say by themselves: `status`, or `alert` for what went wrong."""
    live = "assertive" if kind == "alert" else "polite"
    return f'<div class="said {kind}" role="{kind}" aria-live="{live}">{escape(text)}</div>'


def tree_html(session: Session, picture_of) -> str:
    """All turns as buttons with thumbnails: a row for each line of the conversation.

    `picture_of(render_id)` is the file of a picture or None.
    """
    if not session.turns:
        return '<p class="tree-empty">Every picture stays here; click one to go on from it.</p>'
    children: dict[int | None, list[Turn]] = {}
    for turn in session.turns:
        children.setdefault(turn.parent, []).append(turn)
    waiting = [(turn, 0) for turn in reversed(children[None])]
    rows = []
    while waiting:
        first, indent = waiting.pop()
        lane, branches, turn = [], [], first
        while True:
            lane.append(_button(turn, session.current, picture_of))
            follow = children.get(turn.number, [])
            deeper = min(indent + 1, DEEPEST_INDENT)
            branches += [(other, deeper) for other in follow[1:]]
            if not follow:
                break
            turn = follow[0]
        origin = "" if first.parent is None else (
            f'<span class="from">from {first.parent + 1}</span>'
        )  # fmt: skip
        margin = LANE_INDENT_PX * indent
        rows.append(
            f'<div class="lane" style="margin-left:{margin}px">{origin}{"".join(lane)}</div>'
        )
        waiting += reversed(branches)
    return f'<nav class="tree" aria-label="All turns of this session">{"".join(rows)}</nav>'


def _button(turn: Turn, current: int | None, picture_of) -> str:
    said = {"start": turn.prompt, "variation": f"seed {turn.seed}"}.get(turn.kind, turn.instruction)
    label = escape(f"Turn {turn.number + 1}: {said[:120]}", quote=True)
    path = picture_of(turn.render_id) if turn.render_id else None
    inside = (
        f'<img alt="" src="{thumbnail(str(path))}">'
        if path
        else '<span class="no-picture" aria-hidden="true">?</span>'
    )
    here = ' aria-current="true"' if turn.number == current else ""
    named = f'aria-label="{label}" title="{label}"{here}'
    return (
        f'<button type="button" data-turn="{turn.number}" {named}>'
        f'{inside}<span class="number" aria-hidden="true">{turn.number + 1}</span></button>'
    )


@lru_cache(maxsize=1_024)
def thumbnail(path: str) -> str:
    """The picture, small, as a data URL: pictures are content, so a path never changes its own."""
    with Image.open(Path(path)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_PX * 2, THUMBNAIL_PX * 2))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=75)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def messages(session: Session) -> list[dict[str, str]]:
    """The conversation that led to the turn looked at, as the chat shows it (plain text)."""
    said = []
    for turn in session.path():
        if turn.kind == "start":
            asked, answer = turn.prompt, "Drawn as you wrote it. Say what to change."
        elif turn.kind == "variation":
            asked, answer = "Another picture of the same words", f"Seed {turn.seed}."
        else:
            asked = "Make it better" if turn.kind == "better" else turn.instruction
            answer = turn.prompt
        if turn.problem:
            answer = f"{answer}\n\nNo picture: {turn.problem}"
        # The chat component takes text for HTML and drops the tags: a person's "<b>" must show.
        said.append({"role": "user", "content": escape(asked, quote=False)})
        said.append({"role": "assistant", "content": escape(answer, quote=False)})
    return said
