"""Linear light: pixels as amounts of light, in which pictures are mixed as lamps would mix them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RgbPicture = NDArray[np.uint8]
"""A picture: (height, width, 3), sRGB."""
Light = NDArray[np.float32]
"""The same in linear light, from 0 to 1."""

CODES = np.arange(256) / 255
LINEAR = np.where(CODES <= 0.04045, CODES / 12.92, ((CODES + 0.055) / 1.055) ** 2.4).astype("f4")


def in_light(pixels: RgbPicture) -> Light:
    """A picture in linear light."""
    light: Light = LINEAR[pixels]
    return light


def in_codes(light: Light) -> RgbPicture:
    """A picture as sRGB, of light in any range."""
    light = light.clip(0, 1)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    pixels: RgbPicture = np.rint(255 * codes).astype(np.uint8)
    return pixels
