"""The shipped models load through the public loaders and compute what they computed before."""

import json

import numpy as np
import pytest

from tests.models import golden


def expected(name, found):
    """The values kept for these weights; weights without any fail: a checkpoint changed unseen."""
    weights, values = json.loads(golden.FILE.read_text())[name]
    assert weights == found, "other weights: look at them, then run `python -m tests.models.golden`"
    return values


@pytest.mark.parametrize("name", list(golden.SCORERS))
def test_scores_of_shipped_scorers(name):
    found, scores = golden.score(name)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, expected(name, found), atol=1e-3)


@pytest.mark.parametrize("name", golden.TIS)
def test_renders_of_shipped_models(name):
    found, means = golden.render(name)
    np.testing.assert_allclose(means, expected(name, found), atol=1.0)
