"""Draw a scene: 64x64 RGB, anti-aliased, the same pixels for the same scene, seed and style.

The layout depends on the seed, never on the words: the picture before and after an edit share
every choice that the edit does not touch.  It varies little, because variety in layout is what a
small diffusion model spends most of its training on.  Two styles: `classic` (curves) and
`papercut` (straight edges, white rims, another palette), the second for transfer tests.  Leaves out
how good a picture looks (`models.world.taste`).  A contact sheet:

    python -m models.world.draw sheet.png
"""

import sys
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from models.world.backdrops import lit, paint_backdrop, sun_position
from models.world.scene import Group, Scene, resolve, rng
from models.world.shapes import FLYING, RGB, SHAPES, Brush
from schemas.errors import ModelError

SIZE = 64  # pixels of the finished picture
_SUPERSAMPLING = 3  # canvas pixels per picture pixel; 4 looks the same and costs 40% more
STYLES = ("classic", "papercut")

PALETTES: dict[str, dict[str, RGB]] = {
    "classic": {
        "red": (214, 34, 40),
        "orange": (246, 130, 24),
        "yellow": (250, 214, 36),
        "green": (36, 152, 60),
        "blue": (34, 84, 218),
        "purple": (130, 48, 172),
        "pink": (248, 128, 184),
        "white": (250, 250, 246),
    },
    "papercut": {
        "red": (190, 48, 56),
        "orange": (230, 118, 48),
        "yellow": (236, 196, 62),
        "green": (56, 134, 78),
        "blue": (52, 90, 176),
        "purple": (112, 62, 148),
        "pink": (232, 138, 172),
        "white": (244, 240, 228),
    },
}

# Slots by number of objects: centres as shares of the width, and half the side of an object's box.
_SLOTS = {1: ((0.5,), 0.32), 2: ((0.27, 0.73), 0.225), 3: ((0.175, 0.5, 0.825), 0.16)}


def draw_scene(scene: Scene, seed: int, style: str = "classic") -> np.ndarray:
    """The scene as uint8 (64, 64, 3); unsaid parts are filled in from the seed.

    Raises `ModelError` for an unknown style.
    """
    if style not in STYLES:
        raise ModelError(f"unknown drawing style {style!r}: one of {', '.join(STYLES)}")
    scene = resolve(scene, seed)
    finishes = frozenset(scene.finishes)
    canvas = SIZE * _SUPERSAMPLING
    backdrop = paint_backdrop(
        canvas,
        scene.place or "",
        scene.time or "",
        seed,
        gradient="gradient sky" in finishes,
        detailed="fine detail" in finishes,
        clouds="dramatic clouds" in finishes,
        angular=style == "papercut",
    ).reduce(_SUPERSAMPLING)
    if "depth of field" in finishes:
        backdrop = _bokeh(backdrop, seed)
    layer, boxes = _draw_objects(scene, seed, style, canvas)
    picture = _compose(backdrop, layer, boxes, scene, style)
    picture = _weather(picture, scene.weather, seed)
    picture = _grade(picture, scene, seed)
    picture = _spoil(picture, scene, seed)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def object_mask(scene: Scene, seed: int, style: str = "classic") -> np.ndarray:
    """Share of each pixel that belongs to an object, float32 (64, 64) in [0, 1]."""
    layer, _ = _draw_objects(resolve(scene, seed), seed, style, SIZE * _SUPERSAMPLING)
    return np.asarray(layer.getchannel("A"), dtype=np.float32) / 255


