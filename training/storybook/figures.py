"""Figures of pictures alone: how sharp, how near to another, how even a film, how many moons."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

MOON_AREA = 60  # pixels of a picture of 256 a side, at least


def sharpness(pictures: Pixels) -> float:
    """Mean absolute gradient of pictures (N, H, W, 3), in grey levels."""
    values = pictures.astype(np.float32)
    across, down = np.abs(np.diff(values, axis=2)), np.abs(np.diff(values, axis=1))
    return float(across.mean() + down.mean())


def psnr(made: Pixels, picture: Pixels) -> float:
    """The mean over pictures (N, H, W, 3) of the peak signal-to-noise ratio, in dB."""
    error = np.square(made.astype(np.float64) - picture).mean((1, 2, 3))
    return float((10 * np.log10(255**2 / error)).mean())


def moons(picture: Pixels) -> int:
    """The bright discs of a picture (H, W, 3) by night."""
    scale = picture.shape[0] / 256
    bright = (picture[..., 2] > 190) & (picture[..., 0] > 215)
    closed = ndimage.binary_closing(bright, iterations=max(1, round(3 * scale)))
    spots, count = ndimage.label(closed)
    areas = ndimage.sum_labels(bright, spots, range(1, count + 1))
    return int((np.asarray(areas) > MOON_AREA * scale**2).sum())


def small(picture: Pixels, side: int = 32) -> Floats:
    """A picture (H, W, 3) as linear light, (32, 32, 3): what an eye takes in at a glance."""
    values = (picture / 255.0) ** 2.2
    step = picture.shape[0] // side
    return np.asarray(values.reshape(side, step, side, step, 3).mean((1, 3)))


def apart(a: Floats, b: Floats) -> float:
    """The root of the mean squared difference."""
    return float(np.sqrt(np.square(a - b).mean()))


def evenness(frames: Sequence[Pixels]) -> dict[str, float]:
    """How even a film's steps are: Gini, largest over median, path over direct distance.

    Things that grow change one place after another, and root mean squares of steps that change
    different places add up to the root of their number times the direct way. So the path is given
    with mean differences as well ("summed"), by which it is 1 for anything that only grows.
    """
    glances = [small(frame) for frame in frames]
    steps = np.array([apart(a, b) for a, b in pairwise(glances)])
    order = np.sort(steps)
    ranks = np.arange(1, len(order) + 1)
    gini = 2 * (ranks * order).sum() / (len(order) * order.sum()) - (len(order) + 1) / len(order)
    summed = [np.abs(a - b).mean() for a, b in pairwise(glances)]
    direct = np.abs(glances[0] - glances[-1]).mean()
    return {
        "gini": float(gini),
        "largest_over_median": float(steps.max() / np.median(steps)),
        "path_over_direct": float(steps.sum() / apart(glances[0], glances[-1])),
        "path_over_direct_summed": float(np.sum(summed) / direct),
    }
