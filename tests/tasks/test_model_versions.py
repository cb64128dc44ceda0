"""A person's name for a model finds it, or the answer lists what there is."""

from datetime import timedelta

import pytest

from schemas.errors import ModelError
from schemas.training import StudentSettings
from tasks.model_versions import find_model, register_model, resolve_model
from tests.models.train.miniatures import student
from tests.warehouse.rows import NOW


def register(lake, home, model_id, minutes=0, **more):
    (home / "models" / model_id).mkdir(parents=True)
    columns = {"model_id": model_id, "method": "sft", "base": "b", "base_hash": "h", "seed": 3}
    columns |= {"folder": f"models/{model_id}", "status": "ok", "settings": {"batch": 4}}
    columns |= {"metrics": {"test": {"integrity": 0.5}}, "trained_at": NOW + timedelta(0, minutes)}
    return register_model(lake, **(columns | more))


def test_names_prefixes_and_folders(lake, home):
    assert register(lake, home, "aa11")
    assert register(lake, home, "ab22", minutes=1)
    assert register(lake, home, "cc33", minutes=2, status="diverged")
    assert resolve_model(lake, home, "latest").model_id == "ab22"
    assert resolve_model(lake, home, "aa").metrics == {"test": {"integrity": 0.5}}
    assert resolve_model(lake, home, str(home / "models" / "ab22")).model_id == "ab22"
    assert find_model(lake, home, "aa") is None
    assert not register(lake, home / "again", "aa11")
    with pytest.raises(ModelError, match=r"2 models begin with 'a'[^$]*aa11[^$]*seed 3"):
        resolve_model(lake, home, "a")
    with pytest.raises(ModelError, match=r"There is no model 'champ'[^$]*cc33[^$]*diverged"):
        resolve_model(lake, home, "champ")


def test_base_and_foreign_folders(lake, home, tmp_path):
    folder = student(tmp_path / "student")
    base = resolve_model(lake, home, "base", StudentSettings(base=str(folder)))
    foreign = resolve_model(lake, home, str(folder))
    assert base.model_id == foreign.model_id == base.base_hash
    assert foreign.folder == folder
    assert foreign.method == "base"


def test_nothing_trained_and_a_lost_folder(lake, home):
    with pytest.raises(ModelError, match="No model is trained yet"):
        resolve_model(lake, home, "latest")
    register(lake, home, "aa11")
    (home / "models" / "aa11").rmdir()
    with pytest.raises(ModelError, match="is gone"):
        resolve_model(lake, home, "latest")
