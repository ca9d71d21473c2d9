"""The finish: how the pictures that a film shows are made of its rendered frames.

Between two rendered frames there may be others (`output.inbetween`), and all of them may be made
larger (`output.upscale`). What is made so is stored like frames are, under digests of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from render.timeline.interpolation import Segment, progress_at, segment_at, segment_behind
from render.timeline.spec import Timeline

if TYPE_CHECKING:
    from render.plan.frame_plan import FramePlan, PlannedFrame

FINISH_VERSION = 1  # raised by hand when the same finish would give other pictures

Cut = tuple[int, Fraction]
"""The frame before a cut, and the time from which the film shows the one behind it."""


@dataclass(frozen=True, slots=True)
class Upscaler:
    """A way to make pictures larger.

    Attributes:
        called: as people read it.
        factor: how much longer a side becomes at a time.
        times: how often it does that.
        identity: of the method with its weights.
        file: its weights, if it has any.
    """

    called: str
    factor: int
    identity: str
    file: Path | None = None
    times: int = 1

    @property
    def whole(self) -> int:
        """How much longer a side becomes in all."""
        return int(self.factor**self.times)


@dataclass(frozen=True, slots=True)
class Finish:
    """How rendered frames become the pictures of a film.

    Attributes:
        fps: pictures a second; every so many frames a second as `times` says are rendered.
        times: pictures for each rendered frame.
        inbetween: the name of the way that pictures in between are made; `none` if there are none.
        method: its identity, with its version and its weights.
    """

    fps: Fraction
    times: int = 1
    inbetween: str = "none"
    method: str = ""
    upscaler: Upscaler | None = None

    @property
    def factor(self) -> int:
        """How much longer the sides of the film's pictures are than those of its frames."""
        return self.upscaler.whole if self.upscaler else 1

    def identity(self) -> list[Any]:
        """All of it that changes a film of the same frames."""
        larger = [self.upscaler.identity, self.upscaler.times] if self.upscaler else []
        return [FINISH_VERSION, str(self.fps), self.times, self.method, larger]


def with_way(finish: Finish, inbetween: str, method: str) -> Finish:
    """A finish with a way to make pictures in between: its own, or the one given."""
    return finish if finish.method else replace(finish, inbetween=inbetween, method=method)


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """One picture of the film.

    Attributes:
        digest: its identity; that of a frame where it is shown as it was rendered.
        frame: the place of the rendered frame at or before it.
        of: the digests of the frames that it is made of, one or two.
        place: how far it is from the one to the other, above 0 and below 1; 0 where it is one.
    """

    digest: str
    frame: int
    of: tuple[str, ...]
    place: Fraction = Fraction(0)

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame as it was rendered."""
        return self.of == (self.digest,)


def shown_pictures(plan: FramePlan) -> tuple[ShownPicture, ...]:
    """The pictures of a film in order: its frames, unless they are finished in some way.

    A frame is followed by the pictures between it and the next, and in a loop the last one by those
    between it and the first. Across a cut there are none: the frame before it is shown until the
    cut, then the one behind it. An open film's last frame is shown for longer.
    """
    finish = plan.finish
    if finish is None:
        return tuple(ShownPicture(f.digest, f.index, (f.digest,)) for f in plan.frames)
    return tuple(
        ShownPicture(finished_digest(finish, of, place), index, of, place)
        for index, of, place in sources(plan, finish)
    )


def sources(plan: FramePlan, finish: Finish) -> Iterator[tuple[int, tuple[str, ...], Fraction]]:
    """For each picture of the film the place of its frame, the frames that it is made of, and where
    between them it stands."""
    frames, cuts = plan.frames, dict(plan.cuts)
    spans = {index: span for span in plan.bridged for index in range(*span)}
    for frame in frames:
        after = following(plan, frame.index)
        for part in range(finish.times if after or plan.open else 1):
            place = Fraction(part, finish.times)
            if frame.index in spans:
                yield bridging(plan, spans[frame.index], frame.index, place)
                continue
            cut = cuts.get(frame.index)
            shown = frame
            if after is None or part == 0:
                pass
            elif cut is not None:
                shown = after if frame.time + part / finish.fps >= cut else frame
            elif after.digest != frame.digest:
                yield frame.index, (frame.digest, after.digest), place
                continue
            yield frame.index, (shown.digest,), Fraction(0)


def bridging(
    plan: FramePlan, span: tuple[int, int], index: int, place: Fraction
) -> tuple[int, tuple[str, ...], Fraction]:
    """A picture that is shown where the frames of a plain path jump, as `sources` gives it.

    Args:
        span: the frames on either side of it.
        index: of the frame at or before it, and `place` its part of the way to the next.
    """
    first, last = span
    before, after = plan.frames[first], plan.frames[last % len(plan.frames)]
    share = (index - first + place) / (last - first)
    of = (before.digest, after.digest) if share else (before.digest,)
    return index, of, Fraction(share)


def spans_of_jumps(
    timeline: Timeline, times: Sequence[Fraction], keyframes: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The frames on either side of each jump that was measured on a plain path. Those between are
    the frames that its pace gives to the jump; where there are none, those next to it that are no
    keyframes. Spans that overlap are one.

    Args:
        times: of the rendered frames.
        keyframes: places of those that show keyframes.
    """
    fixed = {*keyframes, *((len(times),) if timeline.loop and 0 in keyframes else ())}
    found: list[tuple[int, int]] = []
    for number in range(len(timeline.keyframes)):
        segment = segment_behind(timeline, number)
        if segment is None or segment.start.time_map is None:
            continue
        places = [*places_around(timeline, segment, times)]
        if not places:
            continue
        ends = places[0][0], places[-1][0]
        for before, behind in segment.start.time_map.jumps:
            sides = {index: (place >= behind) - (place <= before) for index, place in places}
            for end, side in zip(ends, (-1, 1), strict=True):
                sides[end] = sides[end] or side  # within the jump, and nothing is beyond it
            sure = [(index, side) for index, side in sides.items() if side]
            for (first, side), (last, other) in pairwise(sure):
                if side != other:
                    found.append(widened(first, last, fixed, ends))
    yield from merged(sorted(span for span in found if span[1] - span[0] > 1))


