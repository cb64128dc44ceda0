"""The twelve kinds of object as anti-aliased vector shapes.

Each function draws one object with a `Brush`, whose local coordinates run from -1 to 1 in both
directions (y down) over the object's box.  Silhouettes were chosen to differ at 20 pixels, because
the kind is what a small diffusion model learns last.  Leaves out placement, light and finish.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

RGB = tuple[int, int, int]

_INK: RGB = (40, 36, 44)
_PALE: RGB = (246, 244, 238)
_WOOD: RGB = (118, 78, 48)
_BEAK: RGB = (244, 150, 40)
_GLASS: RGB = (196, 226, 240)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`a` moved towards `b` by `share` in [0, 1]."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Brush:
    """Draws in an object's own coordinates; `pixels` is half the box's side on the canvas."""

    canvas: ImageDraw.ImageDraw
    x: float
    y: float
    pixels: float
    colour: RGB
    detailed: bool  # whether fine detail is drawn on the object
    angular: bool  # the second drawing style: straight edges where the first has curves

    @property
    def dark(self) -> RGB:
        return mix(self.colour, (20, 16, 32), 0.38)

    @property
    def light(self) -> RGB:
        return mix(self.colour, (255, 255, 255), 0.45)

    def _at(self, u: float, v: float) -> tuple[float, float]:
        return self.x + u * self.pixels, self.y + v * self.pixels

    def polygon(self, points: Sequence[tuple[float, float]], fill: RGB) -> None:
        self.canvas.polygon([self._at(u, v) for u, v in points], fill=(*fill, 255))

    def line(self, points: Sequence[tuple[float, float]], fill: RGB, width: float = 0.09) -> None:
        pixels = max(1, round(width * self.pixels))
        self.canvas.line([self._at(u, v) for u, v in points], fill=(*fill, 255), width=pixels)

    def box(self, left: float, top: float, right: float, bottom: float, fill: RGB) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def oval(self, u: float, v: float, width: float, height: float, fill: RGB) -> None:
        """An ellipse of half-axes `width` and `height`; an octagon in the angular style."""
        if self.angular:
            turns = [math.pi * (k + 0.5) / 4 for k in range(8)]
            ring = [
                (u + 1.06 * width * math.cos(t), v + 1.06 * height * math.sin(t)) for t in turns
            ]
            self.polygon(ring, fill)
            return
        (x0, y0), (x1, y1) = self._at(u - width, v - height), self._at(u + width, v + height)
        self.canvas.ellipse((min(x0, x1), y0, max(x0, x1), y1), fill=(*fill, 255))


def _house(b: Brush) -> None:
    b.box(-0.72, -0.12, 0.72, 1.0, b.colour)
    b.polygon([(-0.98, -0.08), (0.0, -1.0), (0.98, -0.08)], b.dark)
    b.box(-0.18, 0.38, 0.2, 1.0, _WOOD)
    for left in (-0.58, 0.32):
        b.box(left, 0.12, left + 0.28, 0.42, _GLASS)
    if b.detailed:
        b.box(0.42, -0.96, 0.66, -0.38, b.dark)
        b.line([(-0.7, 0.66), (-0.2, 0.66)], b.light, 0.06)
        b.line([(0.22, 0.66), (0.7, 0.66)], b.light, 0.06)
        b.line([(-0.5, -0.3), (0.5, -0.3)], b.colour, 0.06)
        b.line([(-0.26, -0.58), (0.26, -0.58)], b.colour, 0.06)


def _car(b: Brush) -> None:
    b.polygon([(-0.55, 0.25), (-0.3, -0.32), (0.34, -0.32), (0.62, 0.25)], b.colour)
    b.polygon([(-0.38, 0.2), (-0.2, -0.18), (0.0, -0.18), (0.0, 0.2)], _GLASS)
    b.polygon([(0.08, 0.2), (0.08, -0.18), (0.26, -0.18), (0.44, 0.2)], _GLASS)
    b.box(-1.0, 0.18, 1.0, 0.72, b.colour)
    for u in (-0.52, 0.54):
        b.oval(u, 0.72, 0.28, 0.28, _INK)
        b.oval(u, 0.72, 0.11, 0.11, (190, 190, 196))
    if b.detailed:
        b.line([(-0.96, 0.44), (0.96, 0.44)], b.dark, 0.06)
        b.oval(0.9, 0.34, 0.09, 0.1, (255, 240, 150))
        b.line([(-0.9, 0.27), (-0.5, 0.27)], b.light, 0.06)


def _cat(b: Brush) -> None:
    b.line([(-0.45, 0.86), (-0.86, 0.7), (-0.9, 0.1)], b.colour, 0.2)
    b.oval(0.0, 0.5, 0.52, 0.52, b.colour)
    b.oval(0.0, -0.3, 0.52, 0.44, b.colour)
    for side in (-1, 1):
        b.polygon([(side * 0.5, -1.0), (side * 0.52, -0.3), (side * 0.08, -0.62)], b.colour)
        b.polygon([(side * 0.43, -0.82), (side * 0.44, -0.5), (side * 0.22, -0.6)], (240, 160, 170))
        b.oval(side * 0.22, -0.34, 0.1, 0.13, _INK)
    b.oval(0.0, -0.12, 0.08, 0.06, (226, 110, 130))
    if b.detailed:
        b.oval(0.0, 0.62, 0.24, 0.32, b.light)
        for side in (-1, 1):
            b.line([(side * 0.18, -0.1), (side * 0.66, -0.18)], _PALE, 0.05)
            b.line([(side * 0.18, -0.04), (side * 0.66, 0.02)], _PALE, 0.05)


def _balloon(b: Brush) -> None:
    b.oval(0.0, -0.32, 0.68, 0.68, b.colour)
    b.polygon([(-0.6, 0.0), (0.6, 0.0), (0.2, 0.52), (-0.2, 0.52)], b.colour)
    b.oval(0.0, -0.32, 0.24, 0.68, b.light)
    b.polygon([(-0.22, 0.0), (0.22, 0.0), (0.1, 0.52), (-0.1, 0.52)], b.light)
    b.line([(-0.18, 0.5), (-0.16, 0.76)], _INK, 0.05)
    b.line([(0.18, 0.5), (0.16, 0.76)], _INK, 0.05)
    b.box(-0.22, 0.72, 0.22, 1.0, _WOOD)
    if b.detailed:
        b.line([(-0.62, -0.2), (0.62, -0.2)], b.dark, 0.07)
        b.line([(-0.62, -0.42), (0.62, -0.42)], b.dark, 0.07)


def _boat(b: Brush) -> None:
    b.line([(0.0, -1.0), (0.0, 0.5)], _WOOD, 0.1)
    b.polygon([(-0.08, -0.9), (-0.08, 0.32), (-0.8, 0.32)], _PALE)
    b.polygon([(0.08, -0.72), (0.08, 0.32), (0.62, 0.32)], _PALE)
    b.polygon([(-1.0, 0.44), (1.0, 0.44), (0.66, 0.98), (-0.68, 0.98)], b.colour)
    b.polygon([(0.0, -1.0), (0.3, -0.9), (0.0, -0.8)], b.colour)
    if b.detailed:
        b.line([(-0.86, 0.62), (0.86, 0.62)], b.light, 0.07)
        b.line([(-0.3, -0.4), (-0.1, -0.4)], b.dark, 0.05)
        b.line([(-0.6, 0.12), (-0.1, 0.12)], b.dark, 0.05)


def _rocket(b: Brush) -> None:
    b.polygon([(-0.2, 0.6), (0.2, 0.6), (0.0, 1.0)], (255, 160, 40))
    b.polygon([(-0.3, 0.1), (-0.66, 0.74), (-0.26, 0.6)], b.dark)
    b.polygon([(0.3, 0.1), (0.66, 0.74), (0.26, 0.6)], b.dark)
    b.polygon([(-0.32, -0.42), (0.32, -0.42), (0.3, 0.62), (-0.3, 0.62)], b.colour)
    b.polygon([(-0.32, -0.4), (-0.2, -0.72), (0.0, -1.0), (0.2, -0.72), (0.32, -0.4)], b.dark)
    b.oval(0.0, -0.1, 0.18, 0.18, _GLASS)
    if b.detailed:
        b.line([(-0.3, 0.22), (0.3, 0.22)], b.light, 0.07)
        b.line([(-0.3, 0.42), (0.3, 0.42)], b.light, 0.07)
        b.polygon([(-0.1, 0.62), (0.1, 0.62), (0.0, 0.84)], (255, 240, 150))


def _flower(b: Brush) -> None:
    b.line([(0.0, -0.2), (0.0, 1.0)], (58, 130, 62), 0.12)
    b.polygon([(0.0, 0.86), (0.5, 0.42), (0.44, 0.76)], (58, 130, 62))
    b.polygon([(0.0, 0.92), (-0.5, 0.5), (-0.42, 0.84)], (58, 130, 62))
    for k in range(6):
        turn = math.pi * k / 3 + math.pi / 6
        b.oval(0.38 * math.cos(turn), -0.4 + 0.38 * math.sin(turn), 0.27, 0.27, b.colour)
    b.oval(0.0, -0.4, 0.25, 0.25, (110, 72, 36))
    if b.detailed:
        for k in range(6):
            turn = math.pi * k / 3 + math.pi / 6
            u, v = math.cos(turn), math.sin(turn)
            b.line([(0.3 * u, -0.4 + 0.3 * v), (0.55 * u, -0.4 + 0.55 * v)], b.dark, 0.06)
        b.oval(-0.05, -0.46, 0.1, 0.1, (240, 200, 90))


def _fish(b: Brush) -> None:
    b.polygon([(-0.4, 0.0), (-1.0, -0.52), (-0.84, 0.0), (-1.0, 0.52)], b.dark)
    b.polygon([(-0.2, -0.35), (0.16, -0.74), (0.36, -0.3)], b.dark)
    b.oval(0.2, 0.0, 0.78, 0.46, b.colour)
    b.oval(0.62, -0.12, 0.14, 0.14, _PALE)
    b.oval(0.65, -0.12, 0.07, 0.07, _INK)
    b.line([(0.34, -0.36), (0.26, 0.0), (0.34, 0.36)], b.dark, 0.08)
    if b.detailed:
        for u in (-0.28, -0.06, 0.12):
            b.line([(u, -0.24), (u - 0.08, 0.0), (u, 0.24)], b.light, 0.06)
        b.line([(-0.9, -0.3), (-0.6, 0.0), (-0.9, 0.3)], b.light, 0.05)


def _bird(b: Brush) -> None:
    b.polygon([(-0.3, 0.1), (-1.0, 0.1), (-0.92, 0.42), (-0.2, 0.5)], b.dark)
    b.line([(-0.04, 0.6), (-0.04, 1.0)], _BEAK, 0.09)
    b.line([(0.22, 0.6), (0.22, 1.0)], _BEAK, 0.09)
    b.oval(0.06, 0.26, 0.54, 0.44, b.colour)
    b.polygon([(0.6, -0.5), (1.0, -0.28), (0.6, -0.14)], _BEAK)
    b.oval(0.42, -0.34, 0.34, 0.32, b.colour)
    b.oval(0.5, -0.4, 0.09, 0.09, _INK)
    b.polygon([(0.3, 0.26), (-0.1, 0.5), (-0.44, -0.86), (0.0, -0.5)], b.dark)
    if b.detailed:
        b.line([(-0.3, -0.56), (0.0, 0.3)], b.light, 0.06)
        b.line([(-0.1, -0.44), (0.14, 0.26)], b.light, 0.06)
        b.oval(0.26, 0.46, 0.2, 0.14, b.light)


def _mushroom(b: Brush) -> None:
    b.polygon([(-0.26, 0.0), (0.26, 0.0), (0.36, 1.0), (-0.36, 1.0)], (240, 226, 200))
    turns = [math.pi * k / (5 if b.angular else 14) for k in range(6 if b.angular else 15)]
    b.polygon([(0.95 * math.cos(t), 0.14 - 0.96 * math.sin(t)) for t in turns], b.colour)
    spots = _PALE if b.colour != (250, 250, 246) else (214, 204, 196)
    for u, v, size in ((-0.48, -0.18, 0.15), (0.06, -0.5, 0.18), (0.52, -0.14, 0.14)):
        b.oval(u, v, size, size, spots)
    if b.detailed:
        b.line([(-0.84, 0.1), (0.84, 0.1)], b.dark, 0.08)
        for u in (-0.12, 0.06):
            b.line([(u, 0.2), (u, 0.9)], (200, 180, 150), 0.06)


def _star(b: Brush) -> None:
    def ring(scale: float) -> list[tuple[float, float]]:
        turns = [math.pi * k / 5 - math.pi / 2 for k in range(10)]
        radii = [scale * (1.0 if k % 2 == 0 else 0.44) for k in range(10)]
        return [(r * math.cos(t), r * math.sin(t)) for r, t in zip(radii, turns, strict=True)]

    b.polygon(ring(1.0), b.colour)
    if b.angular:
        b.polygon(ring(0.5), b.light)
    if b.detailed:
        b.polygon(ring(0.62), b.light)
        b.polygon(ring(0.4), b.colour)


def _tree(b: Brush) -> None:
    b.box(-0.16, 0.3, 0.16, 1.0, _WOOD)
    for top, bottom, width in ((-0.25, 0.55, 0.84), (-0.65, 0.1, 0.66), (-1.0, -0.35, 0.48)):
        b.polygon([(0.0, top), (width, bottom), (-width, bottom)], b.colour)
        b.line([(-width, bottom), (width, bottom)], b.dark, 0.07)
    if b.detailed:
        for u, v in ((-0.3, 0.35), (0.28, 0.3), (0.0, 0.05), (-0.16, -0.25), (0.1, -0.5)):
            b.oval(u, v, 0.07, 0.07, b.light)


SHAPES: dict[str, Callable[[Brush], None]] = {
    "house": _house,
    "car": _car,
    "cat": _cat,
    "balloon": _balloon,
    "boat": _boat,
    "rocket": _rocket,
    "flower": _flower,
    "fish": _fish,
    "bird": _bird,
    "mushroom": _mushroom,
    "star": _star,
    "tree": _tree,
}

# Kinds that hang in the air; the others stand on the ground.
FLYING = frozenset({"balloon", "rocket", "fish", "bird", "star"})
