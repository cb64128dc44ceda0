"""Phrases that a prompt says again: "golden light, golden light".

Said twice, a word draws more in most text-to-image models, so training on pictures finds it; people
do not write so, and read it badly.  Phrases are what stands between commas, full stops and
brackets, and are the same if their words have the same lemmas.  Leaves out words said again within
another phrase ("golden light, golden hour"), which mostly mean something else.
"""

from collections import Counter
from itertools import groupby

from models.integrity.words import analyse


def repeated_phrases(prompt: str, given: str = "") -> list[str]:
    """Each phrase of `prompt` that stands there before, as lemmas, once for every time too often.

    What `given`, the text it answers, says twice may be said as often.

    >>> repeated_phrases("a cat, golden light, Golden lights, golden light", "a cat")
    ['golden light', 'golden light']
    """
    allowed, said = Counter(_phrases(given)), Counter[str]()
    found = []
    for phrase in _phrases(prompt):
        said[phrase] += 1
        if said[phrase] > max(1, allowed[phrase]):
            found.append(phrase)
    return found


def _phrases(prompt: str) -> list[str]:
    clauses = groupby(analyse(prompt).words, key=lambda word: word.clause)
    return [" ".join(word.lemma for word in words) for _, words in clauses]
