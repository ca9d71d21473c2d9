"""The keyframes that a person wrote, made into a `Timeline` with nothing left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from render.config.schema import KeyframeConfig, SamplingConfig, TimelineConfig
from render.config.values import shown
from render.errors import ConfigError, Locate, Mistake
from render.timeline.clock import Clock, clock_of, tempo_flaws
from render.timeline.filled import (
    Filled,
    curve_flaws,
    filled,
    unknown_values,
    values_over_time,
)
from render.timeline.heard import Heard
from render.timeline.over_time import Surroundings
from render.timeline.pace import TimeMap
from render.timeline.spec import FrameSpec, Keyframe, Timeline

MAX_FRAMES = 1_000_000
MOST_LETTERS = 1 << 28  # of a plan whose frames take more than …
USUAL_LETTERS = 2_000  # … each on the average, as six long texts do
LETTERS_OF_A_WEIGHT = 40  # with its place in a list


def resolve(
    written: TimelineConfig,
    sampling: SamplingConfig,
    fps: Fraction,
    guidance: float,
    locate: Locate = lambda path: path,
    images: Mapping[Path, str] | None = None,
    loras: Mapping[str, float] | None = None,
    sounds: Mapping[str, Heard] | None = None,
) -> Timeline:
    """The timeline with every keyframe's values filled in.

    Args:
        written: the timeline as a person declared it.
        sampling: what keyframes fall back to.
        fps: frames per second, for times given in frames.
        guidance: the guidance scale of keyframes that name none.
        locate: turns a dotted path into the place a person should look at.
        images: the digest of every picture that keyframes name.
        loras: the model's LoRAs by name, with the weights that hold until a keyframe names others.
        sounds: of the film by name, analysed; empty where nothing follows them.

    Raises:
        ConfigError: keyframes out of order or twice at one time, no prompt at the start, a loop
            without a duration, more than a million frames, a LoRA that the model does not have;
            all that apply, a line each.
    """
    clock = clock_of(written, fps, sounds)
    if unknown := [*tempo_flaws(written, fps, sounds)] or [*moment_flaws(written, clock)]:
        raise ConfigError([Mistake(locate(f"timeline.{path}"), what) for path, what in unknown])
    exact = {key: clock.seconds(frame.at) for key, frame in written.keyframes.items()}
    times = {key: clock.frame_time(frame.at) for key, frame in written.keyframes.items()}
    until = clock.seconds(written.duration) if written.duration else None
    listed = list(written.keyframes) == [str(place) for place in range(len(times))]
    order = list(times) if listed else sorted(times, key=lambda key: times[key])
    wrong = time_flaws(written, times, exact, order, fps, until)
    wrong += value_flaws(written, order, loras or {})
    given = {key: written.keyframes[key] for key in order}
    fallbacks = (written.curves, sampling, guidance, images or {}, loras or {})
    values = [*filled(given, *fallbacks)]
    around = Surroundings(clock)
    wrong += unknown_values(values, around)
    if wrong:
        raise ConfigError([Mistake(locate(f"timeline.{path}"), what) for path, what in wrong])
    keyframes = tuple(
        paced(keyframe_of(each, times[each.key], frame, around, locate), frame.pace or written.pace)
        for each, frame in zip(values, given.values(), strict=True)
    )
    length = keyframes[-1].time if until is None else until
    ends = (length, written.loop, written.end == "open")
    timeline = Timeline(keyframes, *ends, clock, tuple(exact[key] for key in order))
    if what := plan_flaw(timeline, fps):
        raise ConfigError([Mistake(locate("timeline.keyframes"), what)])
    return timeline


def keyframe_of(
    frame: Filled, time: Fraction, written: KeyframeConfig, around: Surroundings, locate: Locate
) -> Keyframe:
    """A keyframe at its time, with the values that it has there and elsewhere."""
    values = values_over_time(frame, around, locate)
    follows = values if any(frame.changing()) else None
    return Keyframe(time, values(time), written.ease, follows=follows)


def paced(keyframe: Keyframe, pace: str | Mapping[float, float]) -> Keyframe:
    """The keyframe with the pace at which it leads to the next one."""
    if isinstance(pace, str):
        return replace(keyframe, even=pace == "even")
    written = TimeMap((0.0, *pace.values(), 1.0), (0.0, *pace.keys(), 1.0))
    return replace(keyframe, time_map=written)


def moment_flaws(written: TimelineConfig, clock: Clock) -> Iterator[tuple[str, str]]:
    """Times of which nobody can know when they are."""
    moments = {f"keyframes.{key}.at": frame.at for key, frame in written.keyframes.items()}
    for path, moment in (*moments.items(), ("duration", written.duration)):
        if moment and (flaw := clock.flaw(moment)):
            yield path, flaw


def time_flaws(
    written: TimelineConfig,
    times: Mapping[str, Fraction],
    exact: Mapping[str, Fraction],
    order: Sequence[str],
    fps: Fraction,
    length: Fraction | None,
) -> list[tuple[str, str]]:
    """Times of keyframes, or a length, that make no film."""
    return order_flaws(order, times, exact) + length_flaws(written, times, length, fps)


def value_flaws(
    written: TimelineConfig, order: Sequence[str], loras: Mapping[str, float]
) -> list[tuple[str, str]]:
    """Values that keyframes lack, or that mean nothing where they stand."""
    found = [*lora_flaws(written, loras), *curve_flaws(written)]
    if written.keyframes[order[0]].prompt is None:
        found.append((f"keyframes.{order[0]}", "the first keyframe needs a prompt"))
    return found + strength_flaws(written, order)


def plan_flaw(timeline: Timeline, fps: Fraction) -> str | None:
    """Why a plan would take far more memory and time than its timeline: it names all texts of each
    frame, and they may be a megabyte."""
    ends = [keyframe.time for keyframe in timeline.keyframes[1:]] + [timeline.duration]
    following = [*timeline.keyframes[1:], timeline.keyframes[0 if timeline.loop else -1]]
    frames_and_letters = (
        ((end - frame.time) * fps, letters(frame.values) + letters(after.values))
        for frame, after, end in zip(timeline.keyframes, following, ends, strict=True)
    )
    total = sum((frames * each for frames, each in frames_and_letters), Fraction(0))
    if total <= max(Fraction(MOST_LETTERS), USUAL_LETTERS * timeline.duration * fps):
        return None
    return (
        f"all frames with their texts take about {int(total):,} letters in a plan; shorten the "
        "texts, or the film"
    )


def letters(values: FrameSpec) -> int:
    """About how many letters a keyframe's values take in a plan."""
    texts = sum(len(text) for text, _ in (*values.prompts, *values.negatives))
    return texts + LETTERS_OF_A_WEIGHT * (len(values.prompts) + len(values.seeds))


