"""Hashes, sums, variants and pickles of checkpoint folders."""

import hashlib
import os

import pytest

from models import weights
from schemas.errors import ModelError


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(paths):
    return [path.name for path in paths]


def test_sums_are_sha256sums(tmp_path):
    write(tmp_path, "a/model.safetensors", "config.json", "README.md")
    text = weights.write_sums(tmp_path).read_text()
    digest = hashlib.sha256(b"config.json").hexdigest()
    assert f"{digest}  config.json\n" in text
    assert "README" not in text
    assert weights.read_sums(tmp_path)["config.json"] == digest
    weights.verify(tmp_path, tmp_path.rglob("*.json"))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing although"):
        weights.verify(tmp_path, [])


def test_a_changed_file_is_hashed_again(tmp_path, home):
    path = write(tmp_path, "model.safetensors") / "model.safetensors"
    before = weights.sha256(path)
    assert weights.sha256(path) == before
    assert (home / "models/sha256.json").is_file()
    path.write_bytes(b"something else")
    assert weights.sha256(path) == hashlib.sha256(b"something else").hexdigest() != before


def test_hashing_works_where_home_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFCHAT_HOME", str(write(tmp_path, "file") / "file"))
    path = write(tmp_path, "model.safetensors") / "model.safetensors"
    assert weights.sha256(path) == hashlib.sha256(b"model.safetensors").hexdigest()


def test_files_of_the_hubs_cache_are_known_by_their_name(tmp_path):
    digest = "ab" * 32
    write(tmp_path, f"blobs/{digest}", "snapshots/x/y")
    os.symlink(tmp_path / "blobs" / digest, tmp_path / "snapshots/x/model.safetensors")
    assert weights.sha256(tmp_path / "snapshots/x/model.safetensors") == digest


def test_only_the_wanted_variant_counts(tmp_path):
    plain = ["diffusion_pytorch_model.safetensors"]
    half = ["diffusion_pytorch_model.fp16.safetensors"]
    write(tmp_path, *plain, *half, "diffusion_pytorch_model.non_ema.safetensors")
    assert names(weights.weight_files(tmp_path)) == plain
    assert names(weights.weight_files(tmp_path, "fp16")) == half
    assert names(weights.weight_files(tmp_path, "bf16")) == plain


def test_shards_are_of_one_model(tmp_path):
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    half = [f"model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]
    write(tmp_path, *shards, *half)
    assert names(weights.weight_files(tmp_path)) == shards
    assert names(weights.weight_files(tmp_path, "fp16")) == half


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.ckpt", "model.pt"])
def test_pickles_alone_are_refused(tmp_path, pickle):
    write(tmp_path, pickle)
    with pytest.raises(ModelError, match=pickle):
        weights.weight_files(tmp_path)


def test_a_file_on_the_hub_needs_owner_name_and_path():
    with pytest.raises(ModelError, match="not owner/name/file"):
        weights.resolve_file("no_such_head.pth")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        weights.resolve_file("nobody/no-such-model/head.pth")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub cache with two revisions of one repository, as huggingface_hub lays it out."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--model"
    for commit, name in (("a" * 40, "main"), ("b" * 40, "older")):
        write(repository, f"refs/{name}")
        (repository / "refs" / name).write_text(commit)
        write(repository, f"snapshots/{commit}/head.safetensors")
    return repository / "snapshots"


def test_a_hub_id_names_the_cached_snapshot_of_its_revision(hub):
    assert weights.resolve("someone/model") == hub / ("a" * 40)
    assert weights.resolve("someone/model@older") == hub / ("b" * 40)
    assert weights.resolve_file("someone/model/head.safetensors") == (
        hub / ("a" * 40) / "head.safetensors"
    )
    with pytest.raises(ModelError, match="no file"):
        weights.resolve_file("someone/model/tail.safetensors")
