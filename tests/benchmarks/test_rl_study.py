"""Tables of the study, on figures that are known."""

import numpy as np

from benchmarks.rl_study import COLUMNS, COMPARED, differences, means
from models.evaluation.statistics import Resampler

CASES = 200


def figures(rng: np.random.Generator, shift: float) -> np.ndarray:
    """(cases, COLUMNS) of normal values around `shift`, the same for every column."""
    return np.repeat(rng.normal(shift, 1.0, (CASES, 1)), len(COLUMNS), axis=1)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_best_of_n_is_compared_with_sft_where_both_have_figures():
    sft = figures(np.random.default_rng(0), 2.0)
    best = sft + 0.5
    best[:, -2:] = np.nan  # it has no sampled answers
    its = {"sft": [sft], "best of 4": [best]}
    resampler = Resampler([str(case // 2) for case in range(CASES)], 200, 0, 0.95)
    head, _, row = differences(its, resampler).splitlines()
    assert cells(head) == ["arm", *(f"{name} − sft" for name in COMPARED)]
    found = dict(zip(COMPARED, cells(row)[1:], strict=True))
    # Paired by case: a shift of all cases leaves nothing of the spread between them.
    assert found["reward"] == found["integrity"] == "+0.500 [+0.500, +0.500]"
    assert found["sampled"] == found["sampled_integrity"] == ""
    assert len(means(its, resampler).splitlines()) == 4
