"""Uploads that must not hurt, downloads that other tools can read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.pictures import file_name, open_upload, with_metadata
from app.session import Turn
from schemas.chatting import ChatSettings
from schemas.errors import ChatError
from schemas.settings import TisSettings

SETTINGS = ChatSettings(upload_megabytes=1.0)


def png(size=(32, 24), **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A well-formed PNG of that size whose pixels, all black, are packed into kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (height * (1 + -(-width // 8))), 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
            + chunk(b"IEND", b""))  # fmt: skip


def noise() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (huge_png(20_000, 10_000), "megapixels, 40 are allowed"),
        (huge_png(60_000, 60_000), "megapixels"),
        (noise(), "1 are allowed"),
        (b"", "no picture"),
        (b"#!/bin/sh\nrm -rf /\n", "no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        (b"%PDF-1.4 not a picture", "no picture"),
        (png()[:60], "damaged"),
        (png()[:40] + b"\0" * 200, "no picture"),
    ],
    ids=[
        "200-megapixel",
        "bomb",
        "too-many-bytes",
        "empty",
        "script",
        "svg",
        "pdf",
        "cut",
        "zeros",
    ],
)
def test_what_cannot_be_opened_is_refused_in_words(data, said):
    with pytest.raises(ChatError, match=said):
        open_upload(data, SETTINGS)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "P"), ("PNG", "1"), ("PNG", "LA"), ("JPEG", "RGB"), ("JPEG", "L"),
     ("JPEG", "CMYK"), ("WEBP", "RGB"), ("GIF", "P"), ("BMP", "RGB")],
)  # fmt: skip
def test_every_usual_format_comes_out_as_rgb(kind, mode):
    buffer = io.BytesIO()
    Image.new("RGB", (2_000, 10), "red").convert(mode).save(buffer, kind)
    found = open_upload(buffer.getvalue(), SETTINGS)
    assert (found.picture.mode, found.picture.width) == ("RGB", 1_024)
    assert found.prompt is None


@pytest.fixture
def turn() -> Turn:
    return Turn(number=2, parent=1, kind="edit", instruction="make it blue", seed=42,
                prompt="a blue car,\u3000夜 <b>x</b>", tis_id="ab" * 16, model="m")  # fmt: skip


def test_a_download_tells_other_tools_how_it_was_made(turn):
    tis = TisSettings(negative_prompt="blurry", steps=6, guidance=4.0)
    data = with_metadata(png(), turn, tis, "DDIM", [turn])
    with Image.open(io.BytesIO(data)) as picture:
        text = picture.info["parameters"]
        assert picture.getpixel((0, 0)) == (200, 30, 30)
        assert "make it blue" in picture.info["diffchat"]
    prompt, negative, facts = text.split("\n")
    assert prompt == turn.prompt
    assert negative == "Negative prompt: blurry"
    assert facts.startswith("Steps: 6, Sampler: DDIM, CFG scale: 4, Seed: 42, Size: 32x24, Model")


def test_an_upload_brings_the_prompt_and_seed_that_are_in_it(turn):
    data = with_metadata(png(), turn, TisSettings(), "DDIM", [turn])
    found = open_upload(data, SETTINGS)
    assert (found.prompt, found.seed) == (turn.prompt, 42)


def test_a_file_name_has_nothing_of_a_path_in_it(turn):
    name = file_name(turn.model_copy(update={"prompt": "../../etc/passwd\0 ; rm -rf ~/*"}))
    assert name == "diffchat-3-etc-passwd-rm-rf-42.png"
    assert file_name(turn.model_copy(update={"prompt": "夜"})) == "diffchat-3-picture-42.png"
