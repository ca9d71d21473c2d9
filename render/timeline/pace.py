"""Even pace: how far along a segment a frame stands, so that the picture
changes equally much from each frame to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import median

JUMP = 4.0  # times the usual change of a part
LENGTH_DIGITS = 6  # of a length; the pictures of another machine differ by less


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Places on a segment, and how much of the whole change lies before each.

    Attributes:
        places: from 0 to 1, increasing.
        lengths: from 0 to 1, increasing, as many.
        jumps: places on either side of each jump of a plain path: no picture was found that lies
            between those of the two.
    """

    places: tuple[float, ...]
    lengths: tuple[float, ...]
    jumps: tuple[tuple[float, float], ...] = ()

    def place_at(self, length: float) -> float:
        """The place before which so much of the change lies."""
        return between(self.lengths, self.places, length)

    def length_at(self, place: float) -> float:
        """How much of the change lies before a place."""
        return between(self.places, self.lengths, place)


@lru_cache
def jumps(measured: TimeMap, parts: int) -> frozenset[int]:
    """The parts of a smooth path, of so many, from whose beginning to whose end the picture changes
    far more than in the usual part: nothing that was denoised lies between."""
    lengths = [measured.length_at(node / parts) for node in range(parts + 1)]
    steps = [after - before for before, after in pairwise(lengths)]
    least = JUMP * max(median(steps), 1 / (4 * parts))
    return frozenset(part for part, step in enumerate(steps) if step > least)


def between(known: Sequence[float], values: Sequence[float], at: float) -> float:
    """The value at a point, by its neighbours; both sequences rise from 0 to 1."""
    if at <= 0 or at >= 1:
        return 0.0 if at <= 0 else 1.0
    above = bisect_right(known, at)
    (x0, x1), (y0, y1) = known[above - 1 : above + 1], values[above - 1 : above + 1]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)


UNCHANGED = TimeMap((0.0, 1.0), (0.0, 1.0))


def time_map(
    places: Sequence[float],
    steps: Sequence[float],
    jumps: Sequence[tuple[float, float]] = (),
) -> TimeMap:
    """The map by the distances of pictures at neighbouring places.

    Args:
        places: from 0 to 1, increasing.
        steps: the distance from each place's picture to the next one's.
        jumps: places on either side of each jump.
    """
    total = sum(steps)
    if total <= 0:
        return UNCHANGED
    kept, lengths, sum_so_far = [0.0], [0.0], 0.0
    for place, step in zip(places[1:-1], steps[:-1], strict=True):
        sum_so_far += step
        length = round(sum_so_far / total, LENGTH_DIGITS)
        if lengths[-1] < length < 1:
            kept.append(place)
            lengths.append(length)
    return TimeMap((*kept, 1.0), (*lengths, 1.0), tuple(jumps))
