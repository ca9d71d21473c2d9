"""Even pace: the time maps of segments, measured on probes.

Probes are frames like all others, at places on a segment; they stay in the
store. Where the picture changes much between two of them, another is rendered half way, so that
few find the narrow part of the way in which it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from render.errors import unread_frame
from render.measurement.reading import read_pixels
from render.measurement.steps import distances
from render.plan.build import frame_of
from render.plan.frame_plan import PlannedFrame, Unmeasured
from render.run.film import ResolvedFilm
from render.run.session import Session
from render.run.work import Work
from render.store.judge import judge_all
from render.store.store import stored_path
from render.store.time_maps import remember, remembered
from render.timeline.pace import TimeMap, time_map
from render.timeline.smooth_path import spec_on

PROBES = 16  # parts into which a plain segment is divided first
PER_NODE = 2  # probes on a smooth path, which cost decoding only
LARGE = 2.0  # a step of so many times the mean is divided
DEPTH = 10  # halvings of a part at most
MOST = 3  # times the first probes, that a segment may have
JUMP_OF_MEDIAN = 4.0
"""A step that stays so many medians large when its part is as small as it gets is a jump."""
SHARE_OF_JUMP = 3.0
"""Medians that a jump counts for in a map, so that it takes no more frames than a quick change."""


@dataclass(frozen=True, slots=True)
class Probed:
    """One segment with its probes' places, in order."""

    segment: Unmeasured
    places: tuple[Fraction, ...]

    @staticmethod
    def first(segment: Unmeasured) -> Probed:
        """With the probes that every segment gets."""
        parts = PER_NODE * segment.path.parts or PROBES
        return Probed(segment, tuple(Fraction(part, parts) for part in range(parts + 1)))

    def more(self, steps: Sequence[float]) -> tuple[Fraction, ...]:
        """Places half way in the parts that are to be divided.

        Args:
            steps: the distance from each place's picture to the next one's.
        """
        whole = PER_NODE * self.segment.path.parts or PROBES
        if len(self.places) > MOST * whole:
            return ()
        large, least = LARGE * sum(steps) / whole, Fraction(1, whole << DEPTH)
        pairs = zip(self.places, self.places[1:], steps, strict=False)
        return tuple((a + b) / 2 for a, b, step in pairs if step > large and b - a > least)


def with_time_maps(run: Session) -> Session:
    """The run with all of its film's time maps known; what is not known yet is measured now.

    Raises:
        FramesFailed: probes could not be rendered.
    """
    film = run.film
    if not film.plan.unmeasured:
        return run
    maps, rows = measured(run, film.plan.unmeasured)
    remember(film.store, maps)
    film = replace(film, plan=film.plan_by({**remembered(film.store), **maps}))
    return replace(run, film=film, rows=rows)


def with_remembered_maps(film: ResolvedFilm) -> ResolvedFilm:
    """The film with the time maps that a render may have measured since it was planned."""
    if not film.plan.unmeasured:
        return film
    return replace(film, plan=film.plan_by(remembered(film.store)))


def measured(
    run: Session, segments: Sequence[Unmeasured]
) -> tuple[dict[str, TimeMap], tuple[int, int]]:
    """The time maps of segments, by their digests, and the rows that they took."""
    run.events.say(f"measuring the pace of {len(segments)} segments")
    left = [Probed.first(segment) for segment in segments]
    maps: dict[str, TimeMap] = {}
    small: dict[str, Any] = {}
    more_was = run.models.more
    run.models.expect(True)
    try:
        while left:
            frames = [list(probes(run.film, probed)) for probed in left]
            rows = render_probes(run, [frame for each in frames for frame in each])
            run = replace(run, rows=rows)
            for frame in (frame for each in frames for frame in each):
                if frame.digest not in small:
                    small[frame.digest] = small_copy(stored_path(run.film.store, frame.digest))
            following = []
            for probed, each in zip(left, frames, strict=True):
                pictures = np.stack([small[frame.digest] for frame in each])
                steps = distances(pictures).tolist()
                if more := probed.more(steps):
                    following.append(replace(probed, places=tuple(sorted({*probed.places, *more}))))
                else:
                    maps[probed.segment.digest] = map_of(probed, steps)
            left = following
    finally:
        run.models.expect(more_was)
    return maps, run.rows


def map_of(probed: Probed, steps: Sequence[float]) -> TimeMap:
    """The map of a segment; on a plain path jumps count for less than they are."""
    if not probed.segment.path.parts:
        moving = [step for step in steps if step > 0] or [0.0]
        most = SHARE_OF_JUMP * float(np.median(moving))
        steps = [min(step, most) if step > JUMP_OF_MEDIAN * most else step for step in steps]
    return time_map([float(place) for place in probed.places], steps)


def probes(film: ResolvedFilm, probed: Probed) -> Iterator[PlannedFrame]:
    """A segment's probes as frames, at the times that they would have by the clock."""
    segment, plan = probed.segment, film.plan
    for place in probed.places:
        time = segment.start + place * (segment.until - segment.start)
        spec = spec_on(segment.path, float(place))
        of_model = (film.model.family.guidance, plan.loras)
        yield frame_of(plan.recipe, round(time * plan.fps), time, spec, *of_model)


def render_probes(run: Session, frames: Sequence[PlannedFrame]) -> tuple[int, int]:
    """Render the probes that the store lacks; the run's folder shows none of them. Returns the
    run's rows so far."""
    film = replace(run.film, folder=run.film.store / "probes")  # is never made
    verdicts = judge_all(frames, film.store, film.frames, film.size)
    work = Work(replace(run, film=film), verdicts, shown=False)
    for _ in work.frames():
        pass
    return work.rows, work.padded_rows


def small_copy(path: Path) -> Any:
    """The small copy of a stored probe.

    Raises:
        EncodeError: it is no longer there, or damaged.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return read_pixels(np.asarray(image.convert("RGB"))).small
    except (OSError, SyntaxError, ValueError) as error:
        raise unread_frame(path, error) from error
