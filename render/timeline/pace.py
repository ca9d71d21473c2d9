"""Even pace: how far along a segment a frame stands, so that the picture
changes equally much from each frame to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

LENGTH_DIGITS = 6  # of a length; the pictures of another machine differ by less


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Places on a segment, and how much of the whole change lies before each.

    Attributes:
        places: from 0 to 1, increasing.
        lengths: from 0 to 1, increasing, as many.
    """

    places: tuple[float, ...]
    lengths: tuple[float, ...]

    def place_at(self, length: float) -> float:
        """The place before which so much of the change lies."""
        if length <= 0 or length >= 1:
            return 0.0 if length <= 0 else 1.0
        above = bisect_right(self.lengths, length)
        (x0, x1), (y0, y1) = self.lengths[above - 1 : above + 1], self.places[above - 1 : above + 1]
        return y0 + (y1 - y0) * (length - x0) / (x1 - x0)


UNCHANGED = TimeMap((0.0, 1.0), (0.0, 1.0))


def time_map(places: Sequence[float], steps: Sequence[float]) -> TimeMap:
    """The map by the distances of pictures at neighbouring places.

    Args:
        places: from 0 to 1, increasing.
        steps: the distance from each place's picture to the next one's.
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
    return TimeMap((*kept, 1.0), (*lengths, 1.0))
