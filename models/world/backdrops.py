"""Sky and ground of a scene, without its objects.

`paint_backdrop` draws on a supersampled canvas; everything random comes from generators that
depend on the seed and on what they are for, so an edit of one part leaves the others in place.
Leaves out objects, weather and the finishes that work on pixels.
"""

import math
import random

from PIL import Image, ImageDraw

from models.world.scene import rng
from models.world.shapes import RGB, mix

# Sky at the top and at the horizon; without "gradient sky" the mean of both is used throughout.
SKIES: dict[str, tuple[RGB, RGB]] = {
    "day": ((64, 132, 222), (200, 230, 250)),
    "sunset": ((112, 60, 128), (255, 158, 92)),
    "night": ((8, 10, 36), (50, 52, 104)),
}
SPACE_SKIES: dict[str, tuple[RGB, RGB]] = {
    "day": ((20, 30, 84), (56, 84, 158)),
    "sunset": ((46, 10, 52), (128, 36, 84)),
    "night": ((4, 4, 16), (28, 16, 52)),
}
GROUNDS: dict[str, RGB] = {
    "meadow": (104, 172, 76),
    "city": (96, 96, 104),
    "snowfield": (236, 242, 250),
    "desert": (228, 186, 118),
    "sea": (42, 112, 170),
    "mountains": (92, 118, 92),
}
# What the light of the hour does to everything that is lit.
LIGHTS: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.82, 0.74),
    "night": (0.5, 0.54, 0.72),
}
HORIZON = 0.6  # share of the height that is sky


def lit(colour: RGB, time: str, strength: float = 1.0) -> RGB:
    """The colour under the hour's light; `strength` 0 leaves it as it is."""
    scales = [1 + (scale - 1) * strength for scale in LIGHTS[time]]
    red, green, blue = (round(c * s) for c, s in zip(colour, scales, strict=True))
    return red, green, blue


def sun_position(seed: int, time: str) -> tuple[float, float]:
    """Centre of the sun or moon as shares of width and height."""
    place = rng(seed, "sun")
    x = place.choice((0.16, 0.84)) + place.uniform(-0.02, 0.02)
    return x, (0.5 if time == "sunset" else 0.15)


def paint_backdrop(
    size: int, place: str, time: str, seed: int, *, gradient: bool, detailed: bool, clouds: bool,
    angular: bool,
) -> Image.Image:  # fmt: skip
    """An RGB picture of `size` x `size` pixels with sky, ground and what belongs to the place."""
    top, bottom = (SPACE_SKIES if place == "space" else SKIES)[time]
    picture = Image.new("RGB", (size, size), mix(top, bottom, 0.5))
    pen = ImageDraw.Draw(picture)
    if gradient:
        height = size if place == "space" else int(HORIZON * size) + 4
        vivid = mix(top, (0, 0, 40), 0.15)
        for y in range(0, height, 2):
            pen.rectangle((0, y, size, y + 1), fill=mix(vivid, mix(bottom, (255, 255, 255), 0.12),
                                                        (y / height) ** 1.2))  # fmt: skip
    _sky_things(pen, size, place, time, seed, angular)
    if clouds:
        _clouds(picture, place, time, seed)
    if place == "space":
        _planet(pen, size, time, seed, detailed)
    else:
        _GROUND[place](pen, size, lit(GROUNDS[place], time), time, rng(seed, "ground"), angular)
        if detailed:
            _texture(pen, size, place, time, rng(seed, "texture"))
    return picture


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: RGB, angular: bool) -> None:
    if angular:
        pen.regular_polygon((x, y, r * 1.08), 8, fill=fill)
    else:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _sky_things(
    pen: ImageDraw.ImageDraw, size: int, place: str, time: str, seed: int, angular: bool
) -> None:
    if time == "night" or place == "space":
        dots = rng(seed % 4, "stars")  # four skies, as few as a small model can learn
        for _ in range(26):
            x, y, r = dots.random() * size, dots.random() * size, dots.uniform(0.006, 0.012) * size
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(236, 236, 214))
    x, y = (share * size for share in sun_position(seed, time))
    if time == "night":
        _disc(pen, x, y, 0.075 * size, (240, 238, 214), angular)
        sky = (SPACE_SKIES if place == "space" else SKIES)["night"]
        _disc(pen, x + 0.035 * size, y - 0.02 * size, 0.065 * size, mix(*sky, 0.5), angular)
    elif time == "sunset":
        _disc(pen, x, y, 0.11 * size, (255, 206, 110), angular)
    else:
        _disc(pen, x, y, 0.08 * size, (255, 232, 110), angular)


