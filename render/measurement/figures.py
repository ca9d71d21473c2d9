"""Figures: all that is measured of a film, from the readings of its frames and its keyframes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from render.measurement.between import against_ends, double_exposure
from render.measurement.reading import Readings
from render.measurement.steps import (
    StepSizes,
    distances,
    flashes,
    gini,
    largest_over_median,
    median_of_moving,
    path_over_direct,
    repeated,
    snaps,
)

VERSION = 1  # raised by hand when equal frames would give other figures, or a figure's name changes


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """The figures from one keyframe to the next; None where a figure has no meaning there.

    Attributes:
        first, last: the frames of its keyframes; in a loop the last is the film's first again.
        path: how long the way of the pictures is beside the direct one.
        sharpness, contrast: the least between the keyframes, as a part of what lies between theirs,
            and the frame that has it.
        double_exposure: the share of both end pictures in those between; a dissolve has 1.
    """

    first: int
    last: int
    gini: float
    largest_over_median: float | None
    path: float | None
    flashes: int
    snaps: int
    sharpness: tuple[float, int] | None
    contrast: tuple[float, int] | None
    double_exposure: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How smoothly the frames of a film follow each other. Frames are numbered from 0.

    Jumps and rests that the timeline itself asks for are no faults: Gini, median and largest step
    are those of the other steps.

    Attributes:
        steps: the distance of each frame from the one before; in a loop the last is that of the
            first frame from the last one.
        flashes: frames for which the picture goes there and back.
        snaps: frames that a jump leads to.
        cuts: frames that a jump leads to which the timeline asks for.
        doubled: frames that repeat the one before.
        held: frames that repeat the one before because the timeline asks for that.
    """

    frames: int
    keyframes: tuple[int, ...]
    steps: tuple[float, ...]
    gini: float
    median: float
    largest_over_median: float | None
    path: float | None
    flashes: tuple[int, ...]
    snaps: tuple[int, ...]
    cuts: tuple[int, ...]
    doubled: tuple[int, ...]
    held: tuple[int, ...]
    segments: tuple[SegmentFigures, ...]

    @property
    def largest_path(self) -> float | None:
        """The largest path over direct distance of a segment."""
        return max((s.path for s in self.segments if s.path is not None), default=None)

    def as_data(self) -> dict[str, Any]:
        """The figures as JSON has them, with six digits."""
        return {"version": VERSION, **rounded(asdict(self))}


@dataclass(frozen=True, slots=True)
class Known:
    """The facts about a film that its frames do not show.

    Attributes:
        keyframes: the frames at which keyframes stand; the first and the last frame are ends of a
            segment anyway.
        same: for each frame a name of its picture, so that equal names are equal pictures that the
            timeline asks for; empty where that is not known.
        loop: whether the first frame follows the last one.
    """

    keyframes: Sequence[int] = ()
    same: Sequence[str] = ()
    loop: bool = False


def figures(readings: Readings, known: Known = Known()) -> Figures:
    """Measure a film of two frames or more.

    Raises:
        ValueError: it has fewer.
    """
    if len(readings) < 2:
        raise ValueError("steps are between frames, so there have to be two")
    count = len(readings)
    shown = closed(readings) if known.loop else readings
    steps, skips = distances(shown.small), distances(shown.small, 2)
    ends = sorted({0, len(shown) - 1, *(key for key in known.keyframes if 0 <= key < count)})
    cuts, held = planned_cuts(known, ends), planned_holds(known)
    flashing = [frame for frame in flashes(steps, skips) if not {frame, frame + 1} & set(cuts)]
    jumps = [frame for frame in snaps(steps, flashing) if frame not in cuts]
    wanted = sorted({*cuts, *held})
    moves = without(steps, wanted)
    return Figures(
        frames=count,
        keyframes=tuple(end for end in ends if end < count),
        steps=tuple(map(float, steps)),
        gini=gini(moves),
        median=median_of_moving(moves),
        largest_over_median=largest_over_median(moves),
        path=path_over_direct(shown.small),
        flashes=tuple(flashing),
        snaps=tuple(jumps),
        cuts=tuple(cuts),
        doubled=tuple(frame for frame in repeated(steps) if frame not in held),
        held=tuple(sorted(held)),
        segments=tuple(
            segment(shown, first, last, wanted, flashing, jumps) for first, last in pairwise(ends)
        ),
    )


def without(steps: StepSizes, frames: Sequence[int], first: int = 0) -> StepSizes:
    """The steps from a frame on, but those that lead to these frames."""
    places = [frame - 1 - first for frame in frames]
    return np.delete(steps, [place for place in places if 0 <= place < len(steps)])


def segment(
    readings: Readings,
    first: int,
    last: int,
    wanted: Sequence[int],
    flashing: Sequence[int],
    jumps: Sequence[int],
) -> SegmentFigures:
    """The figures of the frames from one keyframe to the next.

    Args:
        wanted: frames that the timeline itself has jump or rest.
    """
    part = slice(first, last + 1)
    steps = without(distances(readings.small[part]), wanted, first)
    return SegmentFigures(
        first=first,
        last=last,
        gini=gini(steps),
        largest_over_median=largest_over_median(steps),
        path=path_over_direct(readings.small[part]),
        flashes=sum(first < frame <= last for frame in flashing),
        snaps=sum(first < frame <= last for frame in jumps),
        sharpness=in_film(against_ends(readings.sharpness[part]), first),
        contrast=in_film(against_ends(readings.contrast[part]), first),
        double_exposure=double_exposure(readings.small[part]),
    )


def in_film(worst: tuple[float, int] | None, first: int) -> tuple[float, int] | None:
    """A part and its place in the film instead of in the segment."""
    return None if worst is None else (worst[0], worst[1] + first)


def closed(readings: Readings) -> Readings:
    """A loop's readings with the first frame once more at the end."""
    return Readings(
        np.concatenate((readings.small, readings.small[:1])),
        np.append(readings.sharpness, readings.sharpness[0]),
        np.append(readings.contrast, readings.contrast[0]),
    )


def planned_cuts(known: Known, ends: Sequence[int]) -> list[int]:
    """Keyframes before which the timeline holds the keyframe before, so that they come abruptly."""
    same = [*known.same, *known.same[:1]]
    return [
        after
        for before, after in pairwise(ends)
        if after < len(same) and same[after - 1] == same[before] != same[after]
    ]


def planned_holds(known: Known) -> set[int]:
    """Frames that have the picture of the one before by the timeline."""
    same = known.same
    return {place for place in range(1, len(same)) if same[place] == same[place - 1]}


def rounded(value: Any) -> Any:
    """Nested data with numbers of six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value
