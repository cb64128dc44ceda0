"""Settings: precedence, unknown keys, and messages that name the key."""

import pytest

from schemas.errors import SettingsError
from schemas.settings import PROFILES, Settings, load_settings

ALL_PROFILES = sorted(path.stem for path in PROFILES.glob("*.toml"))


@pytest.mark.parametrize("profile", ALL_PROFILES)
def test_every_shipped_profile_loads_and_knows_its_name(profile):
    assert load_settings(profile, environ={}).profile == profile


def test_flags_beat_variables_and_variables_beat_the_profile():
    environ = {"DIFFCHAT_TEACHER__MODEL": "from-env", "DIFFCHAT_TIS__STEPS": "9"}
    settings = load_settings("embedded", {"teacher.model": "from-flag"}, environ)
    assert settings.teacher.model == "from-flag"
    assert settings.tis.steps == 9
    assert settings.tis.guidance == load_settings("embedded", environ={}).tis.guidance


def test_variables_hold_toml_values():
    environ = {"DIFFCHAT_RENDER__SEEDS": "[3, 4]", "DIFFCHAT_COLLECT__SAFETY": "false"}
    settings = load_settings("embedded", environ=environ)
    assert settings.render.seeds == (3, 4)
    assert settings.collect.safety is False


@pytest.mark.parametrize(
    ("overrides", "environ", "named"),
    [
        ({"teacher.modle": "x"}, {}, "teacher.modle"),
        ({}, {"DIFFCHAT_TEECHER__MODEL": "x"}, "teecher"),
        ({"tis.steps": 0}, {}, "tis.steps"),
        ({"tis.steps": "many"}, {}, "many"),
        ({"profile.name": "x"}, {}, "profile"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(overrides, environ, named):
    with pytest.raises(SettingsError, match=named):
        load_settings("embedded", overrides, environ)


def test_a_profile_that_does_not_exist_lists_those_that_do():
    with pytest.raises(SettingsError, match="embedded"):
        load_settings("embeded")


def test_a_profile_that_is_not_toml_says_where(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[teacher\nmodel=")
    with pytest.raises(SettingsError, match=r"mine\.toml.*line 1"):
        load_settings(str(path))


def test_the_hash_follows_every_setting_and_nothing_else():
    first = Settings()
    assert first.hash() == Settings().hash()
    assert first.hash() != load_settings("embedded", {"tis.steps": 7}, {}).hash()


def test_where_a_picture_is_computed_is_not_part_of_what_it_is():
    here = load_settings("embedded", {"tis.device": "cpu", "tis.batch": 4}, {}).tis
    there = load_settings("embedded", {"tis.device": "cuda", "tis.batch": 64}, {}).tis
    assert here.identity() == there.identity()
    assert here.identity() != load_settings("embedded", {"tis.steps": 7}, {}).tis.identity()
