"""Figures that an earlier run kept as JSON, in a file that may come from anyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from render.measurement.figures import VERSION, Figures, SegmentFigures

MOST, LEAST = 1e15, 1e-12
"""A figure is no greater, and no median less: figures are divided by each other."""


def kept_figures(data: object, frames: int) -> Figures | None:
    """The figures that JSON holds; None if it holds none of a film of so many frames, or those of
    another version."""
    if not isinstance(data, dict) or data.get("version") != VERSION:
        return None
    try:
        found = Figures(**read(data, FIGURES))
    except (KeyError, TypeError, ValueError):
        return None
    lists = (found.flashes, found.snaps, found.cuts, found.doubled, found.held, found.keyframes)
    if max(map(len, (*lists, found.segments))) > frames + 1 or 0 < found.median < LEAST:
        return None
    named = (*found.flashes, *found.snaps, *found.cuts, *found.doubled, *found.held)
    places = (*named, *found.keyframes, *(part.last for part in found.segments))
    whole = found.frames == frames and len(found.steps) in (frames - 1, frames)
    fits = all(0 <= place <= len(found.steps) for place in places) and 0 not in named
    return found if whole and fits else None


def read(data: object, fields: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The fields of an object, each read as what it should be."""
    if not isinstance(data, dict):
        raise TypeError
    return {name: as_field(data[name]) for name, as_field in fields.items()}


def whole_number(value: object) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def number(value: object) -> float:
    """A number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if abs(value) > MOST:
        raise ValueError
    return float(value)


def number_or_none(value: object) -> float | None:
    """A number, or null."""
    return None if value is None else number(value)


def all_of(read_one: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A reader of lists."""

    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise TypeError
        return tuple(map(read_one, value))

    return read_all


def worst(value: object) -> tuple[float, int] | None:
    """A part and the frame that has it, or null."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError
    return number(value[0]), whole_number(value[1])


SEGMENT: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("first", "last", "flashes", "snaps"), whole_number),
    **dict.fromkeys(("largest_over_median", "path", "double_exposure"), number_or_none),
    **dict.fromkeys(("sharpness", "contrast"), worst),
    "gini": number,
}
FIGURES: Mapping[str, Callable[[Any], Any]] = {
    "frames": whole_number,
    **dict.fromkeys(
        ("keyframes", "flashes", "snaps", "cuts", "doubled", "held"), all_of(whole_number)
    ),
    "steps": all_of(number),
    **dict.fromkeys(("gini", "median"), number),
    **dict.fromkeys(("largest_over_median", "path"), number_or_none),
    "segments": all_of(lambda data: SegmentFigures(**read(data, SEGMENT))),
}
