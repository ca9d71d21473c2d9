"""Shapes on a square picture, in units of 1/256 of its side, whatever its size in pixels."""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.storybook.palette import WHITE, Colour, Light, mix

SIDE = 256.0  # units
OVERSAMPLING = 2

Point = tuple[float, float]


class Canvas:
    """A picture being painted in a light, which falls on every colour given to `lit`."""

    def __init__(self, size: int, light: Light, light_from: float) -> None:
        self.light, self.light_from = light, light_from  # -1: from the left, 1: from the right
        self.pixels_a_side = size * OVERSAMPLING
        self.scale = self.pixels_a_side / SIDE
        self.image = Image.new("RGB", (self.pixels_a_side,) * 2)
        self.draw = ImageDraw.Draw(self.image)

    def lit(self, colour: Colour, haze: float = 0.0, glow: float = 0.0) -> Colour:
        """`colour` in this light, paled by a share of horizon colour for distance.

        `glow` is the share of white light, with which snow stays pale at sunset.
        """
        light = mix(self.light.light, WHITE, glow)
        shone = (
            colour[0] * light[0] / 255, colour[1] * light[1] / 255, colour[2] * light[2] / 255,
        )  # fmt: skip
        shone = mix(shone, self.light.lower, self.light.air) if self.light.air else shone
        return mix(shone, self.light.horizon, haze) if haze else shone

    def dark(self, colour: Colour, share: float = 0.35) -> Colour:
        """The shaded side of a lit colour."""
        return mix(colour, self.light.shade, share)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        k = self.scale
        self.draw.polygon([(x * k, y * k) for x, y in points], fill=_rgb(colour))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        k = self.scale
        self.draw.line(
            [(x * k, y * k) for x, y in points], _rgb(colour), max(1, round(width * k)), "curve"
        )

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A box; nothing where it is less than half of a fine pixel."""
        k = self.scale
        x0, y0, x1, y1 = (
            round(left * k),
            round(top * k),
            round(right * k) - 1,
            round(bottom * k) - 1,
        )
        if x1 >= x0 and y1 >= y0:
            self.draw.rectangle((x0, y0, x1, y1), fill=_rgb(colour))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        k = self.scale
        self.draw.ellipse(((x - rx) * k, (y - ry) * k, (x + rx) * k, (y + ry) * k), _rgb(colour))

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.ellipse(x, y, radius, radius, colour)

    def shaded(
        self, points: Sequence[Point], top: Colour, bottom: Colour, until: float | None = None
    ) -> None:
        """A polygon whose colour runs from its highest to its lowest point, or on to `until`."""
        k, side = self.scale, self.pixels_a_side
        xs, ys = [x * k for x, _ in points], [y * k for _, y in points]
        left, right = max(0, int(min(xs))), min(side, int(max(xs)) + 1)
        high, low = min(ys), max(ys) if until is None else until * k
        upper, lower = max(0, int(high)), min(side, int(max(ys)) + 1)
        if right <= left or lower <= upper:
            return
        mask = Image.new("L", (right - left, lower - upper))
        ImageDraw.Draw(mask).polygon(
            [(x - left, y - upper) for x, y in zip(xs, ys, strict=True)], 255
        )
        long = max(1e-6, low - high)
        first, last = (
            mix(top, bottom, (upper - high) / long),
            mix(top, bottom, (lower - high) / long),
        )
        strip = _strip(first, last, right - left, lower - upper)
        self.image.paste(strip, (left, upper), mask)

    def wash(self, points: Sequence[Point], colour: Colour, alpha: float) -> None:
        """A polygon through which what lies behind can be seen."""
        if alpha <= 0.004:
            return
        k, side = self.scale, self.pixels_a_side
        xs, ys = [x * k for x, _ in points], [y * k for _, y in points]
        left, right = max(0, int(min(xs))), min(side, int(max(xs)) + 2)
        upper, lower = max(0, int(min(ys))), min(side, int(max(ys)) + 2)
        if right <= left or lower <= upper:
            return
        mask = Image.new("L", (right - left, lower - upper))
        shifted = [(x - left, y - upper) for x, y in zip(xs, ys, strict=True)]
        ImageDraw.Draw(mask).polygon(shifted, round(255 * min(1.0, alpha)))
        self.image.paste(_rgb(colour), (left, upper, right, lower), mask)

    def glow(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, strength: float
    ) -> None:
        """Light that fades from a middle to the edge of an ellipse."""
        if strength <= 0.01:
            return
        k = self.scale
        width, height = 4 * max(1, round(rx * k / 2)), 4 * max(1, round(ry * k / 2))
        mask = _spot(width, height, min(255, round(255 * strength / 8) * 8))
        self.image.paste(
            _rgb(colour), (round(x * k) - width // 2, round(y * k) - height // 2), mask
        )

    def veil(self, colour: Colour, stops: Sequence[tuple[float, float]]) -> None:
        """A mist across the picture: its alpha at heights from the top down."""
        heights, alphas = zip(*stops, strict=True)
        k, side = self.scale, self.pixels_a_side
        upper, lower = max(0, int(heights[0] * k)), min(side, int(heights[-1] * k))
        if lower <= upper:
            return
        rows = np.interp(np.arange(upper, lower) / k, heights, alphas)
        column = (rows * 255).clip(0, 255).astype(np.uint8)[:, None]
        mask = Image.fromarray(column).resize((side, lower - upper), Image.Resampling.NEAREST)
        self.image.paste(_rgb(colour), (0, upper, side, lower), mask)

    def colour_at(self, x: float, y: float) -> Colour:
        """The colour painted so far at a place."""
        place = tuple(int(np.clip(v * self.scale, 0, self.pixels_a_side - 1)) for v in (x, y))
        red, green, blue = self.image.getpixel(place)  # type: ignore[misc, arg-type]
        return (red, green, blue)

    def pixels(self) -> NDArray[np.uint8]:
        """The finished picture, (size, size, 3)."""
        return np.asarray(self.image.reduce(OVERSAMPLING))


def _strip(top: Colour, bottom: Colour, width: int, height: int) -> Image.Image:
    """A picture whose colour runs from top to bottom."""
    ends = Image.new("RGB", (1, 2), _rgb(top))
    ends.putpixel((0, 1), _rgb(bottom))
    column = ends.resize((1, height), Image.Resampling.BILINEAR, (0, 0.5, 1, 1.5))
    return column.resize((width, height), Image.Resampling.NEAREST)  # ten times as fast as in one


@cache
def _disc() -> Image.Image:
    """A fading disc of light."""
    at = np.linspace(-1, 1, 128)
    far = np.hypot(at[:, None], at[None])
    return Image.fromarray((255 * (1 - far).clip(0, 1) ** 1.8).astype(np.uint8))


@lru_cache(512)
def _spot(width: int, height: int, strength: int) -> Image.Image:
    spot = _disc().resize((width, height), Image.Resampling.BILINEAR)
    return spot.point([value * strength // 255 for value in range(256)])


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(min(255, max(0, value))) for value in colour)
    return (red, green, blue)
