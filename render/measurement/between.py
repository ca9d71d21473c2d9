"""Between two keyframes: is the picture as sharp as its ends, and is it one picture or two?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from render.measurement.reading import SIDE, Floats

BLOCK = 4  # pixels of a block's side, of the 32 of the small copy
DIFFERS = 0.05  # root of the mean squared difference of a block in which the ends differ, in sRGB
WITHIN = 0.05  # of that difference
LEAST, MOST = 0.15, 0.85  # share of the first end in a block that shows both


def against_ends(values: Floats) -> tuple[float, int] | None:
    """The worst value between the ends as a part of what lies between theirs, and its place.

    Args:
        values: one of each frame, from one keyframe to the next.

    Returns:
        None where there is no frame between, or no value to compare with.
    """
    if len(values) < 3:
        return None
    usual = np.linspace(values[0], values[-1], len(values))[1:-1]
    if not usual.min() > 1e-9:
        return None
    parts = values[1:-1] / usual
    worst = int(parts.argmin())
    return float(parts[worst]), worst + 1


def double_exposure(small: Floats) -> float | None:
    """How far the frames between two keyframes are both end pictures laid over each other.

    It is the share of the blocks, among those in which the ends differ, that are a·A + (1−a)·B with
    a from .15 to .85, to within 5 % of the difference; divided by the share that a dissolve of as
    many frames has, so that a dissolve has 1.

    Args:
        small: small copies in linear RGB, from one keyframe to the next.

    Returns:
        None where there is no frame between, or the ends differ in no block.
    """
    shares = mixed_shares(small)
    if shares is None:
        return None
    time = np.linspace(0, 1, len(small))[1:-1]
    of_a_dissolve = float(((time >= LEAST) & (time <= MOST)).mean())
    return min(1.0, float(shares.mean()) / of_a_dissolve) if of_a_dissolve else None


def mixed_shares(small: Floats) -> NDArray[np.float64] | None:
    """For each frame between the ends the share of blocks that are a mix of the ends."""
    first, last = blocks(small[0]), blocks(small[-1])
    way = first - last
    lengths = (way * way).sum(1)
    differ = lengths > DIFFERS**2 * way.shape[1]
    if len(small) < 3 or not differ.any():
        return None
    first, last, way, lengths = first[differ], last[differ], way[differ], lengths[differ]
    shares = []
    for picture in small[1:-1]:
        from_last = blocks(picture)[differ] - last
        share = (from_last * way).sum(1) / lengths
        rest = ((from_last - share[:, None] * way) ** 2).sum(1)
        mixed = (share >= LEAST) & (share <= MOST) & (rest <= WITHIN**2 * lengths)
        shares.append(float(mixed.mean()))
    return np.array(shares)


def blocks(small: Floats) -> Floats:
    """A small copy in sRGB, in blocks: (64, 48)."""
    linear = small.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    count = SIDE // BLOCK
    cut = encoded.reshape(count, BLOCK, count, BLOCK, 3).transpose(0, 2, 1, 3, 4)
    return cut.reshape(count * count, -1)