def _clouds(picture: Image.Image, place: str, time: str, seed: int) -> None:
    """Heaped clouds with dark undersides; a nebula in space."""
    size = picture.width
    puffs = rng(seed, "clouds")
    pen = ImageDraw.Draw(picture)
    if place == "space":
        bright, shade = (206, 92, 190), (96, 48, 150)
    else:
        bright = {"day": (252, 252, 255), "sunset": (255, 176, 140), "night": (104, 108, 148)}[time]
        shade = {"day": (142, 152, 178), "sunset": (140, 72, 110), "night": (44, 46, 84)}[time]
    for k in range(4):
        x, y = (k + puffs.uniform(0.1, 0.9)) * size / 4, puffs.uniform(0.06, 0.3) * size
        for dx, r in ((-0.1, 0.06), (0.0, 0.085), (0.1, 0.065)):
            for drop, fill in ((0.035, shade), (0.0, bright)):
                cx, cy, rx = x + dx * size, y + drop * size, r * size * 1.15
                pen.ellipse((cx - rx, cy - rx * 0.62, cx + rx, cy + rx * 0.62), fill=fill)


def _planet(pen: ImageDraw.ImageDraw, size: int, time: str, seed: int, detailed: bool) -> None:
    spot = rng(seed, "planet")
    x, y, r = spot.choice((0.2, 0.8)) * size, 0.88 * size, 0.12 * size
    body = lit((206, 150, 96), time, 0.4)
    pen.ellipse((x - r, y - r, x + r, y + r), fill=body)
    ring = (x - 1.8 * r, y - 0.45 * r, x + 1.8 * r, y + 0.45 * r)
    pen.arc(ring, 0, 360, fill=(226, 208, 170), width=max(2, size // 64))
    pen.pieslice((x - r, y - r, x + r, y + r), 180, 360, fill=body)
    if detailed:
        for k in range(4):
            pen.arc((x - r, y - r + k * r / 3, x + r, y + r / 2 + k * r / 3), 20, 160,
                    fill=mix(body, (60, 20, 20), 0.4), width=2)  # fmt: skip
        dust = rng(seed, "dust")
        for _ in range(60):
            u, v = dust.random() * size, dust.random() * size
            pen.ellipse((u - 1, v - 1, u + 1, v + 1), fill=(200, 210, 255))


def _wave(
    pen: ImageDraw.ImageDraw, size: int, level: float, swing: float, phase: float, turns: float,
    fill: RGB, angular: bool,
) -> None:  # fmt: skip
    """Fill everything below a wavy line at `level` (share of the height)."""
    steps = 6 if angular else 24
    line = []
    for k in range(steps + 1):
        u = k / steps
        v = level + swing * math.sin(phase + turns * 2 * math.pi * u)
        line.append((u * size, v * size))
    pen.polygon([*line, (size, size), (0, size)], fill=fill)


def _meadow(
    pen: ImageDraw.ImageDraw, size: int, ground: RGB, time: str, g: random.Random, angular: bool
) -> None:
    phase = g.choice((0.6, 3.7)) + g.uniform(-0.2, 0.2)
    _wave(pen, size, HORIZON - 0.05, 0.05, phase, 1.0, mix(ground, (20, 60, 60), 0.25), angular)
    _wave(pen, size, HORIZON + 0.04, 0.03, phase + 2, 0.8, ground, angular)


def _city(
    pen: ImageDraw.ImageDraw, size: int, ground: RGB, time: str, g: random.Random, angular: bool
) -> None:
    wall = lit((126, 130, 152), time)
    window = (255, 222, 120) if time != "day" else (206, 224, 236)
    for k in range(7):
        left, width = k * size / 7, size / 7
        top = (0.22 + 0.09 * (k * 5 % 3) + g.uniform(-0.02, 0.02)) * size
        shade = mix(wall, (30, 30, 50), 0.18 * (k % 3))
        pen.rectangle((left, top, left + width, 0.7 * size), fill=shade)
        for row in range(5):
            for column in (0.2, 0.6):
                x, y = left + column * width, top + (0.04 + 0.07 * row) * size
                if g.random() < 0.6:
                    pen.rectangle((x, y, x + 0.22 * width, y + 0.03 * size), fill=window)
    pen.rectangle((0, 0.7 * size, size, size), fill=ground)
    pen.rectangle((0, 0.68 * size, size, 0.72 * size), fill=mix(ground, (230, 230, 230), 0.4))
    for k in range(4):
        x = (k + 0.3) * size / 4
        pen.rectangle((x, 0.9 * size, x + 0.12 * size, 0.925 * size), fill=(236, 226, 160))


def _snowfield(
    pen: ImageDraw.ImageDraw, size: int, ground: RGB, time: str, g: random.Random, angular: bool
) -> None:
    phase = g.choice((0.6, 3.7)) + g.uniform(-0.2, 0.2)
    _wave(pen, size, HORIZON - 0.06, 0.04, phase, 0.9, mix(ground, (120, 150, 200), 0.35), angular)
    _wave(pen, size, HORIZON + 0.03, 0.03, phase + 2, 0.7, ground, angular)


def _desert(
    pen: ImageDraw.ImageDraw, size: int, ground: RGB, time: str, g: random.Random, angular: bool
) -> None:
    phase = g.choice((0.6, 3.7)) + g.uniform(-0.2, 0.2)
    _wave(pen, size, HORIZON - 0.04, 0.07, phase, 0.7, mix(ground, (150, 80, 50), 0.3), angular)
    _wave(pen, size, HORIZON + 0.07, 0.05, phase + 2.5, 0.6, ground, angular)
    x = g.choice((0.08, 0.92)) * size
    green = lit((66, 120, 70), time)
    pen.rectangle((x - 0.02 * size, 0.5 * size, x + 0.02 * size, 0.72 * size), fill=green)
    pen.rectangle((x - 0.06 * size, 0.58 * size, x + 0.06 * size, 0.61 * size), fill=green)


def _sea(
    pen: ImageDraw.ImageDraw, size: int, ground: RGB, time: str, g: random.Random, angular: bool
) -> None:
    pen.rectangle((0, HORIZON * size, size, size), fill=ground)
    crest = mix(ground, (255, 255, 255), 0.3)
    for k in range(6):
        x, y = g.random() * size, (HORIZON + 0.06 + 0.055 * k) * size
        pen.rectangle((x, y, x + 0.2 * size, y + 0.016 * size), fill=crest)
        pen.rectangle((x - size * 0.6, y, x - size * 0.4, y + 0.016 * size), fill=crest)


def _mountains(
    pen: ImageDraw.ImageDraw, size: int, ground: RGB, time: str, g: random.Random, angular: bool
) -> None:
    rock, cap = lit((128, 120, 148), time), lit((244, 246, 252), time, 0.7)
    for k, shade in ((0, 0.0), (2, 0.0), (1, 0.2)):
        x, top = (0.16 + 0.34 * k + g.uniform(-0.02, 0.02)) * size, g.uniform(0.19, 0.25) * size
        base, half = 0.68 * size, 0.32 * size
        fill = mix(rock, (30, 30, 60), shade)
        pen.polygon([(x - half, base), (x, top), (x + half, base)], fill=fill)
        drop = 0.28
        left, right = x - half * drop, x + half * drop
        snow = top + (base - top) * drop
        pen.polygon([(left, snow), (x, top), (right, snow), (x, snow - 0.03 * size)], fill=cap)
    _wave(pen, size, HORIZON + 0.05, 0.02, g.uniform(0, 6), 1.0, ground, angular)


_GROUND = {
    "meadow": _meadow,
    "city": _city,
    "snowfield": _snowfield,
    "desert": _desert,
    "sea": _sea,
    "mountains": _mountains,
}


def _texture(pen: ImageDraw.ImageDraw, size: int, place: str, time: str, g: random.Random) -> None:
    """Fine detail on the ground: tufts, cracks, ripples, glitter."""
    ground = lit(GROUNDS[place], time)
    dark, light = mix(ground, (10, 20, 30), 0.42), mix(ground, (255, 255, 255), 0.5)
    for k in range(46):
        x, y = g.random() * size, g.uniform(0.7, 0.99) * size
        fill = dark if k % 2 else light
        if place in ("sea", "desert"):
            pen.line((x, y, x + 0.07 * size, y + 0.005 * size), fill=fill, width=2)
        elif place == "city":
            pen.rectangle((x, y, x + 0.03 * size, y + 0.012 * size), fill=fill)
        else:
            pen.line((x, y, x + g.uniform(-2, 2), y - 0.04 * size), fill=fill, width=2)
