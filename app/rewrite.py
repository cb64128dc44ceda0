"""`diffchat rewrite`: a prompt and an instruction in, the new prompt out; or JSONL through a pipe.

    diffchat rewrite "a red car" "make it blue"
    diffchat rewrite --json < cases.jsonl      # lines {"prompt": …, "instruction": …}

The same protection, budget and filter as in the chat, without pictures.  A line that fails is a
line with `error`, so that the others go on.
"""

import json
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TextIO

from app.parts import Workshop
from app.session import Session
from app.store import ChatStore
from app.turns import BETTER, Parts, Rewritten, first_turn, rewrite
from schemas.errors import ChatError, DiffChatError
from schemas.settings import Settings, home, load_settings

MAX_LINE = 200_000  # characters


def run_rewrite(
    settings: Settings, prompt: str | None, instruction: str | None, as_json: bool
) -> None:
    """Print the answer to the arguments, or one for each line of stdin.

    Exits with 2 at the end if any line of a batch failed.
    """
    workshop = Workshop(settings, home(), ChatStore(home()))
    parts = workshop.parts()
    if prompt is not None:
        found = rewritten(prompt, instruction or BETTER, parts)
        print(_as_json(found) if as_json else found.prompt)
        for note in found.notes if not as_json else ():
            print(note, file=sys.stderr)
        return
    if sys.stdin.isatty():
        raise ChatError(
            'Give a prompt and an instruction, or pipe lines {"prompt": …, "instruction": …} in.'
        )
    failed = 0
    for answer in answers(sys.stdin, parts):
        failed += "error" in answer
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    if failed:
        raise ChatError(f"{failed} lines failed; `error` in them says why.")


def rewritten(prompt: str, instruction: str, parts: Parts) -> Rewritten:
    """One rewrite outside of any session.  Raises ChatError, PromptTooLong, EndpointError."""
    session = Session(session_id="0" * 32)
    session = session.add(first_turn(session, prompt, parts))
    *_, found = rewrite(session, instruction, parts)
    assert isinstance(found, Rewritten)
    return found


def rewrite_with(
    prompt: str, instruction: str, endpoint: str | None, model: str, timeout_s: float = 60.0
) -> str:
    """For other programs: the new prompt, by an endpoint or a local model of the profile in use.

    Raises ChatError, PromptTooLong, EndpointError, ModelError.
    """
    changes: dict[str, Any] = {"chat.endpoint.timeout_s": timeout_s}
    if endpoint:
        changes |= {"chat.endpoint.base_url": endpoint, "chat.endpoint.model": model}
    else:
        changes |= {"chat.model": model}
    settings = load_settings(os.environ.get("DIFFCHAT_PROFILE", "embedded"), changes)
    key = settings.model_dump_json()
    return rewritten(prompt, instruction.strip() or BETTER, _parts(key)).prompt


@lru_cache(maxsize=1)
def _parts(settings_json: str) -> Parts:
    """Kept between calls, so that a local model is loaded once."""
    settings = Settings.model_validate_json(settings_json)
    return Workshop(settings, home(), ChatStore(home())).parts()


def answers(lines: TextIO, parts: Parts) -> Iterator[dict[str, Any]]:
    """An answer for each line that is not blank, in order; errors are answers too."""
    for line in lines:
        if not line.strip():
            continue
        asked: dict[str, Any] = {}
        try:
            asked = _asked(line)
            found = rewritten(asked["prompt"], asked.get("instruction") or BETTER, parts)
            yield asked | {"target_prompt": found.prompt, **_units(found), "notes": found.notes}
        except DiffChatError as error:
            yield asked | {"error": str(error)}


def _asked(line: str) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ChatError(f"A line of {len(line):,} characters is no prompt and instruction.")
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        raise ChatError(f"Not JSON: {line.strip()[:120]!r}.") from None
    texts = isinstance(asked, dict) and (asked.get("prompt"), asked.get("instruction") or "")
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ChatError('Each line needs {"prompt": "…", "instruction": "…"}, both text.')
    return asked


def _units(found: Rewritten) -> dict[str, list[str]]:
    return {role: [u.text for u in found.units if u.role == role]
            for role in ("keep", "add", "remove")}  # fmt: skip


def _as_json(found: Rewritten) -> str:
    answer = {"target_prompt": found.prompt, **_units(found), "notes": found.notes}
    return json.dumps(answer, ensure_ascii=False)
