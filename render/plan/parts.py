"""The part of a film that a run renders: a shard, frames by their numbers, or the one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from render.config.part import among
from render.config.schema import RunConfig
from render.errors import Mistake
from render.plan.frame_plan import FramePlan, PlannedFrame, shard_of
from render.text import plural
from render.timeline.spec import Timeline


def part_of(plan: FramePlan, config: RunConfig, timeline: Timeline) -> tuple[PlannedFrame, ...]:
    """The frames that a run with this config renders, in order."""
    frames = shard_of(plan, config.shard)
    if config.mode == "keyframes":
        places = keyframe_places(plan, timeline)
        return tuple(frame for frame in frames if frame.index in places)
    if config.frames is not None:
        return tuple(frame for frame in frames if among(config.frames, frame.index))
    if config.at is not None:
        chosen = nearest(plan, config, timeline).index
        return tuple(frame for frame in frames if frame.index == chosen)
    return frames


def keyframe_places(plan: FramePlan, timeline: Timeline) -> set[int]:
    """The frames of the keyframes; of a keyframe between two frames, the one before it."""
    times = [keyframe.time for keyframe in timeline.keyframes]
    last = len(plan.frames) - 1
    found = {min(int(time * plan.fps), last) for time in times}
    return found | {place % len(plan.frames) for place in plan.keyframes}


def nearest(plan: FramePlan, config: RunConfig, timeline: Timeline) -> PlannedFrame:
    """The frame that is nearest to `at`."""
    time = timeline.clock.seconds(config.at) if config.at else Fraction(0)
    length = len(plan.frames) / plan.fps

    def apart(frame: PlannedFrame) -> Fraction:
        away = abs(frame.time - time)
        return min(away, abs(length - away)) if plan.loop else away

    return min(plan.frames, key=apart)


def mistakes_in_part(plan: FramePlan, config: RunConfig, timeline: Timeline) -> Iterator[Mistake]:
    """Frames and times that the film does not have, or that go with nothing."""
    for key in ("frames", "at"):
        if getattr(config, key) is not None and config.mode not in ("render", "plan"):
            yield Mistake(key, "goes with mode=render and mode=plan; leave it out")
    if config.frames is not None and config.at is not None:
        yield Mistake("at", "frames says which ones already; leave one of the two out")
    count = len(plan.frames)
    beyond = [each.last for each in config.frames or () if each.last >= count]
    if beyond:
        what = f"the film has {plural(count, 'frame')}, 0 to {count - 1}, and no {beyond[0]}"
        yield Mistake("frames", what)
    if config.at is not None:
        clock = timeline.clock
        if flaw := clock.flaw(config.at):
            yield Mistake("at", flaw)
        elif (time := clock.seconds(config.at)) > plan.frames[-1].time + 1 / plan.fps:
            last = f"the last frame, which is at {float(plan.frames[-1].time):g} s"
            yield Mistake("at", f"{float(time):g} s is behind {last}")
