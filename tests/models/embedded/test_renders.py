"""Rendered pairs: the same whoever renders them, and a killed rendering goes on."""

import numpy as np
import pytest

from models.embedded import renders
from models.embedded.ratings import deviation_of_taste
from models.embedded.training import WEIGHTS

needs_tis = pytest.mark.skipif(
    not (WEIGHTS / "tis-sd" / "model_index.json").exists(), reason="no shipped weights"
)


def test_a_pair_depends_on_its_index_alone():
    assert renders.pairs_of(61, 3)[2] == renders.pair_of(61, 2, deviation_of_taste())
    assert renders.pair_of(61, 2, deviation_of_taste()) != renders.pair_of(
        62, 2, deviation_of_taste()
    )


def test_a_style_without_a_model_has_no_renders(monkeypatch, tmp_path):
    monkeypatch.setattr(renders, "WEIGHTS", tmp_path)
    assert renders.rendered_pairs("papercut", 2, 61) is None


@needs_tis
def test_a_killed_rendering_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(renders, "BATCH", 2)  # a pair a batch
    monkeypatch.setenv("DIFFCHAT_HOME", str(tmp_path / "whole"))
    whole = renders.rendered_pairs("classic", 3, 61)
    assert whole is not None
    assert whole.shape == (3, 2, 64, 64, 3)
    assert not np.array_equal(whole[0, 0], whole[0, 1])

    monkeypatch.setenv("DIFFCHAT_HOME", str(tmp_path / "killed"))
    render, calls = renders.render, []

    def dies(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:  # in the middle of the second pair
            raise KeyboardInterrupt
        return render(*arguments, **options)

    monkeypatch.setattr(renders, "render", dies)
    with pytest.raises(KeyboardInterrupt):
        renders.rendered_pairs("classic", 3, 61)
    again = renders.rendered_pairs("classic", 3, 61)
    assert again is not None
    assert np.array_equal(again, whole)
    assert len(calls) == 4 + 4  # the first pair was kept
