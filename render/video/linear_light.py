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
LEVELS = 65_535
"""Of light: the darkest codes are 20 of them apart."""
LIGHTS = np.arange(LEVELS + 1) / LEVELS
ENCODED = np.where(LIGHTS <= 0.0031308, 12.92 * LIGHTS, 1.055 * LIGHTS ** (1 / 2.4) - 0.055)
CODE_OF = np.rint(255 * ENCODED).astype(np.uint8)


def in_light(pixels: RgbPicture) -> Light:
    """A picture in linear light."""
    light: Light = LINEAR[pixels]
    return light


def in_codes(light: Light) -> RgbPicture:
    """A picture as sRGB, of light in any range."""
    levels = np.rint(light.clip(0, 1) * LEVELS).astype(np.uint16)
    picture: RgbPicture = CODE_OF[levels]
    return picture
