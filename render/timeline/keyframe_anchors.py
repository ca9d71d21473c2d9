"""The approximations in time: anchors between keyframes, and frames that are shown for longer."""

from __future__ import annotations

import math
from fractions import Fraction

from render.timeline.interpolation import (
    between,
    progress_at,
    segment_at,
    segment_behind,
    values_at,
)
from render.timeline.spec import FrameSpec, Timeline


def rendered_time(timeline: Timeline, time: Fraction, fps: Fraction, every: int) -> Fraction:
    """The time at which the picture was rendered that shows at `time`: every n-th frame of a
    segment.

    Every segment begins anew at its keyframe, so that keyframes are shown however long it is.
    """
    segment = segment_at(timeline, time) if every > 1 else None
    if segment is None:
        return time
    first = math.ceil(segment.start.time * fps)
    frame = round(time * fps)
    return Fraction(first + (frame - first) // every * every) / fps


def early(timeline: Timeline, time: Fraction, anchors: int) -> tuple[tuple[FrameSpec, float], ...]:
    """The two anchors next to a time, weighted by how near the prompts are to each; () at an
    anchor.

    Args:
        anchors: into how many equal parts each segment is divided. They depend on the keyframes and
            not on the frames, so the frames of 12 fps are among those of 24.
    """
    segment = segment_at(timeline, time)
    if not anchors or segment is None or segment.rests or segment.follows:
        return ()
    length = segment.until - segment.start.time
    place = (time - segment.start.time) / length * anchors
    below = math.floor(place)
    if place == below:
        return ()
    times = [segment.start.time + length * Fraction(part, anchors) for part in (below, below + 1)]
    progress = [progress_at(segment, each) for each in (times[0], time, times[1])]
    if progress[0] == progress[2]:
        return ()
    share = round((progress[1] - progress[0]) / (progress[2] - progress[0]), 12)
    last = segment.end.values if below + 1 == anchors else values_at(timeline, times[1])
    pairs = ((values_at(timeline, times[0]), 1 - share), (last, share))
    return tuple((spec, weight) for spec, weight in pairs if weight != 0)


def trunk_at(
    timeline: Timeline, time: Fraction, noisy: bool
) -> tuple[tuple[FrameSpec, float], ...]:
    """The values half-way through the segment at a time, whose early predictions all frames of the
    segment take; () where nothing changes, and where frames start from pictures, as each of those
    has steps of its own. A film's last frame is its last segment's.

    Args:
        noisy: whether the scheduler adds noise of its own: each seed's frames have another one, so
            a segment from one seed to another has no trunk.
    """
    segment = segment_at(timeline, time)
    if segment is None and len(timeline.keyframes) > 1:
        segment = segment_behind(timeline, len(timeline.keyframes) - 2)
    if segment is None or segment.rests or segment.follows:
        return ()
    start, end = segment.start.values, segment.end.values
    if start.start or end.start:
        return ()
    return () if noisy and start.seeds != end.seeds else ((between(start, end, 0.5), 1.0),)
