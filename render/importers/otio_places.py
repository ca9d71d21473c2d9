"""The markers of a timeline of OpenTimelineIO, with the times at which they are in the film."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from render.importers.source import Source

LARGEST = 2.0**53
NEAR = 1e-12
"""How near a rate in a float lies to the rational that it is meant to be, in parts of it."""


@dataclass(frozen=True, slots=True)
class PlacedMarker:
    """A marker of the library's, and when it begins and ends in the film, in seconds."""

    marker: Any
    begin: Fraction
    end: Fraction


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the film, in seconds, in which an item shows."""

    begin: Fraction
    end: Fraction

    def has(self, time: Fraction) -> bool:
        """Whether a time is in it; its end is."""
        return self.begin <= time <= self.end

    def shared(self, begin: Fraction, end: Fraction) -> Window:
        """The part of it between two times."""
        return Window(max(self.begin, begin), min(self.end, end))


class MarkerFinder:
    """Finds the markers of a timeline.

    Args:
        otio: opentimelineio.
        source: the file, for errors.

    Attributes:
        cut: how many markers are in parts of clips that the timeline cuts away.
        warped: whether clips with effects, which may change their speed, have markers.
    """

    def __init__(self, otio: Any, source: Source) -> None:
        self.otio, self.source = otio, source
        self.cut = 0
        self.warped = False

    def placed(self, timeline: Any) -> list[PlacedMarker]:
        """All markers that show, in order of their times."""
        stack = timeline.tracks
        _, length = self.span(stack)
        own = [self.of(marker, Fraction(0)) for marker in stack.markers]
        below = self.children(stack, Fraction(0), Window(Fraction(0), length))
        shift = self.counted_from(timeline, own, length)
        own = [PlacedMarker(each.marker, each.begin - shift, each.end - shift) for each in own]
        return sorted([*own, *below], key=lambda each: each.begin)

    def counted_from(self, timeline: Any, own: list[PlacedMarker], length: Fraction) -> Fraction:
        """The time from which the timeline's own markers count. It is 0, but some editors count
        from the timecode of the first frame."""
        if timeline.global_start_time is None or not own:
            return Fraction(0)
        start = self.seconds(timeline.global_start_time, "global_start_time")
        late = min(each.begin for each in own)
        return start if start > 0 and late >= start and late > length else Fraction(0)

    def within(self, item: Any, begin: Fraction, window: Window) -> Iterator[PlacedMarker]:
        """The markers of an item that begins at a time, and of all in it."""
        start, length = self.span(item)
        shown = window.shared(begin, begin + length)
        for marker in item.markers:
            self.warped |= bool(item.effects)
            placed = self.of(marker, begin - start)
            if shown.has(placed.begin):
                yield placed
            else:
                self.cut += 1
        if isinstance(item, self.otio.core.Composition):
            yield from self.children(item, begin - start, shown)

    def children(self, item: Any, begin: Fraction, window: Window) -> Iterator[PlacedMarker]:
        """The markers in the children of a track, one after another, or of a stack."""
        for child in item:
            if isinstance(child, self.otio.core.Item):
                yield from self.within(child, begin, window)
                if isinstance(item, self.otio.schema.Track):
                    begin += self.span(child)[1]

    def of(self, marker: Any, begin: Fraction) -> PlacedMarker:
        """A marker that counts from a time of the film."""
        where = f"marker {marker.name!r}"
        time = begin + self.seconds(marker.marked_range.start_time, where)
        length = self.seconds(marker.marked_range.duration, where)
        return PlacedMarker(marker, time, time + max(length, Fraction(0)))

    def span(self, item: Any) -> tuple[Fraction, Fraction]:
        """(begin in its own count, length) of an item, in seconds."""
        where = f"{type(item).__name__} {item.name!r}"
        shown = item.source_range
        if shown is None and isinstance(item, self.otio.core.Composition):
            lengths = [self.span(each)[1] for each in item if isinstance(each, self.otio.core.Item)]
            if isinstance(item, self.otio.schema.Track):
                return Fraction(0), sum(lengths, Fraction(0))
            return Fraction(0), max(lengths, default=Fraction(0))
        if shown is None:
            media = getattr(item, "media_reference", None)
            shown = media and media.available_range
        if shown is None:
            raise self.source.refusal(
                "has no length: neither a range nor media with one", key=where
            )
        begin, length = (self.seconds(one, where) for one in (shown.start_time, shown.duration))
        if length < 0:
            raise self.source.refusal("has a negative length", key=where)
        return begin, length

    def seconds(self, time: Any, where: str) -> Fraction:
        """A time of the library's in seconds.

        Raises:
            ConfigError: it is no number of a sensible size.
        """
        if not (1e-6 <= time.rate <= 1e12 and abs(time.value) <= LARGEST):
            what = f"{time.value:g} at a rate of {time.rate:g} is no time"
            raise self.source.refusal(what, key=where)
        return Fraction(time.value) / exact_rate(time.rate)


def exact_rate(rate: float) -> Fraction:
    """The rational that a rate in a float is meant to be: 23.976… is 24000/1001."""
    near = Fraction(rate).limit_denominator(10_000)
    return near if math.isclose(near, rate, rel_tol=NEAR) else Fraction(rate)