def _draw_objects(
    scene: Scene, seed: int, style: str, canvas: int
) -> tuple[Image.Image, list[tuple[float, float, float]]]:
    """The objects as 64x64 RGBA, and each one's (x, base y, half width) in shares of the size."""
    layer = Image.new("RGBA", (canvas, canvas), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    objects: list[Group] = [g for g in scene.groups for _ in range(g.count)]
    centres, half = _SLOTS[len(objects)]
    boxes = []
    for slot, (group, centre) in enumerate(zip(objects, centres, strict=True)):
        jitter = rng(seed, f"slot{slot}")
        r = half * jitter.uniform(0.97, 1.03)
        x = centre + jitter.uniform(-0.012, 0.012)
        sway = jitter.uniform(-0.015, 0.015)
        flying = group.kind in FLYING or scene.place == "space"
        y = (0.45 if flying else 0.86 - r) + sway
        colour = lit(PALETTES[style][group.colour or ""], scene.time or "", 0.35)
        detailed = "fine detail" in scene.finishes
        SHAPES[group.kind](
            Brush(pen, x * canvas, y * canvas, r * canvas, colour, detailed,
                  style == "papercut")
        )  # fmt: skip
        boxes.append((x, 0.9 + sway / 2 if flying else y + r, r))
    return layer.reduce(_SUPERSAMPLING), boxes


def _compose(
    backdrop: Image.Image,
    layer: Image.Image,
    boxes: list[tuple[float, float, float]],
    scene: Scene,
    style: str,
) -> np.ndarray:
    """Backdrop, shadows, halo, rim and objects, float32 (64, 64, 3) in [0, 1]."""
    picture = np.asarray(backdrop, dtype=np.float32) / 255
    rgba = np.asarray(layer, dtype=np.float32) / 255
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if "neon glow" in scene.finishes:
        halo = np.asarray(layer.getchannel("A").filter(ImageFilter.GaussianBlur(3.2)), np.float32)
        across = np.linspace(0, 1, SIZE, dtype=np.float32)[None, :, None]
        tint = (1 - across) * _rgb(1.0, 0.15, 0.85) + across * _rgb(0.1, 0.95, 1.0)
        picture = picture * _rgb(0.5, 0.42, 0.62)
        picture = picture + 1.5 * (halo / 255)[..., None] * tint
        colour = np.clip(colour * 1.2 + 0.06, 0, 1)
    if "soft shadows" in scene.finishes:
        picture = picture * (1 - 0.62 * _shadow(boxes))
        down = np.linspace(-1, 1, SIZE, dtype=np.float32)
        shade = 1.08 - 0.3 * np.clip(down[:, None] * 0.9 + down[None, :] * 0.5 + 0.2, -0.4, 1)
        colour = np.clip(colour * shade[..., None], 0, 1)
    if style == "papercut":
        rim = np.asarray(layer.getchannel("A").filter(ImageFilter.MaxFilter(3)), np.float32)
        rim = (rim / 255)[..., None]
        picture = picture * (1 - rim) + rim * 0.96
    if "crisp outlines" in scene.finishes:
        edge = np.asarray(layer.getchannel("A").filter(ImageFilter.MaxFilter(3)), np.float32)
        edge = (edge / 255)[..., None]
        picture = picture * (1 - edge) + edge * _rgb(0.06, 0.05, 0.09)
    return picture * (1 - alpha) + colour * alpha


def _shadow(boxes: list[tuple[float, float, float]]) -> np.ndarray:
    """Contact shadows of the objects, float32 (64, 64, 1) in [0, 1]."""
    rows, columns = _grid()
    shadow = np.zeros((SIZE, SIZE), dtype=np.float32)
    for x, base, r in boxes:
        far = ((columns - x - 0.05) / (1.15 * r)) ** 2 + ((rows - base) / (0.28 * r + 0.02)) ** 2
        shadow = np.maximum(shadow, np.exp(-far * 1.4))
    return shadow[..., None]


@lru_cache(maxsize=1)
def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    return axis[:, None], axis[None, :]


def _bokeh(backdrop: Image.Image, seed: int) -> Image.Image:
    """The backdrop out of focus, with discs of light."""
    picture = backdrop.filter(ImageFilter.GaussianBlur(2.4)).convert("RGBA")
    discs = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(discs)
    spots = rng(seed, "bokeh")
    for _ in range(6):
        x, y, r = spots.uniform(2, 62), spots.uniform(4, 40), spots.uniform(2.5, 4.5)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(255, 250, 225, 70))
    return Image.alpha_composite(picture, discs).convert("RGB")


def _weather(picture: np.ndarray, weather: str, seed: int) -> np.ndarray:
    if weather == "clear":
        return picture
    if weather == "fog":
        rows, _ = _grid()
        veil = (0.3 + 0.4 * np.exp(-(((rows - 0.58) / 0.24) ** 2)))[..., None]
        return picture * (1 - veil) + veil * _rgb(0.8, 0.82, 0.85)
    drops = rng(seed, "drops")
    mask = Image.new("L", (SIZE * 2, SIZE * 2))
    pen = ImageDraw.Draw(mask)
    for _ in range(46):
        x, y = drops.uniform(0, 2 * SIZE), drops.uniform(-8, 2 * SIZE)
        if weather == "rain":
            pen.line((x, y, x - 5, y + 14), fill=200, width=1)
        else:
            r = drops.uniform(1.2, 2.4)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=235)
    fall = np.asarray(mask.reduce(2), dtype=np.float32)[..., None] / 255
    if weather == "rain":
        picture = picture * _rgb(0.72, 0.76, 0.82)
    return picture * (1 - fall) + fall * _rgb(0.86, 0.92, 1.0)


