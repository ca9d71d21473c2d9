"""Labels and markers of other tools: texts at points in time, or from one time to another.

A point is a keyframe: the picture blends to the next one. A region shows its text from its begin to
its end: where the next one begins there, the picture cuts to it, and over a gap it blends to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from render.importers.imported import Imported
from render.importers.times import seconds

TimeFormat = Callable[[Fraction], int | float | str]
"""How a time in seconds is written."""


@dataclass(frozen=True, slots=True)
class Region:
    """A text from one time to another, in seconds; both are equal at a point.

    Attributes:
        lost: sentences about what could not be carried over.
    """

    begin: Fraction
    end: Fraction
    text: str
    lost: tuple[str, ...] = field(default=())

    @property
    def is_point(self) -> bool:
        """Whether it takes no time."""
        return self.begin == self.end


def film_of_regions(
    regions: Sequence[Region], settings: Mapping[str, Any], written: TimeFormat = seconds
) -> Imported:
    """The film of regions in order, none of which begins with another.

    Args:
        settings: of the film.
        written: how times are written.
    """
    lost: list[str] = []
    if regions[0].begin > 0:
        when = f"{float(regions[0].begin):g} s"
        lost.append(f"the time before the first text at {when}: its picture is there from 0 on")
        regions = [moved_to_0(regions[0]), *regions[1:]]
    keyframes: list[dict[str, Any]] = []
    lost_at: dict[int, list[str]] = defaultdict(list)
    for region, following in pairwise([*regions, None]):
        if region is None:
            break
        lost_at[len(keyframes)] += region.lost
        if following is not None and not region.is_point and region.end > following.begin:
            lost_at[len(keyframes)].append(
                f"its end at {written(region.end)}: the next one cuts in"
            )
        keyframes += keyframes_of(region, following, written)
    last = regions[-1]
    timeline = {} if last.is_point else {"duration": written(last.end), "end": "open"}
    return Imported(
        keyframes,
        timeline,
        settings,
        lost,
        {place: each for place, each in lost_at.items() if each},
    )


def moved_to_0(region: Region) -> Region:
    """A region that begins with the film; a point stays one."""
    return replace(region, begin=Fraction(0), end=Fraction(0) if region.is_point else region.end)


def keyframes_of(
    region: Region, following: Region | None, written: TimeFormat
) -> Iterator[dict[str, Any]]:
    """The keyframe of a region, and one at its end if there is a gap behind it."""
    keyframe = {"at": written(region.begin), "prompt": region.text}
    if region.is_point:
        yield keyframe
        return
    yield {**keyframe, "ease": "hold"}
    if following is not None and region.end < following.begin:
        yield {**keyframe, "at": written(region.end)}
