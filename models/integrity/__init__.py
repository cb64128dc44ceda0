"""Content integrity: what a prompt must say, still says, and no longer says, by units.

`content_integrity(units, prompt)` judges the teacher's data, the reward, the evaluation and the
chat alike; `find_unit` says where a unit stands; `extract_units` derives units by rule where no
teacher wrote them; `repeated_phrases` finds what is said twice.  Leaves out pictures.  Try it:

    python -m models.integrity "a red car at night" "make the car blue" "a blue car at night"
"""

from models.integrity.extract import extract_units, unit_texts
from models.integrity.repeats import repeated_phrases
from models.integrity.score import (
    Integrity,
    Miss,
    Span,
    content_integrity,
    find_all,
    find_unit,
)
from models.integrity.words import analyse, lemma_of

__all__ = [
    "Integrity",
    "Miss",
    "Span",
    "analyse",
    "content_integrity",
    "extract_units",
    "find_all",
    "find_unit",
    "lemma_of",
    "repeated_phrases",
    "unit_texts",
]
