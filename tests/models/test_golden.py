"""The shipped models load through the public loaders and compute what they computed before."""

import json

import numpy as np
import pytest

from tests.models import golden

RERUN = "these weights have no golden values yet: run `python -m tests.models.golden`"


def expected(name, found):
    if not golden.FILE.is_file():
        pytest.skip(RERUN)
    known = json.loads(golden.FILE.read_text()).get(name)
    if known is None or known[0] != found:
        pytest.skip(RERUN)
    return known[1]


@pytest.mark.parametrize("name", list(golden.SCORERS))
def test_scores_of_shipped_scorers(name):
    if not (golden.SHIPPED / golden.SCORERS[name]["model"] / "config.json").is_file():
        pytest.skip(f"{name} is not shipped yet")
    found, scores = golden.score(name)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, expected(name, found), atol=1e-3)


@pytest.mark.parametrize("name", golden.TIS)
def test_renders_of_shipped_models(name):
    if not (golden.SHIPPED / name / "model_index.json").is_file():
        pytest.skip(f"{name} is not shipped yet")
    found, means = golden.render(name)
    np.testing.assert_allclose(means, expected(name, found), atol=1.0)
