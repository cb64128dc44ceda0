"""The models of real size, in miniature: they load through the doors of real ones."""

import torch

from app.commands.options import changes_of
from benchmarks.real_size import commands, write_student, write_tis
from schemas.settings import TisSettings, load_settings


def test_both_folders_load_as_any_other_model_does(tmp_path):
    from models.tis import load_tis
    from models.train.policy import load_policy

    write_student(tmp_path / "student", torch.float32, miniature=True)
    write_tis(tmp_path / "tis", torch.float32, miniature=True)
    tis = load_tis(TisSettings(model=str(tmp_path / "tis"), steps=2, width=64, height=64))
    (picture,) = tis.render(["a red fox"], [0])
    assert picture.size == (64, 64)
    policy = load_policy(str(tmp_path / "student"), load_settings("embedded").student)
    asked = [[{"role": "user", "content": "a red fox"}]]
    assert policy.rewrite(asked, n=2, temperature=1.0)[0][0].prompt


def test_the_settings_in_the_printed_commands_are_known(tmp_path):
    words = commands(tmp_path).split()
    given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    changes = changes_of(given)
    assert {"student.base", "tis.model", "sft.max_steps"} <= changes.keys()
    settings = load_settings("embedded", changes)
    assert settings.tis.model == f"{tmp_path}/tis"
    assert settings.tis.width == 512
