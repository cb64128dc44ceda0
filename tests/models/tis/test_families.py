"""Every family of text-to-image models loads from its published layout and renders."""

import inspect

import numpy as np
import pytest

from models.tis import describe_tis, load_tis, load_token_counter
from models.tis.tokens import LONG_ENCODERS
from schemas.errors import PromptTooLong, SettingsError
from schemas.settings import TisSettings

BUDGETS = {
    "sd15": 75, "sd21": 75, "sdxl": 75, "sd3": 255, "sd3_without_t5": 75, "flux": 511,
    "flux_schnell": 511, "pixart_sigma": 299, "qwen_image": 507,
}  # fmt: skip
SIZES = dict.fromkeys(BUDGETS, 32)
PROMPTS = ["a red fox in the snow", "blue car", "a cat", ""]


def settings(folder, name="sd15", **more):
    given = {"model": str(folder), "steps": 2, "batch": 4}
    return TisSettings(**(given | {"width": SIZES[name], "height": SIZES[name]} | more))


@pytest.mark.parametrize("name", list(SIZES))
def test_a_picture_depends_on_prompt_and_seed_not_on_its_batch(family, name):
    tis = load_tis(settings(family(name), name))
    together = tis.render(PROMPTS, [1, 2, 3, 4])
    assert [image.size for image in together] == [(SIZES[name], SIZES[name])] * 4
    alone = tis.render([PROMPTS[1]], [2])[0]
    difference = np.abs(np.asarray(together[1], int) - np.asarray(alone, int))
    assert difference.max() <= 1
    other = tis.render([PROMPTS[1]], [3])[0]
    assert np.abs(np.asarray(other, int) - np.asarray(alone, int)).max() > 1


@pytest.mark.parametrize("name", list(SIZES))
def test_budget_and_count_agree_with_the_pipeline(family, name):
    given = settings(family(name), name)
    identity = describe_tis(given)
    assert identity.token_budget == BUDGETS[name]
    count = load_token_counter(given)
    tis = load_tis(given)
    longest = "a " * (identity.token_budget + 50)
    while count(longest) > identity.token_budget:
        longest = longest[:-1]
    assert count(longest) == identity.token_budget == tis.count_tokens(longest)
    assert len(tis.render([longest], [0])) == 1
    with pytest.raises(PromptTooLong, match=f"takes {identity.token_budget}"):
        tis.render(["a cat", longest + " a red fox"], [0, 1])


def test_table_of_long_encoders_is_what_diffusers_does():
    diffusers = pytest.importorskip("diffusers")
    for pipeline, entry in LONG_ENCODERS.items():
        call = inspect.signature(getattr(diffusers, pipeline).__call__)
        assert call.parameters["max_sequence_length"].default == entry.length, pipeline


def test_max_sequence_length_sets_budget_and_render(family):
    given = settings(family("flux"), "flux", max_sequence_length=16)
    assert describe_tis(given).token_budget == 15
    assert len(load_tis(given).render(["a red fox in the snow at night"], [0])) == 1


def test_negative_prompt_changes_the_picture_where_it_is_taken(family):
    plain = load_tis(settings(family("sd15"))).render(["a cat"], [0])[0]
    kept = load_tis(settings(family("sd15"), negative_prompt="blue car")).render(["a cat"], [0])[0]
    assert np.asarray(plain, int).tolist() != np.asarray(kept, int).tolist()


def test_a_negative_prompt_that_would_do_nothing_is_said(family):
    with pytest.raises(SettingsError, match="true_cfg_scale"):
        load_tis(settings(family("flux"), "flux", negative_prompt="blue car"))


def test_qwen_guidance_reaches_the_true_scale(family):
    def render(guidance):
        tis = load_tis(settings(family("qwen_image"), "qwen_image", guidance=guidance))
        return np.asarray(tis.render(["a cat"], [0])[0], int)

    assert np.abs(render(1.0) - render(8.0)).max() > 0


def test_scheduler_by_class_name(family):
    def render(**more):
        return np.asarray(load_tis(settings(family("sd15"), **more)).render(["a cat"], [0])[0], int)

    euler = render(scheduler="EulerDiscreteScheduler")
    assert np.abs(euler - render()).max() > 1
    trailing = render(
        scheduler="EulerDiscreteScheduler", scheduler_options={"timestep_spacing": "trailing"}
    )
    assert np.abs(euler - trailing).max() > 1
    with pytest.raises(SettingsError, match="DDIMScheduler"):
        render(scheduler="NoSuchScheduler")


def test_a_variant_is_loaded_where_a_part_has_one(family, tmp_path):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(family("sd15"), safety_checker=None)
    pipeline.save_pretrained(tmp_path / "half", variant="fp16")
    given = settings(tmp_path / "half", variant="fp16")
    picture = load_tis(given).render(["a cat"], [0])[0]
    plain = load_tis(settings(family("sd15"))).render(["a cat"], [0])[0]
    assert np.abs(np.asarray(picture, int) - np.asarray(plain, int)).max() <= 1
    assert describe_tis(given).weights_hash != describe_tis(settings(family("sd15"))).weights_hash


def test_half_precision_renders_nearly_the_same(family):
    plain = load_tis(settings(family("sd15"), dtype="float32")).render(["a cat"], [0])[0]
    half = load_tis(settings(family("sd15"), dtype="bfloat16", vae_slicing=True))
    assert half.pipeline.vae.use_slicing
    picture = half.render(["a cat"], [0])[0]
    assert np.abs(np.asarray(picture, int) - np.asarray(plain, int)).mean() < 8
