"""Even pace: the time maps of segments, measured on probes.

Probes are frames like all others, at places on a segment; they stay in the
store. Where the picture changes much between two of them, another is rendered half way, so that
few find the narrow part of the way in which it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
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
from render.store.judge import judge
from render.store.store import discard, stored_path
from render.store.time_maps import remember, remembered
from render.text import plural
from render.timeline.pace import TimeMap, time_map
from render.timeline.smooth_path import spec_on

PROBES = 16  # parts into which a plain segment is divided first
PER_NODE = 2  # probes on a smooth path, which cost decoding only
LARGE = 2.0  # a step of so many times the mean is divided
DEPTH = 10  # halvings of a part at most
MOST = 8  # times the first probes, that a segment may have: each jump takes ten
SHARE_OF_JUMP = 3.0
"""Medians that a jump counts for in a map: a step in a part that is as narrow as parts get."""


@dataclass(frozen=True, slots=True)
class Probed:
    """One segment with its probes' places, in order."""

    segment: Unmeasured
    places: tuple[Fraction, ...]

    @staticmethod
    def first(segment: Unmeasured) -> Probed:
        """With the probes that every segment gets."""
        parts = first_parts(segment)
        return Probed(segment, tuple(Fraction(part, parts) for part in range(parts + 1)))

    def more(self, steps: Sequence[float]) -> tuple[Fraction, ...]:
        """Places half way in the parts that are to be divided.

        Args:
            steps: the distance from each place's picture to the next one's.
        """
        parts = first_parts(self.segment)
        if len(self.places) > MOST * parts:
            return ()
        large = LARGE * sum(steps) / parts
        pairs = zip(self.places, self.widths, steps, strict=False)
        return tuple(
            place + width / 2 for place, width, step in pairs if step > large and width > self.least
        )

    def time_map(self, steps: Sequence[float]) -> TimeMap:
        """The map of the segment. A jump of a plain path, between whose sides no picture lies,
        counts for no more than a quick change.

        Args:
            steps: the distance from each place's picture to the next one's.
        """
        places = [float(place) for place in self.places]
        if self.segment.path.parts:
            return time_map(places, steps)
        wide = [s for s, width in zip(steps, self.widths, strict=True) if s and width > self.least]
        most = SHARE_OF_JUMP * median(wide or [0.0])
        jumps, counted = [], list[float]()
        for (before, after), width, step in zip(pairwise(places), self.widths, steps, strict=True):
            jumped = width <= self.least and step > most
            jumps += [(before, after)] if jumped else []
            counted.append(most if jumped and most else step)
        return time_map(places, counted, jumps)

    @property
    def least(self) -> Fraction:
        """The width of a part that is not divided again."""
        return Fraction(1, first_parts(self.segment) << DEPTH)

    @property
    def widths(self) -> list[Fraction]:
        """The width of each part between two probes."""
        return [after - before for before, after in pairwise(self.places)]


def first_parts(segment: Unmeasured) -> int:
    """Into how many parts the first probes divide a segment."""
    return PER_NODE * segment.path.parts or PROBES


def with_known_maps(film: ResolvedFilm) -> ResolvedFilm:
    """The film by the time maps that are known now; a run may have measured them meanwhile."""
    if not film.plan.unmeasured:
        return film
    known = remembered(film.store)
    if not any(segment.digest in known for segment in film.plan.unmeasured):
        return film
    return replace(film, plan=film.plan_by(known))


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
    # Another machine may have measured meanwhile, and a little differently: the first one counts.
    film = replace(film, plan=film.plan_by({**maps, **remembered(film.store)}))
    return replace(run, film=film, rows=rows)


def measured(
    run: Session, segments: Sequence[Unmeasured]
) -> tuple[dict[str, TimeMap], tuple[int, int]]:
    """The time maps of segments, by their digests, and the rows that they took."""
    run.events.say(f"measuring the pace of {plural(len(segments), 'segment')}")
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
                    probe = stored_path(run.film.store, frame.digest)
                    small[frame.digest] = small_copy(probe, run.film.size)
            following = []
            for probed, each in zip(left, frames, strict=True):
                pictures = np.stack([small[frame.digest] for frame in each])
                steps = distances(pictures).tolist()
                if more := probed.more(steps):
                    following.append(replace(probed, places=tuple(sorted({*probed.places, *more}))))
                else:
                    maps[probed.segment.digest] = probed.time_map(steps)
            left = following
    finally:
        run.models.expect(more_was)
    return maps, run.rows


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
    # Each is decoded: what is not whole would be measured, or end every run.
    verdicts = [judge(frame, film.store, film.frames, film.size) for frame in frames]
    work = Work(replace(run, film=film), verdicts, shown=False)
    for _ in work.frames():
        pass
    return work.rows, work.padded_rows


def small_copy(path: Path, size: tuple[int, int]) -> Any:
    """The small copy of a stored probe.

    Raises:
        EncodeError: it is no longer there, or damaged; then it is removed, and the next run
            renders it.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return read_pixels(np.asarray(image.convert("RGB"))).small
    except (OSError, SyntaxError, ValueError) as error:
        discard(path, (), size)
        raise unread_frame(path, error) from error
