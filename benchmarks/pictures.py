"""The picture of the README: raw beside target, from a built warehouse.

    DIFFCHAT_HOME=var python -m benchmarks.pictures docs/pairs.png

Takes accepted rows by a hash of their id, not by how good they look, one of each kind of edit in
turn; both sides on the first seed.  Leaves out any retouching: pixels are enlarged as they are.
"""

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from schemas.settings import home, load_settings
from tasks.plan import plan_of
from warehouse import Warehouse

ROWS, COLUMNS, SCALE, TEXT_HEIGHT, MARGIN = 3, 3, 2, 62, 14
INK, PAPER = "#1d2330", "#ffffff"

PAIRS = """
WITH seen AS (FROM renders WHERE tis_id = $tis AND seed = $seed AND status = 'ok')
SELECT instruction, r.image_sha256 AS raw, t.image_sha256 AS target, edit_kind
FROM instructpe
JOIN seen AS r ON r.prompt = raw_prompt JOIN seen AS t ON t.prompt = target_prompt
QUALIFY row_number() OVER (PARTITION BY edit_kind ORDER BY hash(triple_id)) <= 1
ORDER BY hash(edit_kind) LIMIT $count
"""


def main(path: Path) -> None:
    settings = load_settings("embedded")
    tis = plan_of(settings).tis
    assert tis is not None
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        rows = lake.query(
            PAIRS,
            {"tis": tis.tis_id, "seed": settings.render.seeds[0], "count": ROWS * COLUMNS},
        ).to_pylist()
        cells = [
            (row["instruction"], *(_image(lake, row[s]) for s in ("raw", "target"))) for row in rows
        ]
    sheet(cells).save(path)


def _image(lake: Warehouse, sha256: str) -> Image.Image:
    picture = Image.open(io.BytesIO(lake.images.get(sha256))).convert("RGB")
    return picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.LANCZOS)


def sheet(cells: list[tuple[str, Image.Image, Image.Image]]) -> Image.Image:
    """Pairs in a grid, the instruction under each."""
    side = cells[0][1].width
    wide, high = 2 * side + 6 + MARGIN * 2, side + TEXT_HEIGHT
    page = Image.new("RGB", (COLUMNS * wide, -(-len(cells) // COLUMNS) * high + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for index, (instruction, raw, target) in enumerate(cells):
        x, y = index % COLUMNS * wide + MARGIN, index // COLUMNS * high + MARGIN
        page.paste(raw, (x, y))
        page.paste(target, (x + side + 6, y))
        for number, line in enumerate(_lines(f"“{instruction}”", draw, font, 2 * side)[:2]):
            draw.text((x, y + side + 6 + number * 19), line, INK, font)
    return page


def _lines(text: str, draw: ImageDraw.ImageDraw, font: object, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) > width:  # pyright: ignore[reportArgumentType]
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


if __name__ == "__main__":
    main(Path(sys.argv[1]))
