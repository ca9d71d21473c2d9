"""One picture read for measurement: a small copy in linear light, sharpness and contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels of the small copy, both ways
STRIPS = 4  # that a picture is worked on in

Floats = NDArray[np.floating]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is kept of one picture.

    Attributes:
        small: float32 (32, 32, 3), the means of the picture's areas, in linear RGB from 0 to 1.
        sharpness: the variance of the Laplacian of its grey values, which go from 0 to 1.
        contrast: the standard deviation of its grey values.
        seen: its features, where LPIPS is measured.
    """

    small: Floats
    sharpness: float
    contrast: float
    seen: Floats | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings of a film's frames, in order: (N, 32, 32, 3), (N,) and (N,)."""

    small: Floats
    sharpness: Floats
    contrast: Floats

    @staticmethod
    def of(found: Sequence[Reading]) -> Readings:
        """Readings of single frames joined."""
        small = np.zeros((len(found), SIDE, SIDE, 3), np.float32)
        for place, reading in enumerate(found):
            small[place] = reading.small
        sharpness = np.array([reading.sharpness for reading in found])
        return Readings(small, sharpness, np.array([reading.contrast for reading in found]))

    def __len__(self) -> int:
        return len(self.sharpness)


def read_pixels(pixels: Pixels) -> Reading:
    """Read a picture, uint8 (H, W, 3) in sRGB, of any size."""
    small = averaged(averaged_down(pixels), 1)
    grey = pixels[..., 0].astype(np.int16) + pixels[..., 1] + pixels[..., 2]
    return Reading(small, variance(laplacian(grey)) / 765**2, variance(grey) ** 0.5 / 765)


@cache
def linear_values() -> NDArray[np.float32]:
    """The linear value of each of the 256 values of sRGB (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    low, high = value / 12.92, ((value + 0.055) / 1.055) ** 2.4
    return np.where(value <= 0.04045, low, high).astype(np.float32)


def averaged_down(pixels: Pixels) -> Floats:
    """The means of 32 equal parts of the height in linear light: (32, W, 3)."""
    height, values = len(pixels), linear_values()
    if height % SIDE:
        return averaged(values.take(pixels, mode="clip"), 0)
    step = SIDE // STRIPS
    found = np.empty((SIDE, *pixels.shape[1:]), np.float32)
    for part in range(0, SIDE, step):  # so that what is worked on stays in the cache
        rows = pixels[part * height // SIDE : (part + step) * height // SIDE]
        linear = values.take(rows, mode="clip")
        found[part : part + step] = linear.reshape(step, -1, *pixels.shape[1:]).sum(1)
    return found * np.float32(SIDE / height)


def averaged(picture: Floats, axis: int) -> Floats:
    """The picture with an axis of 32 values: the means of equal parts of its own."""
    length = picture.shape[axis]
    if length % SIDE == 0:
        shape = list(picture.shape)
        shape[axis : axis + 1] = [SIDE, length // SIDE]
        total: Floats = picture.reshape(shape).sum(axis + 1)
        return total * np.float32(SIDE / length)
    parts = np.tensordot(coverage(length), picture, (1, axis))
    return np.moveaxis(parts, 0, axis)


@cache
def coverage(length: int) -> NDArray[np.float32]:
    """The share (32, length) that each of so many values has in each of 32 equal parts."""
    edges = np.arange(SIDE + 1) * length / SIDE
    place = np.arange(length)
    from_left = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    return (from_left.clip(0) * SIDE / length).astype(np.float32)


def laplacian(grey: NDArray[np.int16]) -> NDArray[np.int16]:
    """The sum of each inner value's four neighbours less four times itself."""
    across = grey[1:-1, :-2] + grey[1:-1, 2:]
    along = grey[:-2, 1:-1] + grey[2:, 1:-1]
    found: NDArray[np.int16] = across + along - 4 * grey[1:-1, 1:-1]
    return found


def variance(values: NDArray[np.int16]) -> float:
    """The variance of integers; 0 of none."""
    if not values.size:
        return 0.0
    flat = (values - values[0, 0]).astype(np.float32).ravel()  # near zero, so that sums are exact
    mean = float(flat.mean(dtype=np.float64))
    square: float = float(flat @ flat) / flat.size
    return max(0.0, square - mean * mean)
