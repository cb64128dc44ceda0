"""Read a prompt the way an editor needs it: its segments, which of them are tags of style, and
the places that must not be touched.

A prompt is cut at commas, full stops and line breaks into segments; a segment is `content` ("a cat
in a park"), `tag` ("oil painting", "by Greg Rutkowski") or `syntax` (`<lora:…>`, `--ar 3:2`,
`BREAK`).  Leaves out meaning.
"""

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar

from models.integrity.lexicon import word_sets
from models.integrity.phrases import Parsed, Phrase, Token, noun_class, parse
from models.integrity.words import lemma_of
from models.teacher.syntax import PROTECTED

SegmentKind = Literal["content", "tag", "syntax"]

_SEPARATOR = re.compile(r"\s*(?:[,;|\n]+|\.(?=\s|$)|\.{2,})[\s,;.|]*")
_TAG_START = re.compile(
    r"^\s*(?:art(?:work)? )?(?:by|in the style|style of|trending|featured on|inspired by|shot on|"
    r"taken (?:with|by|on)|drawn by|painted by|painting by|illustration by|photo by|photograph by|"
    r"as seen on|rule of|award|directed by|designed by|behance|full of detail|"
    r"made in|on artstation|art of|"
    r"with (?:soft|dramatic|cinematic|volumetric|high|intricate|extreme))\b",
    re.IGNORECASE,
)
_LOOSE_ADVERBS = frozenset({"highly", "extremely", "insanely", "very", "super", "ultra", "hyper"})


class Segment(NamedTuple):
    """`prompt[start:end]` without its separators."""

    start: int
    end: int
    text: str
    kind: SegmentKind


class Reading(NamedTuple):
    """A prompt read once, for all its edits."""

    text: str
    parsed: Parsed
    segments: tuple[Segment, ...]
    protected: tuple[tuple[int, int], ...]
    editable: tuple[Phrase, ...] = ()

    def content(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.kind == "content"]

    def free(self, start: int, end: int) -> bool:
        """Whether no protected text overlaps `[start, end)`."""
        return all(end <= first or last <= start for first, last in self.protected)

    def phrases(self) -> tuple[Phrase, ...]:
        """Phrases of content that an edit may touch."""
        return self.editable

    def body_end(self) -> int:
        """Where content may be added: behind the run of content that holds the first thing."""
        things = [phrase for phrase in self.editable if phrase.kind in ("thing", "name")]
        after = things[0].start if things else 0
        end = 0
        for segment in self.segments:
            if segment.kind == "content":
                end = segment.end
            elif end > after:
                break
        return end or self.tail_end()

    def tail_end(self) -> int:
        """Where tags may be added: behind everything but trailing syntax."""
        ends = [segment.end for segment in self.segments if segment.kind != "syntax"]
        return max(ends, default=0)


def _editable(reading: Reading) -> tuple[Phrase, ...]:
    """One pass over phrases and segments, both in order."""
    found, segments = [], iter(reading.segments)
    segment = next(segments, None)
    for phrase in reading.parsed.phrases:
        while segment is not None and segment.end < phrase.end:
            segment = next(segments, None)
        if segment is None:
            break
        inside = segment.kind == "content" and segment.start <= phrase.start
        if inside and reading.free(phrase.start, phrase.end):
            found.append(phrase)
    return tuple(found)


@lru_cache(maxsize=64)
def read(prompt: str) -> Reading:
    """Segments, phrases and protected places of a prompt; any text is fine."""
    protected = tuple(match.span() for match in PROTECTED.finditer(prompt))
    parsed = parse(prompt)
    segments: list[Segment] = []
    start = 0
    for match in [*_SEPARATOR.finditer(prompt), None]:
        if match and any(a < match.start() + 1 and match.end() - 1 < b - 1 and a <= match.start()
                         for a, b in protected):  # fmt: skip
            continue
        end = match.start() if match else len(prompt)
        segments += _segments(prompt, start, end, parsed, segments)
        start = match.end() if match else end
    reading = Reading(prompt, parsed, tuple(segments), protected)
    return reading._replace(editable=_editable(reading))


def _segments(
    prompt: str, start: int, end: int, parsed: Parsed, before: list[Segment]
) -> list[Segment]:
    """One segment, or two where a flag follows the last words without a comma."""
    text = prompt[start:end]
    if not text.strip():
        return []
    start += len(text) - len(text.lstrip())
    end -= len(text) - len(text.rstrip())
    text = prompt[start:end]
    flag = re.search(r"(?:^|\s)(?=(?:--[a-z]|[–—]{1,2}[a-z]+ \d|<[a-z]+:|BREAK\b))", text)
    if flag and flag.start() > 0:
        head = prompt[start : start + flag.start()].rstrip()
        return [
            Segment(start, start + len(head), head, _kind(head, start, parsed, before)),
            Segment(start + flag.end(), end, prompt[start + flag.end() : end], "syntax"),
        ]
    if flag:
        return [Segment(start, end, text, "syntax")]
    return [Segment(start, end, text, _kind(text, start, parsed, before))]


T = TypeVar("T", Token, Phrase)


def _between(items: tuple[T, ...], start: int, end: int) -> tuple[T, ...]:
    """Those that start in `[start, end)`; they come in order."""
    first = bisect_left(items, start, key=lambda item: item.start)
    return items[first : bisect_left(items, end, key=lambda item: item.start)]


def _kind(text: str, start: int, parsed: Parsed, before: list[Segment]) -> SegmentKind:
    if not re.search(r"\w", text):
        return "syntax"
    if _TAG_START.match(text):
        return "tag"
    end = start + len(text)
    tokens = _between(parsed.tokens, start, end)
    phrases = _between(parsed.phrases, start, end)
    sets = word_sets()
    if before and all(
        token.lower in sets.style or lemma_of(token.lower) in sets.style
        or token.lower in sets.small or token.lower in _LOOSE_ADVERBS or token.lower.isdigit()
        for token in tokens
    ):  # fmt: skip
        return "tag"
    looks = bool(phrases) and all(phrase.kind in ("medium", "style") for phrase in phrases)
    known = any(noun_class(token.lower) for token in tokens if token.tag == "NOUN")
    if before and looks and not known:
        return "tag"
    # Artists go on: "by Greg Rutkowski, Alphonse Mucha, artgerm".
    named = (
        before and before[-1].kind == "tag" and re.match(r"^(?:art )?by ", before[-1].text, re.I)
    )
    chained = before and before[-1].kind == "tag" and len(before) > 1 and len(tokens) <= 3
    plain = all(token.tag in ("NOUN", "ADJ", "CONJ") for token in tokens)
    unknown = not any(noun_class(token.lower) for token in tokens)
    if (named or chained) and plain and unknown and len(tokens) <= 4:
        return "tag"
    if before and not phrases and len(tokens) <= 3:
        return "tag"
    return "content"
