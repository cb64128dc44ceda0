"""A phrase said again is found, however it is written, unless it was given so."""

import pytest

from models.integrity import repeated_phrases


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a cat, golden light", []),
        ("a cat, golden light, golden light", ["golden light"]),
        ("a cat, Golden lights, (golden light:1.2), golden light.", ["golden light"] * 2),
        ("golden light, golden hour", []),  # the second says something else
        ("a cat and a cat", []),
        ("", []),
        (" , ,", []),
    ],
)
def test_phrases_are_compared_by_their_lemmas(prompt, found):
    assert repeated_phrases(prompt) == found


def test_what_was_given_twice_may_be_said_twice_but_no_more():
    given = "bokeh, a cat, bokeh"
    assert repeated_phrases("bokeh, a cat, bokeh", given) == []
    assert repeated_phrases("bokeh, a cat, bokeh, bokeh", given) == ["bokeh"]
    assert repeated_phrases("bokeh, bokeh", "bokeh") == ["bokeh"]
