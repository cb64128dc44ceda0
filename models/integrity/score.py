"""Content integrity: does a prompt say what was asked, and no longer what was asked away?

`CI = recall(keep ∪ add) · (1 − share of remove still present)`, in [0, 1] (DESIGN.md, Method; our
reading of the paper).  Recall of nothing is 1.  Leaves out the picture: image-side integrity asks
an image–text scorer.  About 20,000 prompts a second; nothing heavier than a dictionary is loaded.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from models.integrity.lexicon import word_sets
from models.integrity.words import Prompt, Word, analyse
from schemas.units import Unit, UnitRole

_NEGATIONS = frozenset({"no", "not", "without", "never"})
MAX_GAP = 3  # words between two lemmas of a unit (our choice)


class Span(NamedTuple):
    """First and one past the last word of a match, as indices into `Prompt.words`."""

    first: int
    end: int


class Miss(NamedTuple):
    """A unit that was not honoured, and why, in words for a person."""

    unit: Unit
    reason: str


class Integrity(NamedTuple):
    """`score` in [0, 1]; one `Miss` a unit not honoured; `extra` phrases nobody asked for.

    `recall` is the share of keep and add units found, `remaining` that of remove units still
    present: score = recall · (1 − remaining).  `extra` never lowers the score.
    """

    score: float
    misses: tuple[Miss, ...]
    extra: tuple[str, ...]
    recall: float
    remaining: float


class _Wanted(NamedTuple):
    lemmas: tuple[str, ...]
    small: frozenset[str]  # its articles, prepositions, …
    negated: bool  # the unit itself says "no people"


@lru_cache(maxsize=65_536)
def _wanted(text: str) -> _Wanted:
    """Content lemmas of a unit; a unit of nothing but small words keeps them."""
    words = analyse(text).words
    small = word_sets().small
    content = [word for word in words if word.text not in small]
    negated = bool(content) and content[-1].negated
    if negated:
        content = [word for word in content if word.negated]
    return _Wanted(
        lemmas=tuple(word.lemma for word in content or words),
        small=frozenset(word.text for word in words if word.text in small),
        negated=negated,
    )


def find_unit(text: str, prompt: str) -> Span | None:
    """The first place where `prompt` affirms the unit `text`, or None.

    Lemmas must follow each other; articles and further modifiers may stand between them ("blue
    sports car" has a "blue car", "blue house, red car" has none), and the modifier may follow its
    noun ("the car is blue").  A negated word does not count, unless the unit negates it too.
    """
    spans = find_all(text, prompt)
    return spans[0] if spans else None


def find_all(text: str, prompt: str) -> list[Span]:
    """Every place where `prompt` affirms the unit, in order."""
    wanted = _wanted(text)
    if not wanted.lemmas:
        return []
    return _occurrences(wanted, analyse(prompt), affirmed=not wanted.negated)


def _occurrences(wanted: _Wanted, prompt: Prompt, *, affirmed: bool) -> list[Span]:
    lemmas, places = wanted.lemmas, prompt.places
    for lemma in lemmas:
        if lemma not in places:
            return []
    spans = []
    for first in places[lemmas[0]]:
        end = _follow(wanted, prompt, first)
        if end and prompt.words[end - 1].negated != affirmed:
            spans.append(Span(first, end))
    if not spans and len(lemmas) > 1:
        spans = _modifier_after(lemmas, prompt, affirmed)
    return spans


def _follow(wanted: _Wanted, prompt: Prompt, first: int) -> int:
    """One past the last word if the unit's lemmas follow from word `first` on, else 0."""
    words, position = prompt.words, first
    for lemma in wanted.lemmas[1:]:
        start = position = position + 1
        while position < len(words) and words[position].lemma != lemma:
            if position - start == MAX_GAP or not _may_stand_between(wanted, words, position):
                return 0
            position += 1
        if position >= len(words) or words[position].clause != words[first].clause:
            return 0
    return position + 1


def _may_stand_between(wanted: _Wanted, words: tuple[Word, ...], position: int) -> bool:
    sets, text = word_sets(), words[position].text
    if text in wanted.small or text in sets.modifiers or text.endswith("ly"):
        return True
    if text in sets.articles:  # "cat on the mat" for "cat on mat", not "blue house, a car"
        return words[position - 1].text in wanted.small
    if text == "and":  # "blue and white car", not "blue house and car"
        return _colour_like(words, position - 1) and _colour_like(words, position + 1)
    return text in ("very", "of", "colored", "coloured")


def _colour_like(words: tuple[Word, ...], position: int) -> bool:
    sets = word_sets()
    if position >= len(words):
        return False
    text = words[position].text
    return text in sets.colours or text in sets.materials or text in sets.adjectives


def _modifier_after(lemmas: tuple[str, ...], prompt: Prompt, affirmed: bool) -> list[Span]:
    """ "The car is blue" for "blue car": the noun, a copula, then the modifiers."""
    words, spans = prompt.words, []
    *modifiers, noun = lemmas
    for index in prompt.places[noun]:
        position, linked = index + 1, False
        while position < len(words) and words[position].text in word_sets().links:
            linked, position = True, position + 1
        found = [word.lemma for word in words[position : position + len(modifiers)]]
        end = position + len(modifiers)
        if linked and found == modifiers and words[end - 1].negated != affirmed:
            spans.append(Span(index, end))
    return spans


def content_integrity(
    units: Iterable[Unit | tuple[UnitRole, str]], prompt: str, allowed: str = ""
) -> Integrity:
    """Score `prompt` against typed units; pure, deterministic, never raises on any text.

    A removed unit counts as still present unless it only stands inside a longer unit that is
    wanted ("car" in "blue car", "star" in "two stars").  Words of `allowed` (the raw prompt and
    the instruction, say) are never reported as extra.
    """
    units = [Unit(*unit) for unit in units]
    wanted = [unit for unit in units if unit.role != "remove"]
    removed = [unit for unit in units if unit.role == "remove"]
    misses: list[Miss] = []
    spans: list[Span] = []
    said: list[tuple[Span, tuple[str, ...]]] = []
    for unit in wanted:
        found = find_all(unit.text, prompt)
        spans += found
        said += ((span, _wanted(unit.text).lemmas) for span in found)
        if not found:
            misses.append(Miss(unit, _why_missing(unit.text, prompt)))
    recall = 1 - len(misses) / len(wanted) if wanted else 1.0
    still = 0
    for unit in removed:
        lemmas = _wanted(unit.text).lemmas
        left = [span for span in find_all(unit.text, prompt) if not _excused(span, lemmas, said)]
        if left:
            still += 1
            words = analyse(prompt).words
            text = prompt[words[left[0].first].start : words[left[0].end - 1].end]
            misses.append(Miss(unit, f"still present: {text!r}"))
    remaining = still / len(removed) if removed else 0.0
    return Integrity(
        score=recall * (1 - remaining),
        misses=tuple(misses),
        extra=_extra(prompt, spans, allowed),
        recall=recall,
        remaining=remaining,
    )


def _excused(span: Span, lemmas: tuple[str, ...], said: list[tuple[Span, tuple[str, ...]]]) -> bool:
    """Whether a removed unit only stands inside a wanted one that says more or something else."""
    return any(
        wanted.first <= span.first and span.end <= wanted.end and others != lemmas
        for wanted, others in said
    )


def _why_missing(text: str, prompt: str) -> str:
    wanted, analysed = _wanted(text), analyse(prompt)
    if not wanted.lemmas:
        return "the unit has no words"
    if _occurrences(wanted, analysed, affirmed=wanted.negated):
        return "negated in the prompt" if not wanted.negated else "not negated in the prompt"
    there = [lemma for lemma in wanted.lemmas if lemma in analysed.places]
    if not there:
        return "missing"
    if len(there) == len(wanted.lemmas):
        return "its words are there, but not together"
    gone = [lemma for lemma in wanted.lemmas if lemma not in analysed.places]
    return f"{' '.join(there)!r} is there, without {' '.join(gone)!r}"


def _extra(prompt: str, spans: list[Span], allowed: str) -> tuple[str, ...]:
    """Runs of content words that no wanted unit, no allowed word and no word of style covers."""
    analysed, sets = analyse(prompt), word_sets()
    covered = {index for span in spans for index in range(span.first, span.end)}
    excused = analyse(allowed).places if allowed else {}
    runs: list[list[int]] = []
    for index, word in enumerate(analysed.words):
        plain = (
            word.text in sets.small
            or word.text in _NEGATIONS
            or word.text in sets.verbs
            or word.lemma in sets.style
        )
        if index in covered or plain or word.negated or word.lemma in excused:
            continue
        last = runs[-1][-1] if runs else -2
        if last == index - 1 and analysed.words[last].clause == word.clause:
            runs[-1].append(index)
        else:
            runs.append([index])
    noun_runs = (run for run in runs if any(
        analysed.words[index].text not in sets.modifiers for index in run))  # fmt: skip
    return tuple(
        prompt[analysed.words[run[0]].start : analysed.words[run[-1]].end] for run in noun_runs
    )