def _rgb(red: float, green: float, blue: float) -> np.ndarray:
    """A colour, or a gain for each channel, as float32 (3,)."""
    return np.array((red, green, blue), dtype=np.float32)


def _grade(picture: np.ndarray, scene: Scene, seed: int) -> np.ndarray:
    """The finishes that work on the whole picture."""
    if "golden light" in scene.finishes:
        rows, columns = _grid()
        x, y = sun_position(seed, scene.time or "")
        glow = np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / 0.12))[..., None]
        picture = picture * _rgb(1.14, 1.0, 0.7) + 0.5 * glow * _rgb(1.0, 0.78, 0.3)
    if "pastel tones" in scene.finishes:
        grey = picture.mean(axis=2, keepdims=True)
        picture = grey + 0.7 * (picture - grey)
        picture = 0.56 * picture + 0.44 * _rgb(0.98, 0.85, 0.93)
    if "vivid colors" in scene.finishes:
        grey = picture.mean(axis=2, keepdims=True)
        picture = 0.5 + 1.14 * (grey + 1.65 * (picture - grey) - 0.5)
    return picture


def _spoil(picture: np.ndarray, scene: Scene, seed: int) -> np.ndarray:
    """The flaws, in a fixed order."""
    picture = np.clip(picture, 0, 1)
    if "flat" in scene.flaws:
        picture = 0.5 * picture + 0.5 * picture.mean(axis=(0, 1), keepdims=True)
    if "dull" in scene.flaws:
        grey = picture.mean(axis=2, keepdims=True)
        picture = 0.72 * (grey + 0.4 * (picture - grey)) + 0.06
    if "overexposed" in scene.flaws:
        picture = np.clip(picture * 1.35 + 0.22, 0, 1)
    if "blurry" in scene.flaws:
        picture = _blur(picture, 1.7)
    if "noisy" in scene.flaws:
        noise = np.random.default_rng(seed).normal(0, 0.1, (SIZE, SIZE, 3))
        picture = picture + noise.astype(np.float32)
    if "grainy" in scene.flaws:
        grain = np.random.default_rng(seed + 1).normal(0, 0.1, (SIZE // 2, SIZE // 2, 1))
        picture = picture + grain.astype(np.float32).repeat(2, axis=0).repeat(2, axis=1)
    return picture


def _blur(picture: np.ndarray, radius: float) -> np.ndarray:
    pixels = Image.fromarray((picture * 255 + 0.5).astype(np.uint8))
    return np.asarray(pixels.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


def contact_sheet(pictures: list[np.ndarray], columns: int, zoom: int = 2) -> Image.Image:
    """Pictures (each uint8 (H, W, 3), one size) in rows of `columns`, enlarged `zoom` times."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, picture in enumerate(pictures):
        spot = (index % columns * width, index // columns * height)
        sheet.paste(Image.fromarray(picture), spot)
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.BICUBIC)


def _main(path: str) -> None:
    """Every kind, place, finish and flaw in both styles."""
    from models.world.vocabulary import COLOURS, FINISHES, FLAWS, KINDS, PLACES, TIMES, WEATHERS

    colours, places, times = list(COLOURS), list(PLACES), list(TIMES)
    scenes = [
        Scene((Group(kind, colours[i % 8], 1 + i % 3),), places[i % 7], times[i % 3])
        for i, kind in enumerate(KINDS)
    ]
    scenes += [Scene((Group("car", "red"), Group("tree", "green")), p, t)
               for p in places for t in times][:24]  # fmt: skip
    base = (Group("cat", "orange"), Group("house", "blue"))
    scenes += [Scene(base, "meadow", "day", finishes=(f,)) for f in FINISHES]
    scenes += [Scene(base, "city", "night", finishes=(f,)) for f in FINISHES]
    scenes += [Scene(base, "meadow", "day", flaws=(f,)) for f in FLAWS]
    scenes += [Scene(base, "sea", "sunset", weather=w) for w in WEATHERS]
    pictures = [draw_scene(s, 7, style) for style in STYLES for s in scenes]
    contact_sheet(pictures, 12).save(path)


if __name__ == "__main__":
    _main(sys.argv[1])
