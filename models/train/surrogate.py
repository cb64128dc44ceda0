"""A text-only stand-in for rendering and scoring: scores of a prompt from its words.

Ridge regression (SciPy's LSQR) on hashed features: words, neighbouring words and pairs of words of
the prompt, what of the intent it says and what it leaves out.  Pairs are there because what a word
does for a picture depends on the others.  It is fitted on scores that the warehouse holds, answers
in milliseconds, and every `every`-th step is rendered after all: then its error is reported, and it
is fitted anew with the new rows.

    surrogate = Surrogate(settings, known, folder)
    surrogate.stands_in(step)          # whether this step goes without pictures
    surrogate.predict(pairs)           # float64 (N, 2)
    surrogate.learn(step, pairs, scores); surrogate.drift[step]

Rows are kept in `folder`, those of a step in a file of their own, so that a run that goes on fits
the same surrogate.  Our choice throughout.  Leaves out what becomes of the scores (`reward`).
"""

import itertools
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse
from scipy.sparse.linalg import lsqr

from schemas.training import SurrogateSettings

WORD = re.compile(r"\w+")
BUCKETS = 2**15  # of hashed features
FEW = frozenset({"a", "an", "and", "at", "by", "in", "of", "on", "the", "with"})  # in no pair
NAMES = ("aesthetics", "preference")


class Known(NamedTuple):
    """Scored prompts: pairs of prompt and intent, and scores (N, 2) in the order of `NAMES`."""

    pairs: list[tuple[str, str]]
    scores: np.ndarray


class Surrogate:
    """Fitted when first asked; without enough rows it never stands in."""

    def __init__(self, settings: SurrogateSettings, known: Known, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.drift: dict[int, dict[str, float]] = {}
        self._fit: tuple[np.ndarray, np.ndarray] | None = None  # weights (F, 2), means (2,)
        self._stale = True
        if not (folder / "start.parquet").exists():
            _write(folder / "start.parquet", known)

    def stands_in(self, step: int | None) -> bool:
        """Whether this step is predicted; the calibration (None) never is."""
        if step is None or step % self.settings.every == 0:
            return False
        self._prepare(step)
        return self._fit is not None

    def predict(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Scores of (prompt, intent) pairs, float64 (N, 2).  Only after `stands_in` said yes."""
        assert self._fit is not None
        weights, means = self._fit
        return features(pairs) @ weights + means

    def learn(self, step: int | None, pairs: list[tuple[str, str]], scores: np.ndarray) -> None:
        """Take true scores of a step: note the error of what was expected, and fit anew later."""
        if step is None:
            return
        self._prepare(step)
        if self._fit is not None:
            self.drift[step] = drift(self.predict(pairs), scores)
        _write(self.folder / f"step-{step:06d}.parquet", Known(pairs, scores))
        self._stale = True

    def _prepare(self, step: int) -> None:
        """Fit on all rows from before `step`, if there are new ones.

        A run that goes on from a checkpoint may find files of later steps: they do not count.
        """
        if not self._stale:
            return
        files = sorted(self.folder.glob("step-*.parquet"))
        before = [path for path in files if int(path.stem.removeprefix("step-")) < step]
        self._fit = fit([_read(p) for p in (self.folder / "start.parquet", *before)], self.settings)
        self._stale = False


def fit(
    parts: Sequence[Known], settings: SurrogateSettings
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights (BUCKETS, 2) and means (2,); None with fewer than `least_rows` rows."""
    pairs = [pair for part in parts for pair in part.pairs]
    if len(pairs) < settings.least_rows:
        return None
    scores = np.concatenate([part.scores for part in parts])
    means, matrix = scores.mean(axis=0), features(pairs)
    columns = [
        lsqr(matrix, scores[:, k] - means[k], damp=settings.ridge**0.5, iter_lim=200)[0]
        for k in range(scores.shape[1])
    ]
    return np.stack(columns, axis=1), means


def drift(expected: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """How far predictions are off: mean absolute error, and rank correlation with the truth."""
    from scipy.stats import spearmanr

    found: dict[str, float] = {}
    for k, name in enumerate(NAMES):
        found[f"surrogate_error_{name}"] = float(np.abs(expected[:, k] - seen[:, k]).mean())
        if np.ptp(expected[:, k]) > 0 and np.ptp(seen[:, k]) > 0:  # else there is no rank
            rank: Any = spearmanr(expected[:, k], seen[:, k])
            found[f"surrogate_rank_{name}"] = float(rank.statistic)
    return found


def features(pairs: Sequence[tuple[str, str]]) -> sparse.csr_matrix:
    """Rows of unit length over hashed features, float64 (N, BUCKETS)."""
    rows, columns, values = [], [], []
    for index, (prompt, intent) in enumerate(pairs):
        names = _names(prompt, intent)
        rows += [index] * len(names)
        columns += [zlib.crc32(name.encode()) % BUCKETS for name in names]
        values += [len(names) ** -0.5] * len(names)
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(pairs), BUCKETS))


def _names(prompt: str, intent: str) -> list[str]:
    words, wanted = WORD.findall(prompt.lower()), set(WORD.findall(intent.lower()))
    said = sorted(set(words) - FEW)
    names = [f"w {word}" for word in said]
    names += [f"n {a} {b}" for a, b in itertools.pairwise(words)]
    names += [f"p {a} {b}" for a, b in itertools.combinations(said, 2)]
    names += [f"m {word}" for word in sorted(wanted - set(words))]
    names += [f"b {word}" for word in sorted(wanted & set(words))]
    return names or ["empty"]


def _write(path: Path, known: Known) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"prompt": [p for p, _ in known.pairs], "intent": [i for _, i in known.pairs]}
    columns |= {name: known.scores[:, k] for k, name in enumerate(NAMES)}
    draft = path.with_suffix(".draft")
    pq.write_table(pa.table(columns), draft)
    draft.replace(path)


def _read(path: Path) -> Known:
    table = pq.read_table(path)
    pairs = list(zip(table["prompt"].to_pylist(), table["intent"].to_pylist(), strict=True))
    return Known(pairs, np.stack([table[name].to_numpy() for name in NAMES], axis=1))
