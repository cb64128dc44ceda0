"""How well the offline teacher edits real prompts: rule checks, variety, fallbacks, speed.

Method: 200 prompts drawn with a seed from a file of raw prompts (those that fit the text encoder),
one request for each of the 9 first-turn kinds, answered in process by the code behind the server;
then the rules of `models.teacher.rules` judge every proposal.  A template's share is of all
proposals and, more strictly, of the proposals of its kind.  Requests a second are of CPU time, for
bodies as the client sends them (k = 3).  `--sample FILE` writes a random sample to be read by hand;
`--verdicts FILE` counts a list that was.  docs/teacher-handread.tsv was drawn with `--seed 7
--tokenizer models/embedded/weights/tis-sd/tokenizer` from the public file pickapic_prompts.txt,
after the editor had been tuned on samples of other seeds, and read by one of its authors: "right"
means that somebody could have asked for this, and that the edit does it, in readable English, and
nothing else.

    python -m benchmarks.offline_teacher PROMPTS.txt [--sample OUT.tsv] [--verdicts IN.tsv]
"""

import argparse
import csv
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from models.teacher.offline.answering import complete
from models.teacher.offline.draft import Proposal
from models.teacher.offline.editor import propose
from models.teacher.recipes import teacher_body
from models.teacher.rules import violations
from schemas.settings import TeacherSettings
from schemas.units import EditKind

KINDS = [kind for kind in EditKind if kind is not EditKind.FOLLOW_UP]
BUDGET = 75  # tokens of a prompt, without the two special ones
COLUMNS = ("line", "asked", "kind", "instruction", "edit", "verdict", "why")
CONTEXT = 3  # words around a change that a sample quotes


class Edited(NamedTuple):
    line: int  # in the file, from 1
    prompt: str
    asked: EditKind
    proposal: Proposal


def token_counter(folder: Path | None) -> Callable[[str], int] | None:
    """Counts as the tokenizer in `folder` does, without special tokens; None without one."""
    if folder is None or not (folder / "tokenizer.json").exists():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def edit_all(
    path: Path, number: int, seed: int, count: Callable[[str], int] | None
) -> list[Edited]:
    """`number` prompts × 9 kinds."""
    lines = enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
    fitting = [(i, text.strip()) for i, text in lines
               if len(text.split()) >= 2 and (count is None or count(text) <= BUDGET)]  # fmt: skip
    drawn = random.Random(seed).sample(fitting, min(number, len(fitting)))
    return [
        Edited(line, prompt, asked, proposal)
        for line, prompt in drawn
        for asked in KINDS
        for proposal in propose(prompt, [asked], seed)
    ]


def report(edits: Sequence[Edited], asked: int, count: Callable[[str], int] | None) -> None:
    """Prints the figures."""
    broken: Counter[str] = Counter()
    passed = 0
    for edit in edits:
        p = edit.proposal
        texts = (edit.prompt, p.instruction, p.target_prompt, p.intent)
        found = violations(*texts, p.units, count, BUDGET if count else None)
        passed += not found
        broken.update({violation.split(":")[0] for violation in found})
    print(f"answered {len(edits)} of {asked}; pass the rules: {passed / asked:.1%} {dict(broken)}")
    same = Counter(edit.asked == edit.proposal.kind for edit in edits)
    print(f"of the kind asked for: {same[True] / len(edits):.1%}")
    templates = Counter(edit.proposal.template for edit in edits)
    print(f"most frequent template: {templates.most_common(1)[0][1] / len(edits):.1%} of all")
    for kind in KINDS:
        own = [edit for edit in edits if edit.proposal.kind == kind]
        asked_same = sum(edit.asked == kind for edit in own)
        top, times = Counter(edit.proposal.template for edit in own).most_common(1)[0]
        distinct = len({edit.proposal.instruction for edit in own})
        print(f"  {kind:12} {len(own):4} answered ({asked_same:3} asked), top template "
              f"{times / len(own):5.1%} {top[:40]!r}, {distinct} instructions")  # fmt: skip


def speed(path: Path, number: int = 500) -> None:
    """Requests a second of CPU time, as the server computes them."""
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines()[:number]
    bodies = [teacher_body(text, TeacherSettings()) for text in texts]
    complete(bodies[0])
    start = time.process_time()
    for body in bodies:
        complete(body)
    print(
        f"requests a second of CPU time, k = 3: {len(bodies) / (time.process_time() - start):.0f}"
    )


def write_sample(edits: Sequence[Edited], path: Path, number: int, seed: int) -> None:
    """A random sample to be read: the line in the file and the words around the edit."""
    drawn = random.Random(seed).sample(list(edits), min(number, len(edits)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for edit in drawn:
            p = edit.proposal
            change = word_diff(edit.prompt, p.target_prompt)
            writer.writerow((edit.line, edit.asked, p.kind, p.instruction, change, "", ""))


def word_diff(raw: str, target: str) -> str:
    """What changed, with a few words around it: "in a {+blue+} glass cube", "[-dog-] {+cat+}"."""
    old, new = (re.findall(r"\w[\w'’-]*|[^\w\s]", text) for text in (raw, target))
    parts: list[str] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            parts += [*old[a:b][:CONTEXT], "…", *old[a:b][-CONTEXT:]] if b - a > 6 else old[a:b]
            continue
        parts += [f"[-{' '.join(old[a:b])}-]"] if b > a else []
        parts += [f"{{+{' '.join(new[c:d])}+}}"] if d > c else []
    return " ".join(parts)


def count_verdicts(path: Path) -> None:
    """Share of a hand-read list that reads as right, in all and by kind."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    right = [row for row in rows if row["verdict"] == "right"]
    print(f"read by hand: {len(rows)}, right: {len(right) / len(rows):.1%}")
    for kind in sorted({row["asked"] for row in rows}):
        own = [row for row in rows if row["asked"] == kind]
        print(f"  {kind:12} {sum(row['verdict'] == 'right' for row in own)}/{len(own)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the offline teacher.")
    parser.add_argument("prompts", type=Path, nargs="?", help="raw prompts, one a line")
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", type=Path, help="folder of the text encoder's tokenizer")
    parser.add_argument("--sample", type=Path, metavar="OUT.tsv")
    parser.add_argument("--sample-size", type=int, default=120)
    parser.add_argument("--verdicts", type=Path, metavar="IN.tsv")
    arguments = parser.parse_args()
    if arguments.prompts:
        count = token_counter(arguments.tokenizer)
        edits = edit_all(arguments.prompts, arguments.number, arguments.seed, count)
        report(edits, arguments.number * len(KINDS), count)
        speed(arguments.prompts)
        if arguments.sample:
            write_sample(edits, arguments.sample, arguments.sample_size, arguments.seed)
    if arguments.verdicts:
        count_verdicts(arguments.verdicts)


if __name__ == "__main__":
    main()