def order_flaws(
    order: Sequence[str], times: Mapping[str, Fraction], exact: Mapping[str, Fraction]
) -> list[tuple[str, str]]:
    """Keyframes out of order, twice at one time, or a first one that is not at 0.

    Args:
        exact: the times before beats were moved to frames.
    """
    found = []
    if times[order[0]] != 0:
        found.append((f"keyframes.{order[0]}.at", "the first keyframe has to be at 0"))
    for before, after in pairwise(order):
        path, time = f"keyframes.{after}.at", float(times[after])
        above = f"{float(times[before]):g} s"
        if times[after] == times[before]:
            what = f"two keyframes are at {time:g} s; move or remove one"
            if exact[after] != exact[before]:
                what = f"this beat and the keyframe above it are in one frame, at {time:g} s; "
                what += "raise output.fps, or move one of them"
            found.append((path, what))
        elif times[after] < times[before]:
            found.append(
                (path, f"{time:g} s is before {above}, the keyframe above; keep the list in order")
            )
    return found


def length_flaws(
    written: TimelineConfig, times: Mapping[str, Fraction], length: Fraction | None, fps: Fraction
) -> list[tuple[str, str]]:
    """A loop without a way back, a duration that cuts keyframes off, a film without end."""
    last = max(times.values())
    if written.loop and length is None:
        return [("loop", "a loop needs a `duration`: when the first keyframe comes again")]
    if length is not None and length < last:
        what = f"{float(length):g} s ends before the last keyframe ({float(last):g} s)"
        return [("duration", what)]
    if written.loop and length == last:
        what = f"the last keyframe stands at {float(last):g} s; a loop comes back after it"
        return [("duration", what)]
    if written.loop and written.end == "open":
        return [
            ("end", "a loop ends before its first frame comes again, so it is open; leave it out")
        ]
    if (length or last) * fps > MAX_FRAMES:
        return [("duration" if length else "keyframes", f"more than {MAX_FRAMES:,} frames")]
    return []


def strength_flaws(written: TimelineConfig, order: Sequence[str]) -> list[tuple[str, str]]:
    """Strengths of keyframes that have no picture, neither of their own nor from before."""
    found, image = [], None
    for key in order:
        frame = written.keyframes[key]
        image = frame.image if "image" in frame.model_fields_set else image
        if frame.strength is not None and image is None:
            what = "no image stands here to start from; give `image` or leave `strength` out"
            found.append((f"keyframes.{key}.strength", what))
    return found


def lora_flaws(written: TimelineConfig, loras: Mapping[str, float]) -> list[tuple[str, str]]:
    """LoRAs that keyframes name and the model does not have."""
    known = f"known: {', '.join(loras)}" if loras else "the model has none; see model.loras"
    return [
        (f"keyframes.{key}.lora", f"no LoRA is called {shown(name)}; {known}")
        for key, frame in written.keyframes.items()
        for name in frame.lora or {}
        if name not in loras
    ] + [
        (f"curves.lora.{name}", f"no LoRA is called {shown(name)}; {known}")
        for name in written.curves.lora or {}
        if name not in loras
    ]
