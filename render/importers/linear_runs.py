"""Values of many frames as the few between which they are linear."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

FrameWeights = Mapping[Hashable, float]
"""Numbers of one frame by what they are of; one that is not there is 0."""


def turning_points(
    places: Sequence[int], values: Sequence[FrameWeights], tolerance: float
) -> list[int]:
    """The indices between which all values are linear in their places, first and last included.

    Each run goes on for as long as a straight line from its first frame's values to those of a
    later one meets all frames between them.

    Args:
        places: frame numbers, rising.
        tolerance: how far a frame's value may lie from the line.
    """
    turns, start = [0], 0
    while start < len(places) - 1:
        start = run_end(places, values, start, tolerance)
        turns.append(start)
    return turns


def run_end(
    places: Sequence[int], values: Sequence[FrameWeights], start: int, tolerance: float
) -> int:
    """The index at which the run from one index ends.

    The slopes that meet all frames so far are an interval for each value; a run ends before the
    first frame that no slope in it meets.
    """
    keys = {*values[start], *values[start + 1]}
    bounds = {key: (-float("inf"), float("inf")) for key in keys}
    end = start + 1
    for index in range(start + 1, len(places)):
        distance = places[index] - places[start]
        if not values[index].keys() <= keys:
            break
        slopes = {
            key: (values[index].get(key, 0.0) - values[start].get(key, 0.0)) / distance
            for key in keys
        }
        if any(not bounds[key][0] <= slope <= bounds[key][1] for key, slope in slopes.items()):
            break
        end, slack = index, tolerance / distance
        bounds = {
            key: (max(bounds[key][0], slope - slack), min(bounds[key][1], slope + slack))
            for key, slope in slopes.items()
        }
    return end
