"""One spelling for a prompt: Unicode, control characters and white space.

`ftfy` mends mojibake, ligatures, full-width letters and curly quotes and composes to NFC.  Prompt
syntax (`(word:1.2)`, `BREAK`, `<lora:…>`, quoted text) stays as typed.  Left out: spelling, case
and HTML entities, which are data.
"""

import re
import unicodedata
from functools import cache
from typing import Any

_SPACE = re.compile(r"\s+")
# Zero-width spaces and marks of writing direction: invisible, and two prompts that differ by
# them are one.  The joiners U+200C and U+200D stay: emoji and some scripts need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


@cache
def _config() -> Any:
    from ftfy import TextFixerConfig

    return TextFixerConfig(unescape_html=False, explain=False)


def normalise(text: str) -> str:
    """The prompt as it is stored; normalising it again changes nothing."""
    if text.isascii() and text.isprintable():
        return _SPACE.sub(" ", text).strip()
    from ftfy import fix_text

    for _ in range(3):  # mending can uncover what can be mended: until nothing changes
        fixed = _once(fix_text(text, _config()))
        if fixed == text:
            break
        text = fixed
    return text


def _once(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()
