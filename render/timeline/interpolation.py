"""The times of the frames, and the film's values at any time."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

from render.timeline.easing import eased
from render.timeline.filled import Key
from render.timeline.spec import FrameSpec, Keyframe, Timeline


def frame_times(timeline: Timeline, fps: Fraction) -> list[Fraction]:
    """k/fps for k = 0 … round(T·fps); a loop's last frame is its first and is not repeated, and a
    film with an open end leaves its last frame out."""
    last = round(timeline.duration * fps)
    leaves_out = timeline.loop or timeline.open
    return [Fraction(k) / fps for k in range(max(last, 1) if leaves_out else last + 1)]


@dataclass(frozen=True, slots=True)
class Segment:
    """From one keyframe to the next, which stands at `until` seconds."""

    start: Keyframe
    end: Keyframe
    until: Fraction
    back: Fraction = Fraction(0)
    """How much later than its own time the end comes: a loop's first keyframe comes again."""

    @property
    def rests(self) -> bool:
        """Whether nothing changes in it."""
        return self.start.values == self.end.values and not self.follows

    @property
    def follows(self) -> bool:
        """Whether values change in it by themselves: it then leads on no one way from one picture
        to the other."""
        return self.start.follows is not None or self.end.follows is not None


def segment_at(timeline: Timeline, time: Fraction) -> Segment | None:
    """The segment that begins at or before `time`; None behind the last keyframe of a film that is
    no loop, in which the last leads back to the first."""
    place = bisect_right(timeline.keyframes, time, key=lambda frame: frame.time) - 1
    return segment_behind(timeline, place)


def segment_behind(timeline: Timeline, place: int) -> Segment | None:
    """The segment that begins at the keyframe of this place; None behind the last one of a film
    that is no loop."""
    frames = timeline.keyframes
    if place + 1 < len(frames):
        return Segment(frames[place], frames[place + 1], frames[place + 1].time)
    if not timeline.loop:
        return None
    return Segment(frames[place], frames[0], timeline.duration, timeline.duration)


def values_at(timeline: Timeline, time: Fraction) -> FrameSpec:
    """The values at `time` seconds: a keyframe's own at its time, in between eased towards the
    next; behind the last one its values stay, or in a loop lead back to the first."""
    segment = segment_at(timeline, time)
    if segment is None:
        return timeline.keyframes[-1].at(time)
    progress = progress_at(segment, time)
    start = segment.start.at(time)
    return start if progress == 0 else between(start, segment.end.at(time - segment.back), progress)


def progress_at(segment: Segment, time: Fraction) -> float:
    """How far along the way from start to end a segment is at a time, from 0 to 1."""
    start = segment.start
    progress = eased(start.ease, float((time - start.time) / (segment.until - start.time)))
    return start.time_map.place_at(progress) if start.time_map else progress


def between(start: FrameSpec, end: FrameSpec, progress: float) -> FrameSpec:
    """The weights of all texts and seeds on their way from `start` to `end`.

    A start image on one side only stays, and the strength goes to 1 on the other, where none shows.
    Both sides follow one picture, if they follow any.
    """
    if start == end or progress >= 1:
        return end
    return FrameSpec(
        mixed(start.prompts, end.prompts, progress),
        mixed(start.negatives, end.negatives, progress),
        mixed(start.seeds, end.seeds, progress),
        round((1 - progress) * start.guidance + progress * end.guidance, 9),
        mixed(start.images or end.images, end.images or start.images, progress),
        round((1 - progress) * start.strength + progress * end.strength, 9),
        faded(start.loras, end.loras, progress),
        control=start.control,
    )


def faded(
    start: tuple[tuple[str, float], ...], end: tuple[tuple[str, float], ...], progress: float
) -> tuple[tuple[str, float], ...]:
    """The weights of LoRAs on their way; where one is not named, its weight is 0."""
    before, after = dict(start), dict(end)
    weights = {
        name: round((1 - progress) * before.get(name, 0.0) + progress * after.get(name, 0.0), 9)
        for name in {**before, **after}
    }
    return tuple((name, weight) for name, weight in weights.items() if weight != 0)


def mixed(
    start: tuple[tuple[Key, float], ...], end: tuple[tuple[Key, float], ...], progress: float
) -> tuple[tuple[Key, float], ...]:
    """(1−p)·start + p·end; twelve decimals, so that a digest never depends on a last bit."""
    if start == end:
        return start
    weights: dict[Key, float] = {}
    for side, share in ((start, 1 - progress), (end, progress)):
        for key, weight in side:
            weights[key] = weights.get(key, 0.0) + share * weight
    return tuple((key, w) for key, weight in weights.items() if (w := round(weight, 12)) > 0)
