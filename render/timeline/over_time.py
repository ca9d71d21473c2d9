"""Values that change over time, at any time of a film."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from render.config.changing import Changing, Envelope, Points, band_of
from render.config.expression import Expression
from render.config.moments import BANDS
from render.timeline.clock import NO_TEMPO, Clock
from render.timeline.easing import eased

DIGITS = 6  # of a value, so that a digest never depends on a last bit
ValueByTime = Callable[[Fraction], float]
"""A value by the time in seconds."""


def changes(value: object) -> bool:
    """Whether a value is another one at other times."""
    return isinstance(value, Expression | Points | Envelope)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a changing value may depend on: the clock with the film's sounds."""

    clock: Clock

    def flaw(self, value: Changing) -> str | None:
        """Why nobody can know what a value is."""
        if isinstance(value, Envelope):
            return self.clock.sound_flaw(band_of(value.audio)[0])
        if isinstance(value, Points):
            return self.points_flaw(value)
        if isinstance(value, Expression):
            flaws = (self.name_flaw(name) for name in value.uses)
            return next((flaw for flaw in flaws if flaw), None)
        return None

    def name_flaw(self, name: str) -> str | None:
        """Why a name in an expression has no value."""
        sound, _, band = name.rpartition(".")
        if band in BANDS:
            return self.clock.sound_flaw(sound)
        return NO_TEMPO if name in ("beat", "bar") and self.clock.tempo is None else None

    def points_flaw(self, value: Points) -> str | None:
        """Why the times of points are none, or are not in order."""
        for place, point in enumerate(value.points):
            if flaw := self.clock.flaw(point.at):
                return f"points.{place}.at: {flaw}"
        times = [self.clock.frame_time(point.at) for point in value.points]
        for place in range(1, len(times)):
            if times[place] <= times[place - 1]:
                return f"points.{place}.at: comes not after the point before it; keep them in order"
        return None

    def value(self, written: Changing) -> ValueByTime:
        """A value by the time, for one in which `flaw` finds nothing."""
        if isinstance(written, Expression):
            return lambda time: self.of_expression(written, time)
        if isinstance(written, Envelope):
            return lambda time: self.of_envelope(written, time)
        if isinstance(written, Points):
            times = [self.clock.frame_time(point.at) for point in written.points]
            return lambda time: of_points(written, times, time)
        return lambda _: written

    def of_expression(self, written: Expression, time: Fraction) -> float:
        """The value of an expression at a time."""
        return rounded(written.at({name: self.named(name, time) for name in written.uses}))

    def named(self, name: str, time: Fraction) -> float:
        """The value of a name in an expression at a time."""
        if name == "t":
            return float(time)
        if name == "frame":
            return float(time * self.clock.fps)
        tempo = self.clock.tempo
        if name in ("beat", "bar"):
            moment = self.clock.near_beat(time)
            beat = tempo.beat_at(moment) if tempo else Fraction(1)
            return float(beat if name == "beat" else tempo.bar_at(moment) if tempo else 1)
        sound, _, band = name.rpartition(".")
        heard = self.clock.sound(sound)
        return heard.level(band, time) if heard else 0.0

    def of_envelope(self, written: Envelope, time: Fraction) -> float:
        """The value of an envelope at a time."""
        sound, band = band_of(written.audio)
        heard = self.clock.sound(sound)
        level = heard.followed(band, written.attack, written.release, time) if heard else 0.0
        return rounded((1 - level) * written.low + level * written.high)


def of_points(written: Points, times: list[Fraction], time: Fraction) -> float:
    """The value of points at a time."""
    place = bisect_right(times, time) - 1
    if place < 0 or place + 1 == len(times):
        return written.points[max(place, 0)].value
    point, following = written.points[place : place + 2]
    share = eased(point.ease, float((time - times[place]) / (times[place + 1] - times[place])))
    return rounded((1 - share) * point.value + share * following.value)


def rounded(value: float) -> float:
    """A value with few digits; not a number stays so."""
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else math.nan