def places_around(
    timeline: Timeline, segment: Segment, times: Sequence[Fraction]
) -> Iterator[tuple[int, float]]:
    """The frames of a segment with their places on it, and the frames next to it. The one before is
    left out where a frame is at the segment's beginning, and where a cut lies between."""
    start, until = segment.start.time, segment.until
    here = [index for index, time in enumerate(times) if start <= time < until]
    first = here[0] if here else next((i for i, time in enumerate(times) if time >= until), 0)
    if first > 0 and (not here or times[first] > start) and not is_held(timeline, times[first - 1]):
        yield first - 1, 0.0
    for index in here:
        yield index, progress_at(segment, times[index])
    behind = first + len(here)
    if behind < len(times) or (timeline.loop and until == timeline.duration):
        yield behind, 1.0


def is_held(timeline: Timeline, time: Fraction) -> bool:
    """Whether the picture at a time stays until a cut."""
    segment = segment_at(timeline, time)
    return segment is not None and segment.start.ease == "hold"


def widened(
    first: int, last: int, fixed: AbstractSet[int], ends: tuple[int, int]
) -> tuple[int, int]:
    """A span with the frames next to a jump in it, if none lies between.

    Args:
        fixed: frames of keyframes, which are shown as they are.
        ends: the first and the last frame that a span may reach.
    """
    if last - first > 1:
        return first, last
    if first > ends[0] and first not in fixed:
        first -= 1
    if last < ends[1] and last not in fixed:
        last += 1
    return first, last


def merged(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans, of which those that overlap are one."""
    current: tuple[int, int] | None = None
    for first, last in spans:
        if current and first < current[1]:
            current = (current[0], max(current[1], last))
            continue
        if current:
            yield current
        current = (first, last)
    if current:
        yield current


def following(plan: FramePlan, index: int) -> PlannedFrame | None:
    """The frame behind this one; None behind the last one of a film that is no loop."""
    if index + 1 < len(plan.frames):
        return plan.frames[index + 1]
    return plan.frames[0] if plan.loop else None


def finished_digest(finish: Finish, of: Sequence[str], place: Fraction) -> str:
    """The identity of a picture: of what it is made, and how. A frame that is shown as it was
    rendered keeps its own."""
    upscaler = finish.upscaler
    if len(of) == 1 and upscaler is None:
        return of[0]
    entry: dict[str, Any] = {"finish": FINISH_VERSION, "of": list(of)}
    if len(of) > 1:
        entry |= {"place": str(place), "inbetween": finish.method}
    if upscaler is not None:
        entry |= {"upscale": [upscaler.identity, upscaler.times]}
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def cuts_of(timeline: Timeline, times: Sequence[Fraction], loop_end: Fraction) -> Iterator[Cut]:
    """Cuts of a film: a keyframe behind one that is held, and one that comes sooner behind another
    than a frame does.

    Args:
        times: of the rendered frames.
        loop_end: when a loop's first frame comes again.
    """
    ends = [*times[1:], *([loop_end] if timeline.loop else [])]
    segments = [segment_behind(timeline, place) for place in range(len(timeline.keyframes))]
    abrupt = [
        (each.start.time, each.until, each.start.ease == "hold")
        for each in segments
        if each and not each.rests
    ]
    place = 0
    for index, (before, after) in enumerate(zip(times, ends, strict=False)):
        while place < len(abrupt) and abrupt[place][1] <= before:
            place += 1
        for start, until, held in abrupt[place:]:
            if until > after:
                break
            if held or until - start < after - before:
                yield index, until
                break
