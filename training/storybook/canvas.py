"""Flat shapes on a square picture, in units of 1/128 of its side, whatever its size in pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.storybook.palette import Colour, Sky, mix

SIDE = 128.0  # units
OVERSAMPLING = 3

Point = tuple[float, float]


class Canvas:
    """A picture being painted under a sky, whose light falls on every colour but `raw` ones."""

    def __init__(self, size: int, sky: Sky) -> None:
        self.size, self.sky = size, sky
        self.scale = size * OVERSAMPLING / SIDE
        pixels = size * OVERSAMPLING
        self.image = Image.new("RGB", (pixels, pixels), _rgb(sky.horizon))
        self.draw = ImageDraw.Draw(self.image)

    def lit(self, colour: Colour, haze: float = 0.0, glow: float = 0.0) -> Colour:
        """`colour` in this light, paled by a share of horizon colour for distance.

        `glow` is the share of white light, with which snow stays pale at sunset.
        """
        light = mix(self.sky.light, (1.0, 1.0, 1.0), glow)
        shone = (colour[0] * light[0], colour[1] * light[1], colour[2] * light[2])
        return mix(shone, self.sky.horizon, haze)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        k = self.scale
        self.draw.polygon([(x * k, y * k) for x, y in points], fill=_rgb(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        k = self.scale
        ends = (max(left * k, right * k - 1), max(top * k, bottom * k - 1))
        self.draw.rectangle((left * k, top * k, *ends), fill=_rgb(colour))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        k = self.scale
        self.draw.ellipse(((x - rx) * k, (y - ry) * k, (x + rx) * k, (y + ry) * k), _rgb(colour))

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.ellipse(x, y, radius, radius, colour)

    def gradient(self, stops: Sequence[Colour], bottom: float) -> None:
        """Colours from the top edge down to `bottom`, across the whole picture."""
        rows = round(bottom * self.scale)
        at = np.linspace(0, len(stops) - 1, rows)
        bands = [np.interp(at, range(len(stops)), [stop[i] for stop in stops]) for i in range(3)]
        column = np.stack(bands, -1).astype(np.uint8)[:, None]  # (rows, 1, 3)
        strip = Image.fromarray(column).resize((self.image.width, rows), Image.Resampling.NEAREST)
        self.image.paste(strip, (0, 0))

    def colour_at(self, x: float, y: float) -> Colour:
        place = tuple(int(np.clip(v * self.scale, 0, self.image.width - 1)) for v in (x, y))
        red, green, blue = self.image.getpixel(place)  # type: ignore[misc, arg-type]
        return (red, green, blue)

    def pixels(self) -> NDArray[np.uint8]:
        """The finished picture, (size, size, 3)."""
        return np.asarray(self.image.reduce(OVERSAMPLING))


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(min(255, max(0, value))) for value in colour)
    return (red, green, blue)
