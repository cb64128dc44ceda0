"""The image store: content-addressed, atomic, honest about what is broken."""

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from schemas.errors import WarehouseError
from tests.warehouse import rows


def test_the_same_bytes_are_stored_once_under_their_hash(lake):
    png = rows.png("a")
    sha = lake.images.put(png)
    assert sha == hashlib.sha256(png).hexdigest() == lake.images.put(png)
    assert lake.images.get(sha) == png
    assert [known for known, _ in lake.images.known()] == [sha]


def test_thumbnails_are_small_and_kept(lake):
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200)).save(buffer, "PNG")
    sha = lake.images.put(buffer.getvalue())
    small = lake.images.thumbnail(sha)
    assert Image.open(io.BytesIO(small)).size == (128, 85)
    assert lake.images.thumbnail(sha) == small
    assert [known for known, _ in lake.images.known()] == [sha]


def test_a_corrupt_file_is_named(lake):
    sha = lake.images.put(rows.png("a"))
    Path(lake.images.path(sha)).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(WarehouseError, match=rf"{sha}\.png is corrupt"):
        lake.images.get(sha)
    with pytest.raises(WarehouseError, match="is corrupt"):
        lake.images.thumbnail(sha)


def test_what_is_no_picture_is_refused(lake):
    with pytest.raises(WarehouseError, match="Only PNG"):
        lake.images.put(b"GIF89a")
    with pytest.raises(WarehouseError, match="not a SHA-256"):
        lake.images.get("../../etc/passwd")
    with pytest.raises(WarehouseError, match="is missing"):
        lake.images.get("0" * 64)
    broken = lake.images.put(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(WarehouseError, match="cannot be decoded"):
        lake.images.thumbnail(broken)


def test_a_full_disk_leaves_no_half_picture(lake, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WarehouseError, match="the disk is full"):
        lake.images.put(rows.png("a"))
    monkeypatch.undo()
    assert not [file for file in Path(lake.images.root).rglob("*") if file.is_file()]
