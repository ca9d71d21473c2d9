"""Steps: the distances of neighbouring pictures, and what they say of a film's pace.

A distance is the root of the mean squared difference of two small copies in linear RGB. It is no
squared one: a blend that is half-way is at half the distance of its ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from render.measurement.reading import Floats

AT_ONCE = 512  # pictures whose differences are in memory
THERE_AND_BACK = 0.6
"""A flash's neighbours are nearer to each other than this part of the two steps."""
SEEN = 0.002
"""A step that the eye may see; a flash has two of them at least."""
SNAP_OF_MEDIAN, SNAP_OF_NEIGHBOURS, SNAP_SEEN = 4.0, 2.5, 0.005
"""A snap is larger than so many medians, so many times the steps on either side, and this."""
MOSTLY = 0.875  # of the steps of a film that is still but for a few jumps
NEIGHBOURS = 3  # steps on either side of one
ALIKE = 1e-4  # a distance of two keyframes that are one picture
STILL, STILL_PART = 0.003, 0.12
"""A repeated frame of a video differs by less than this, and than this part of the steps beside."""

StepSizes = NDArray[np.float64]


def distances(small: Floats, apart: int = 1) -> StepSizes:
    """The distance of each picture of (N, …) from the one so many places later: (N - apart,)."""
    found = np.zeros(max(0, len(small) - apart))
    for start in range(0, len(found), AT_ONCE):
        end = min(start + AT_ONCE, len(found))
        difference = small[start:end] - small[start + apart : end + apart]
        flat = difference.reshape(end - start, -1)
        found[start:end] = np.sqrt(np.einsum("ij,ij->i", flat, flat) / flat.shape[1])
    return found


def gini(steps: StepSizes) -> float:
    """The Gini coefficient: 0 where all steps are equal, towards 1 where one has all the change."""
    total = float(steps.sum())
    if total == 0:
        return 0.0
    order, count = np.sort(steps), len(steps)
    return float((2 * np.arange(1, count + 1) - count - 1) @ order) / (count * total)


def median_of_moving(steps: StepSizes) -> float:
    """The median of the steps that lead to no repeated frame; 0 where there is none."""
    moving = np.delete(steps, [frame - 1 for frame in repeated(steps)])
    return float(np.median(moving)) if moving.size else 0.0


def largest_over_median(steps: StepSizes) -> float | None:
    """The largest step as a multiple of the median; None where nothing moves."""
    median = median_of_moving(steps)
    return float(steps.max()) / median if median > 0 else None


def path_over_direct(small: Floats) -> float | None:
    """How long the way of the pictures is beside that from the first to the last, straight on; None
    where these two are alike."""
    direct = float(distances(small[[0, -1]])[0]) if len(small) else 0.0
    return float(distances(small).sum()) / direct if direct > ALIKE else None


def flashes(steps: StepSizes, skips: StepSizes) -> list[int]:
    """The frames that stand between two that are more like each other: the picture goes there and
    back.

    Args:
        steps: distances of neighbours (N - 1,).
        skips: distances of frames with one between them (N - 2,).
    """
    before, after = steps[:-1], steps[1:]
    least = max(median_of_moving(steps), SEEN)
    back = (skips < THERE_AND_BACK * (before + after)) & (np.minimum(before, after) > least)
    return [int(place) + 1 for place in np.flatnonzero(back)]


def snaps(steps: StepSizes, without: Sequence[int] = ()) -> list[int]:
    """The frames that a single large step leads to: a jump.

    It is large beside the film's median, and beside the medians of the three steps before and the
    three after it, so that a fast but steady motion has none.

    Args:
        without: flashes; the steps to them and from them are named already.
    """
    still = len(repeated(steps)) > MOSTLY * len(steps)  # and few jumps are no pace to compare with
    least = max(0 if still else SNAP_OF_MEDIAN * median_of_moving(steps), SNAP_SEEN)
    named = {step for frame in without for step in (frame - 1, frame)}
    large = [int(step) for step in np.flatnonzero(steps > least) if step not in named]
    return [step + 1 for step in large if stands_out(steps, step)]


def stands_out(steps: StepSizes, step: int) -> bool:
    """Whether a step is large beside those on either side; a side without any says nothing."""
    sides = steps[max(0, step - NEIGHBOURS) : step], steps[step + 1 : step + 1 + NEIGHBOURS]
    beside = [float(np.median(side)) for side in sides if side.size]
    return bool(beside) and bool(steps[step] > SNAP_OF_NEIGHBOURS * max(beside))


def repeated(steps: StepSizes) -> list[int]:
    """The frames that show what the frame before shows, as far as one can see.

    Equal pictures are repeated. Nearly equal ones, as a video has them, are so only where the steps
    on both sides are far larger: the slow beginning of an easing repeats nothing.
    """
    found = []
    for first, end in runs(steps <= STILL):
        inside = first > 0 and end < len(steps)
        beside = min(steps[first - 1], steps[end]) if inside else 0.0
        alike = steps[first:end].max() <= STILL_PART * beside
        found += [step + 1 for step in range(first, end) if alike or steps[step] == 0]
    return found


def runs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The first place and the one after the last of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], which, [False]))))
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]
