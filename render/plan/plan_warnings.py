"""Lines that a plan warns of: keyframes that no frame meets, noise that flickers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from math import ceil, floor

from render.plan.approximations import Approximations
from render.plan.finish import Finish
from render.plan.frame_plan import FramePlan, PlannedFrame
from render.text import plural
from render.timeline.interpolation import Segment, segment_behind
from render.timeline.spec import SmoothPath, Timeline

NEARLY = 0.05  # of a frame: so near to a keyframe no one sees that it is not met
LARGEST_PART = 16  # of a rate that is suggested: 64/5 has 5


def grid_warnings(
    timeline: Timeline, fps: Fraction, between: Fraction | None = None
) -> Iterator[str]:
    """Keyframes that fall between two frames are never shown exactly.

    Args:
        fps: frames a second that are rendered.
        between: pictures a second that the film shows, where some lie between those.
    """
    times = [frame.time for frame in timeline.keyframes]
    yield from moved_warnings(timeline, fps if between is None else between)
    off = [time for time in times if not is_met_nearly(time, fps)]
    if off:
        shown = ", ".join(f"{float(time):g}" for time in off[:5]) + (" …" if len(off) > 5 else "")
        rate = meeting_rate([float(time) for time in times], float(fps))
        if rate and between is not None and (between / rate).denominator > 1:
            rate = None  # pictures in between take a whole part of the film's rate
        key = "output.rendered_fps" if between else "output.fps"
        way_out = f"{key}={rate} meets them all" if rate else f"choose another {key}"
        rendered = "rendered frames" if between else "frames"
        also = "" if between else ', or give their times in frames ("36f")'
        yield (
            f"keyframes at {shown} s fall between {rendered} at {float(fps):g} fps and are not "
            f"shown exactly; {way_out}{also}"
        )


def moved_warnings(timeline: Timeline, fps: Fraction) -> Iterator[str]:
    """Beats and onsets that lie so far from a frame that somebody may mind."""
    moved = [time for time in timeline.moved if not is_met_nearly(time, fps)]
    if moved:
        farthest = max(abs(round(time * fps) / fps - time) for time in moved)
        rate = meeting_rate([float(time) for time in timeline.exact], float(fps))
        way_out = f"; output.fps={rate} meets them all" if rate else ""
        yield (
            f"{plural(len(moved), 'keyframe')} on beats or onsets between two frames moved to the "
            f"nearest one, by {float(farthest) * 1000:.0f} ms at most{way_out}"
        )


def keyframe_places(timeline: Timeline, times: Sequence[Fraction]) -> tuple[int, ...]:
    """Places of the frames, whose times these are, at which keyframes stand."""
    keyframes = {keyframe.time for keyframe in timeline.keyframes}
    return tuple(place for place, time in enumerate(times) if time in keyframes)


def is_met_nearly(time: Fraction, fps: Fraction) -> bool:
    """Whether a frame is so near to a time that nobody sees the difference."""
    return is_met(float(time), float(fps), NEARLY)


def is_met(time_s: float, fps: float, within: float) -> bool:
    """Whether a frame stands at a time, to within a part of a frame."""
    return abs(time_s * fps - round(time_s * fps)) <= within


def meeting_rate(times_s: Sequence[float], fps: float) -> Fraction | None:
    """The rate nearest to `fps` at which a frame stands at each of the times: one that meets them
    exactly, else one that meets them nearly, as where beats are rounded; a whole one, if any is."""
    rates = {
        Fraction(count, part)
        for part in range(1, LARGEST_PART + 1)
        for count in range(ceil(fps * part * 3 / 4), floor(fps * part * 3 / 2) + 1)
    }
    near = sorted(rates, key=lambda rate: (rate.denominator > 1, abs(float(rate) - fps)))
    for within in (1e-6, NEARLY / 5):
        for rate in near:
            if all(is_met(time, float(rate), within) for time in times_s):
                return rate
    return None


def noise_warnings(
    timeline: Timeline, noisy: bool, scheduler: str, taken: Approximations
) -> Iterator[str]:
    """A scheduler with noise of its own can't follow seeds that are slerped."""
    walks = len({frame.values.seeds for frame in timeline.keyframes}) > 1
    if walks and noisy:
        slower = " and take nothing from anchors" if taken.anchors else ""
        yield (
            f"{scheduler} adds noise of its own at every step: frames between two seeds jump half "
            f"way{slower}; a deterministic scheduler (dpmpp_2m, euler, lms) walks smoothly"
        )


