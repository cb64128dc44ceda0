"""Units of an edit and the integrity of its target, or the F1 of the rules on labelled cases.

python -m models.integrity "a red car at night" "make the car blue" ["a blue car at night"]
python -m models.integrity --measure tests/models/integrity/extract_units_200.jsonl
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models.integrity.extract import extract_units
from models.integrity.lexicon import word_sets
from models.integrity.score import content_integrity
from models.integrity.words import analyse

Labelled = set[tuple[str, tuple[str, ...]]]


def f1_by_half(cases: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Micro-F1 of `extract_units` on each `half` of labelled cases.

    A unit is right if its role and its lemmas, without articles, are those of a label.
    """
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for case in cases:
        raw, instruction = case["raw_prompt"], case["instruction"]
        gold: Labelled = {
            (role, _lemmas(text)) for role in ("keep", "add", "remove") for text in case[role]
        }
        units = extract_units(raw, instruction, case["target_prompt"])
        got: Labelled = {(unit.role, _lemmas(unit.text)) for unit in units}
        counts[case["half"]][0] += 2 * len(gold & got)
        counts[case["half"]][1] += len(gold) + len(got)
    return {half: right / total for half, (right, total) in sorted(counts.items())}


def _lemmas(text: str) -> tuple[str, ...]:
    small = word_sets().small
    return tuple(word.lemma for word in analyse(text).words if word.text not in small) or (text,)


def main() -> None:
    parser = argparse.ArgumentParser(description="Read the units of an edit.")
    parser.add_argument("text", nargs="*", help="raw prompt, instruction, target prompt")
    parser.add_argument("--measure", type=Path, metavar="FILE", help="labelled cases, JSON lines")
    arguments = parser.parse_args()
    if arguments.measure:
        lines = arguments.measure.read_text(encoding="utf-8").splitlines()
        for half, value in f1_by_half(json.loads(line) for line in lines).items():
            print(f"{half}: micro-F1 {value:.3f}")
        return
    if len(arguments.text) not in (2, 3):
        parser.error("give a raw prompt, an instruction and, if there is one, a target prompt")
    units = extract_units(*arguments.text)
    for unit in units:
        print(f"{unit.role}: {unit.text}")
    if len(arguments.text) == 3:
        print(content_integrity(units, arguments.text[2]))


if __name__ == "__main__":
    main()
