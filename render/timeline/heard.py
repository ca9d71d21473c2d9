"""A sound as a timeline needs it: when its beats and onsets are, and how loud its bands are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

LEVELS_HZ = 100
"""Levels a second."""


@dataclass(frozen=True, eq=False)
class Heard:
    """An analysed sound. All times are in seconds from its beginning, to the microsecond.

    Attributes:
        digest: the sha256 of the file.
        duration: its length.
        beats: times of the beats, in order; none in a sound without a beat.
        bpm: beats a minute where the beat is steady; 0 where it is not.
        downbeats: times of the first beats of bars; none if nothing has found them.
        onsets: times at which something begins, by band.
        levels: how loud it is from 0 to 1, so many times a second as `LEVELS_HZ` says, by band.
    """

    digest: str
    duration: Fraction
    beats: tuple[Fraction, ...]
    bpm: Fraction
    downbeats: tuple[Fraction, ...]
    onsets: Mapping[str, tuple[Fraction, ...]]
    levels: Mapping[str, tuple[float, ...]]

    def level(self, band: str, time: Fraction) -> float:
        """How loud a band is at a time, from 0 to 1; 0 behind the end."""
        return between(self.levels.get(band, ()), time)

    def followed(self, band: str, attack_s: float, release_s: float, time: Fraction) -> float:
        """The same, but it rises and falls no faster than these times allow: in each of them about
        two thirds of the way (1 - 1/e). It is a hundredth of a second ahead, by which even the
        quickest of them would be late."""
        ahead = time + Fraction(1, LEVELS_HZ)
        return between(follower(self, band, attack_s, release_s), ahead)


@lru_cache(maxsize=64)
def follower(heard: Heard, band: str, attack_s: float, release_s: float) -> tuple[float, ...]:
    """All levels of a band behind a one-pole filter, one for rising and another for falling."""
    up, down = (1 - math.exp(-1 / (LEVELS_HZ * max(s, 1e-4))) for s in (attack_s, release_s))
    value, found = 0.0, []
    for level in heard.levels.get(band, ()):
        value += (level - value) * (up if level > value else down)
        found.append(value)
    return tuple(found)


def between(levels: tuple[float, ...], time: Fraction) -> float:
    """The level at a time, on a straight line between the two around it."""
    place = time * LEVELS_HZ
    below = math.floor(place)
    if not 0 <= below < len(levels):
        return 0.0
    share = float(place - below)
    after = levels[below + 1] if below + 1 < len(levels) else 0.0
    return (1 - share) * levels[below] + share * after