def trunk_warnings(taken: Approximations) -> Iterator[str]:
    """Keyframes that are not the pictures of their prompts alone."""
    if taken.trunk:
        yield (
            f"with sampling.trunk={taken.trunk:g} every frame starts half-way through its segment, "
            "keyframes too: they are not the plain pictures, and the film jumps where one segment "
            "ends and the next begins"
        )


def plain_warnings(
    timeline: Timeline, smooth: Callable[[Segment], SmoothPath | None], taken: Approximations
) -> Iterator[str]:
    """Segments that stay plain where smooth paths are asked for."""
    segments = [segment_behind(timeline, place) for place in range(len(timeline.keyframes))]
    changing = [each for each in segments if each and not each.rests]
    plain = [each for each in changing if each.start.ease != "hold" and not smooth(each)]
    if taken.path_parts and plain:
        times = ", ".join(f"{float(each.start.time):g}" for each in plain[:5])
        more = " …" if len(plain) > 5 else ""
        yield (
            f"no smooth path in {plural(len(plain), 'segment')} (from {times}{more} s): values "
            "follow the sound or the time there, frames start from pictures, or seeds differ and "
            "the scheduler adds noise of its own"
        )


def pace_warnings(timeline: Timeline) -> Iterator[str]:
    """Segments that keep the pace of time where an even one is asked for."""
    segments = [segment_behind(timeline, place) for place in range(len(timeline.keyframes))]
    timed = [each for each in segments if each and each.start.even and each.follows]
    if timed:
        times = ", ".join(f"{float(each.start.time):g}" for each in timed[:5])
        more = " …" if len(timed) > 5 else ""
        yield (
            f"no even pace in {plural(len(timed), 'segment')} (from {times}{more} s): values "
            "follow the sound or the time there"
        )


def bridge_warnings(frames: Sequence[PlannedFrame]) -> Iterator[str]:
    """Jumps of smooth paths: no picture that was denoised lies between their two sides."""
    for path, group in groupby(frames, lambda frame: frame.path if frame.bridge else ""):
        if path:
            bridging = list(group)
            first, last = bridging[0], bridging[-1]
            yield (
                f"the picture jumps at {float(first.time):.2f} to {float(last.time):.2f} s, and no "
                f"other lies between: frames {first.index} to {last.index} are blends of those on "
                "either side; a keyframe there, or more sampling.path_parts, may help"
            )


def span_warnings(
    frames: Sequence[PlannedFrame],
    spans: Sequence[tuple[int, int]],
    finish: Finish | None,
    every: int,
) -> Iterator[str]:
    """Jumps of plain paths, which pictures in between bridge.

    Args:
        spans: the frames on either side of each.
        every: which frames are rendered.
    """
    way = finish.inbetween if finish else ""
    for first, last in spans:
        times = f"{float(frames[first].time):.2f} to {float(frames[last - 1].time):.2f} s"
        behind = last % len(frames)
        bridged = (
            f"frames {first + 1} to {last - 1} are shown as pictures in between ({way}) of frames "
            f"{first} and {behind}"
        )
        what = bridged if every == 1 else f"sampling.every={every} bridges no jump"
        yield (
            f"the picture jumps at {times}, and no other lies between: {what}; "
            "sampling.path=smooth has no such jumps, or names them"
        )


def open_warnings(timeline: Timeline, finish: Finish | None) -> Iterator[str]:
    """The end of an open film with pictures in between, which would lead to a frame that is left
    out."""
    if timeline.open and finish and finish.times > 1:
        yield (
            "timeline.end=open leaves out the frame that the last pictures in between would lead "
            f"to: the last frame is shown {finish.times} times"
        )


def held_warnings(taken: Approximations, finish: Finish | None) -> Iterator[str]:
    """Pictures in between beside frames that are shown for longer: nothing lies between most."""
    if taken.every > 1 and finish and finish.times > 1:
        yield (
            f"sampling.every={taken.every} shows each rendered frame {taken.every} times, with "
            "nothing in between; sampling.every=1 and a smaller output.rendered_fps render as few"
        )


def unmeasured_words(count: int) -> str:
    """That the pace of so many segments is not measured yet."""
    return f"the pace of {plural(count, 'segment')} is not measured yet"


def unmeasured_warnings(plan: FramePlan) -> Iterator[str]:
    """Segments of even pace that no render has measured yet."""
    if count := len(plan.unmeasured):
        yield (
            f"{unmeasured_words(count)}: a render does that first "
            "and then knows where frames stand; this plan has them where time would put them"
        )
