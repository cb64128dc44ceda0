"""Pictures from and for people: uploads that are safe to open, downloads that say how to redo them.

The metadata of a download is that of the AUTOMATIC1111 web UI (PNG text chunk `parameters`), which
other tools read, and our own JSON beside it (`diffchat`).  An upload with such a chunk brings its
prompt and seed along.
"""

import io
import json
import re
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from app.session import Turn
from schemas.chatting import ChatSettings
from schemas.errors import ChatError
from schemas.settings import TisSettings

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
LONGEST = 1_024  # pixels that a captioner gets to see of the longer side
_SEED = re.compile(r"\bSeed: (\d{1,10})\b")


class Upload(NamedTuple):
    """An RGB picture; `prompt` and `seed` where its file names them."""

    picture: Image.Image
    prompt: str | None = None
    seed: int | None = None


def open_upload(data: bytes, settings: ChatSettings) -> Upload:
    """A picture out of a file's bytes.  Raises ChatError: too large, no picture, corrupt.

    The size is read from the header before anything is unpacked, so that a bomb stays packed.
    """
    most = settings.upload_megabytes
    if len(data) > most * 2**20:
        raise ChatError(
            f"The file has {len(data) / 2**20:.1f} MB, {most:g} are allowed: take a smaller one."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(picture.width, picture.height, settings)
        told = _told(picture.info)
        picture.load()
        picture = ImageOps.exif_transpose(picture).convert("RGB")
    except ChatError:
        raise
    except Image.DecompressionBombError:
        raise ChatError(_too_large("hundreds of", settings)) from None
    except UnidentifiedImageError:
        raise ChatError(
            "This file is no picture that can be opened here: take a PNG, JPEG, WebP, GIF or BMP."
        ) from None
    except (OSError, ValueError, SyntaxError, MemoryError, EOFError) as error:
        said = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ChatError(f"The picture is damaged ({said}): save it again and retry.") from None
    picture.thumbnail((LONGEST, LONGEST))
    return Upload(picture, *told)


def _check_size(width: int, height: int, settings: ChatSettings) -> None:
    if width * height > settings.upload_megapixels * 1e6:
        raise ChatError(_too_large(f"{width} × {height} =  {width * height / 1e6:.0f}", settings))


def _too_large(megapixels: str, settings: ChatSettings) -> str:
    return (
        f"The picture has {megapixels} megapixels, {settings.upload_megapixels:g} are allowed: "
        "make it smaller and retry."
    )


def _told(info: dict) -> tuple[str | None, int | None]:
    """Prompt and seed in the file's own words, if it has AUTOMATIC1111's chunk."""
    text = info.get("parameters")
    if not isinstance(text, str) or len(text) > 20_000:
        return None, None
    prompt = re.split(r"\n(?:Negative prompt:|Steps: )", text)[0].strip()
    seed = _SEED.search(text)
    return prompt or None, int(seed.group(1)) if seed else None


def parameters(turn: Turn, tis: TisSettings, size: tuple[int, int], sampler: str) -> str:
    """The text that AUTOMATIC1111 writes for a picture."""
    lines = [turn.prompt]
    if tis.negative_prompt:
        lines.append(f"Negative prompt: {tis.negative_prompt}")
    facts = {
        "Steps": tis.steps,
        "Sampler": sampler,
        "CFG scale": f"{tis.guidance:g}",
        "Seed": turn.seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model hash": turn.tis_id[:10],
        "Model": Path(tis.model).name,
        "Version": "DiffChat",
    }
    lines.append(", ".join(f"{name}: {value}" for name, value in facts.items()))
    return "\n".join(lines)


def with_metadata(
    png: bytes, turn: Turn, tis: TisSettings, sampler: str, chain: list[Turn]
) -> bytes:
    """The same pixels as PNG with `parameters` and, as JSON, the turns that led to it."""
    picture = Image.open(io.BytesIO(png))
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("parameters", parameters(turn, tis, picture.size, sampler))
    told = [{"instruction": t.instruction, "prompt": t.prompt, "seed": t.seed} for t in chain]
    chunks.add_itxt(
        "diffchat", json.dumps({"turns": told, "model": turn.model}, ensure_ascii=False)
    )
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def file_name(turn: Turn) -> str:
    """A name for a download out of the prompt's own letters, safe on every system."""
    words = re.sub(r"[^a-z0-9]+", "-", turn.prompt.lower()).strip("-")[:40].strip("-")
    return f"diffchat-{turn.number + 1}-{words or 'picture'}-{turn.seed}.png"
