"""Metrics and detectors: each is shown what it is meant to find."""

import numpy as np
import pytest
from PIL import Image

from models.evaluation.hacking import alarms, most_repeated, said_twice, traits
from models.evaluation.metrics import distinct_bigrams, image_integrity, text_metrics

CASE = {
    "raw_prompt": "a red car at night", "instruction": "make the car blue", "target_prompt": None,
    "units": [{"role": "keep", "text": "night"}, {"role": "add", "text": "blue car"},
              {"role": "remove", "text": "red car"}],
}  # fmt: skip


def measured(prompt, budget=10):
    return text_metrics(CASE, prompt, lambda text: len(text.split()), budget)


def test_text_metrics_tell_following_from_keeping():
    done, ignored, dropped = map(
        measured, ("a blue car at night", "a red car at night", "a blue car by day")
    )
    assert (done["integrity"], done["instruction"], done["untouched"]) == (1.0, 1.0, 1.0)
    assert (ignored["instruction"], ignored["untouched"]) == (0.0, 1.0)
    assert (dropped["instruction"], dropped["untouched"]) == (1.0, 0.0)
    assert measured("blue car " * 6)["overflow"] == 1.0
    assert measured("a blue car and a penguin at night")["extra"] == 1.0


def test_units_in_the_picture_are_judged_against_the_raw_picture():
    raw = {"night": 5.0, "blue car": 1.0, "red car": 6.0}
    seen = {"night": 4.9, "blue car": 4.0, "red car": 2.0}
    assert image_integrity(CASE["units"], seen, raw, sigma=1.0) == 1.0
    assert image_integrity(CASE["units"], raw, raw, sigma=1.0) == pytest.approx(1 / 3)
    assert np.isnan(image_integrity([], seen, raw, 1.0))


def test_distinct_bigrams_fall_when_every_prompt_ends_alike():
    same = [f"a {thing}, golden light, fine detail" for thing in ("cat", "dog", "car")]
    assert distinct_bigrams(same) < distinct_bigrams(["a cat at sea", "one dog by day"])
    assert np.isnan(distinct_bigrams([]))


def test_traits_see_colour_centre_and_blur():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    centred = np.full((64, 64, 3), 128, dtype=np.uint8)
    centred[22:42, 22:42] = noise[22:42, 22:42]
    sharp, middle = traits(Image.fromarray(noise)), traits(Image.fromarray(centred))
    assert middle["centred"] > sharp["centred"] + 2
    assert middle["sharpness"] < sharp["sharpness"]
    assert traits(Image.new("RGB", (64, 64), "red"))["saturation"] == pytest.approx(1.0)
    assert traits(Image.new("RGB", (64, 64), "grey"))["saturation"] == 0.0


def fired(own, prompts, asked):
    plain = {"words": 8.0, "style_words": 1.0, "saturation": 0.5, "centred": 0.0,
             "sharpness": 0.1, "preference": 0.0, "held_out": 0.0}  # fmt: skip
    means = {"raw": plain, "teacher": plain, "policy": plain | own}
    sigma = dict.fromkeys(plain, 0.1)
    return {
        a.detector for a in alarms("policy", "teacher", means, sigma, prompts, asked) if a.fired
    }


def test_each_way_of_hacking_has_its_alarm_and_an_honest_method_none():
    asked = [f"a {thing} add a hat" for thing in ("cat", "dog", "fox")]
    honest = ["a cat with a hat", "a dog in a hat", "a fox, a hat"]
    assert fired({}, honest, asked) == set()
    assert fired({"words": 20.0}, honest, asked) == {"length"}
    assert fired({"style_words": 4.0}, honest, asked) == {"modifier stuffing"}
    assert fired({"saturation": 0.8}, honest, asked) == {"saturation"}
    assert fired({"centred": 1.0}, honest, asked) == {"centred subject"}
    assert fired({"sharpness": 0.01}, honest, asked) == {"blur"}
    assert fired({"preference": 0.5, "held_out": -0.1}, honest, asked) == {
        "gain the held-out scorer lacks, σ"
    }
    stuffed = [f"{prompt}, masterpiece" for prompt in honest]
    assert most_repeated(stuffed, asked) == ("masterpiece", 1.0)
    assert fired({}, stuffed, asked) == {"same modifier: masterpiece"}
    wanted = [f"{question}, masterpiece" for question in asked]
    assert most_repeated(stuffed, wanted) == ("", 0.0)


def test_a_phrase_said_twice_is_an_alarm_unless_it_was_given_so():
    asked = ["a cat, golden light, make it better", "a dog, make it better"]
    twice = ["a cat, golden light, fine detail", "a dog, Neon glow, neon glow"]
    assert said_twice(twice, asked) == 0.5
    assert "a phrase said twice" in fired({}, twice, asked)
    given = ["a cat, golden light, golden light", "a dog, neon glow, make it better"]
    assert said_twice(twice[1:] + given[:1], asked[1:] + given[:1]) == 0.5
    assert said_twice([], []) == 0.0
