"""Tests that share a server or a browser run on one worker, one after the other."""

import pytest


@pytest.mark.xdist_group("guard")
def test_a_group_is_part_of_the_name_that_workers_are_given(request):
    """pytest-xdist tells groups apart by it; pytest 9.2 dropped it without a word."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("not run by several workers in groups")
    assert request.node.nodeid.endswith("@guard")
