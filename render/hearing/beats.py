"""The beats of a sound: librosa follows them, and where they are steady they lie on one grid.

A picture that changes on a beat has to do so at the end of a song as exactly as at its beginning.
librosa's beats are some 10 ms off and its tempo a percent, so that a grid is fitted to the onsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from render.hearing.by_librosa import HOP, HZ, Samples, Series, library, loudness

SLOWEST, FASTEST = 55.0, 200.0  # beats a minute
SLOPE = 0.03  # of the tempo, within which the grid's is looked for
NEAR_S = 0.03  # of a beat: an onset that belongs to it
STEADY = 0.85  # share of the followed beats that lie on a steady sound's grid
WEAK = 0.22  # of the strength of the others: beats that are so weak are none
STRONG = 0.55  # of the strength of beats: so strong half-way between them, these are beats too
SMALL_S = 0.004  # at a sound's end, by which a whole number of beats a minute may be off


@dataclass(frozen=True, slots=True)
class Grid:
    """Beats that are equally far from each other: the first one, and the time between two, in
    seconds."""

    first: float
    period: float

    def near(self, times: Series) -> Series:
        """How far times are from the nearest beat, in seconds."""
        places = (times - self.first) / self.period
        away: Series = np.abs(places - np.round(places)) * self.period
        return away


def beats(samples: Samples, strength: Series, onsets: Series) -> tuple[Series, float]:
    """Times of the beats in seconds, and beats a minute where they are steady, else 0.

    Args:
        strength: how strongly something begins, as `by_librosa.strengths` gives it for the whole.
        onsets: of the whole sound, in seconds.
    """
    if len(onsets) < 4:
        return np.zeros(0), 0.0
    librosa = library()
    tempo, followed = librosa.beat.beat_track(
        onset_envelope=strength, sr=HZ, hop_length=HOP, units="time", trim=False
    )
    bpm = float(np.atleast_1d(tempo)[0])
    if not bpm > 0 or len(followed) < 4:
        return np.zeros(0), 0.0
    weights = loudness(samples, onsets)
    grid = at_its_level(best_grid(60 / bpm, onsets, weights), onsets, weights)
    if np.mean(grid.near(followed_on(grid, followed)) < 2 * NEAR_S) < STEADY:
        return snapped(followed, onsets), 0.0
    grid = straightened(grid, onsets, weights)
    length = len(samples) / HZ
    first = first_beat(grid, onsets)
    return np.arange(first, length, grid.period), 60 / grid.period


def best_grid(period: float, times: Series, weights: Series) -> Grid:
    """The grid of about this period, half or twice of it that onsets lie on best."""
    near = [each for each in (period / 2, period, 2 * period) if SLOWEST <= 60 / each <= FASTEST]
    grids = [fitted(each, times, weights) for each in near or [period]]
    return max(grids, key=lambda pair: pair[1])[0]


def fitted(period: float, times: Series, weights: Series) -> tuple[Grid, float]:
    """The grid of about this period that onsets lie on best, and how well: where the vectors of
    their phases add up to the longest one, whose length is that."""
    length = float(times[-1] - times[0])
    step = 0.1 * period**2 / max(length, period)  # moves the last beat by a tenth of a period
    periods = np.arange(period * (1 - SLOPE), period * (1 + SLOPE), step)
    phases = 2j * np.pi * times[None] / periods[:, None]
    sums = (weights[None] * np.exp(phases)).sum(axis=1)
    best = int(np.argmax(np.abs(sums)))
    first = float(np.angle(sums[best]) / (2 * np.pi) * periods[best])
    return Grid(first, float(periods[best])), float(np.abs(sums[best]))


def strength_at(grid: Grid, times: Series, weights: Series, shift: float) -> float:
    """The mean strength of onsets at the beats of a grid that is shifted by part of a period."""
    places = (times - grid.first) / grid.period - shift
    on = np.abs(places - np.round(places)) * grid.period < NEAR_S
    count = (times[-1] - times[0]) / grid.period + 1
    return float(weights[on].sum() / count)


def at_its_level(grid: Grid, times: Series, weights: Series) -> Grid:
    """The grid with twice as many beats where those half-way are as strong, and with half as many
    where every second one is weak."""
    own, half = (strength_at(grid, times, weights, shift) for shift in (0.0, 0.5))
    if half > STRONG * own and 120 / grid.period <= FASTEST:
        return Grid(grid.first, grid.period / 2)
    slower = Grid(grid.first, 2 * grid.period)
    even, odd = (strength_at(slower, times, weights, shift) for shift in (0.0, 0.5))
    if min(even, odd) < WEAK * max(even, odd) and 60 / slower.period >= SLOWEST:
        return slower if even > odd else Grid(grid.first + grid.period, slower.period)
    return grid


def followed_on(grid: Grid, followed: Series) -> Series:
    """The beats that librosa followed, if it followed every beat or every second one of a grid;
    where it followed more, those that are nearest to the grid."""
    usual = float(np.median(np.diff(followed)))
    every = max(1, round(grid.period / usual))
    parts = [followed[place::every] for place in range(every)]
    return min(parts, key=lambda part: float(np.median(grid.near(part))))


def straightened(grid: Grid, times: Series, weights: Series) -> Grid:
    """The grid by least squares of the onsets that lie on it, with a whole number of beats a
    minute if that is as good."""
    for near in (NEAR_S, NEAR_S / 2):
        on = (grid.near(times) < near) & (weights > 0.05)
        places = np.round((times[on] - grid.first) / grid.period)
        if len(set(places)) < 3:
            return grid
        period, first = np.polyfit(places, times[on], 1, w=np.sqrt(weights[on]))
        grid = Grid(float(first), float(period))
    whole = 60 / round(60 / grid.period)
    count = (times[-1] - times[0]) / grid.period
    if abs(whole - grid.period) * count / 2 < SMALL_S:
        middle = np.mean(times[on] - places * whole)
        grid = Grid(float(middle), whole)
    return grid


def first_beat(grid: Grid, onsets: Series) -> float:
    """The first beat at which something can be heard, or a little before it."""
    begin = max(0.0, float(onsets[0]) - NEAR_S)
    place = np.ceil((begin - grid.first) / grid.period)
    return max(0.0, float(grid.first + place * grid.period))


def snapped(followed: Series, onsets: Series) -> Series:
    """Beats that are not steady, each at the onset beside it if there is one."""
    nearest = onsets[np.abs(onsets[None] - followed[:, None]).argmin(axis=1)]
    return np.unique(np.where(np.abs(nearest - followed) < NEAR_S, nearest, followed))
