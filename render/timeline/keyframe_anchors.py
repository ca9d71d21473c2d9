"""Where a film takes shortcuts in time: anchors between keyframes, and frames that are held."""

from __future__ import annotations

import math
from fractions import Fraction

from render.timeline.easing import eased
from render.timeline.interpolation import values_at, way_at
from render.timeline.spec import FrameSpec, Timeline


def held(timeline: Timeline, time: Fraction, fps: Fraction, every: int) -> Fraction:
    """When the picture was rendered that shows at `time`: at every n-th frame of a way.

    Every way begins anew at its keyframe, so that keyframes are shown however long it is.
    """
    way = way_at(timeline, time)
    if every == 1 or way is None:
        return time
    first = math.ceil(way.start.time * fps)
    frame = round(time * fps)
    return Fraction(first + (frame - first) // every * every) / fps


def early(timeline: Timeline, time: Fraction, anchors: int) -> tuple[tuple[FrameSpec, float], ...]:
    """The two anchors next to a time, by how near the prompts are to each; () at an anchor.

    Args:
        anchors: into how many equal parts each segment is divided. They depend on the keyframes and
            not on the frames, so the frames of 12 fps are among those of 24.
    """
    way = way_at(timeline, time)
    if not anchors or way is None or way.start.values == way.end.values:
        return ()
    length = way.until - way.start.time
    place = (time - way.start.time) / length * anchors
    below = math.floor(place)
    if place == below:
        return ()
    progress = [eased(way.start.ease, float(part / anchors)) for part in (below, place, below + 1)]
    if progress[0] == progress[2]:
        return ()
    share = round((progress[1] - progress[0]) / (progress[2] - progress[0]), 12)
    times = [way.start.time + length * Fraction(part, anchors) for part in (below, below + 1)]
    last = way.end.values if below + 1 == anchors else values_at(timeline, times[1])
    pairs = ((values_at(timeline, times[0]), 1 - share), (last, share))
    return tuple((spec, weight) for spec, weight in pairs if weight != 0)
