"""Measuring an input without a timeline: a film's folder, frames of another tool, or a video."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from render.config.moments import Moment, rate
from render.config.parse import parse
from render.errors import ConfigError, Locate, Mistake
from render.measurement.figures import Known
from render.measurement.pictures import (
    MOST_FRAMES,
    ReadPixels,
    check_count,
    in_order,
    is_moving,
    moving_frames,
    pictures_in,
    read_files,
    unusable,
)
from render.measurement.reading import Pixels, Reading, read_pixels
from render.report.events import Measured
from render.report.progress import Phase
from render.report.reporter import Reporter, SilentReporter, reporter_for
from render.report.run_events import RunEvents
from render.run.measuring import Subject, at_once, measurement, reader_with, write_measurement
from render.store.shown_frames import ShownFrame, is_loop, shown_frames
from render.store.store import frame_path
from render.timeline.clock import Clock
from render.video.decode import UnreadableVideo, frame_times, opened_video, video_frames

LONGEST_NAME = 200  # bytes, of the files without their suffixes; most systems take 255 in all
STAND_IN: dict[str, Any] = {"name": "input", "keyframes": [{"at": 0, "prompt": ""}]}
"""A timeline for the config of an input, which has none."""


@dataclass(frozen=True, slots=True)
class InputFrames:
    """An input that was read.

    Attributes:
        base: the path, without suffix, of the files that a measurement of it writes.
        times_s: when each frame is shown; empty where only the rate says it.
        known: keyframes and the like, from the plan of a film's folder.
    """

    base: Path
    readings: Sequence[Reading]
    times_s: Sequence[float] = ()
    known: Known | None = None
    prompts: Sequence[Sequence[tuple[str, float]]] = ()


def measure_input(composed: Mapping[str, Any], locate: Locate, job: str = "") -> None:
    """Measure the `input` of a config that has no timeline, write what was found beside it, and
    show it in the form of the config's `report`.

    Raises:
        ConfigError: mistakes in the config, or an input that can't be measured.
        RenderError: the files can't be written.
    """
    config = parse({**composed, "timeline": STAND_IN}, locate)
    events = RunEvents(reporter_for(config.report, job), job)
    path = config.input or Path()
    found, base = measured_input(
        path, config.measure.keyframes, config.output.fps, events, config.measure.lpips
    )
    if not os.access(base.parent, os.W_OK):
        events.say(f"nothing can be written to {base.parent}; the files go to {config.root}")
        config.root.mkdir(parents=True, exist_ok=True)
        base = config.root / base.name
    base = base.with_name(os.fsdecode(os.fsencode(base.name)[:LONGEST_NAME]))
    files = write_measurement(base, found, events.warn)
    events.emit(replace(found, files=files))


def measured_input(
    path: Path,
    keyframes: Sequence[Moment] | None,
    fps: Fraction,
    events: RunEvents,
    lpips: Path | None = None,
) -> tuple[Measured, Path]:
    """The measurement of a path, and the path without suffix of its files.

    Args:
        keyframes: the times of keyframes; None: those of the film's own plan.
        fps: frames a second, where the input does not say when they are shown.
        lpips: weights of LPIPS, to measure by it as well.

    Raises:
        ConfigError: it can't be measured, or a keyframe lies outside of it.
    """
    found = read_input(path, events, reader_with(lpips))
    count = len(found.readings)
    check_enough(path, count)
    times = found.times_s or [float(frame / fps) for frame in range(count)]
    known = found.known or Known()
    if keyframes is not None:
        known = replace(known, keyframes=places(keyframes, times, fps))
    name = path.resolve().name if found.known is None else found.base.parent.resolve().name
    subject = Subject(name, times, known, found.prompts)
    return measurement(subject, found.readings), found.base


def places(keyframes: Sequence[Moment], times: Sequence[float], fps: Fraction) -> list[int]:
    """The frames that are nearest to some times.

    Raises:
        ConfigError: one lies outside of the film.
    """
    found = []
    clock = Clock(fps)
    for place, moment in enumerate(keyframes):
        if flaw := clock.flaw(moment):
            no_tempo = "beats and bars take a tempo, which an input without a timeline has not"
            what = no_tempo if moment.is_musical else flaw
            raise ConfigError([Mistake(f"measure.keyframes.{place}", what)])
        if moment.frames is not None:
            frame, inside = round(moment.frames), 0 <= moment.frames <= len(times) - 1
        else:
            second = float(clock.seconds(moment))
            frame = min(range(len(times)), key=lambda index: abs(times[index] - second))
            step = times[-1] / (len(times) - 1)
            inside = second <= times[-1] + step
        if not inside:
            what = f"lies after the last frame ({times[-1]:.2f} s, frame {len(times) - 1})"
            raise ConfigError([Mistake(f"measure.keyframes.{place}", what)])
        found.append(frame)
    return found


def read_input(path: Path, events: RunEvents, read: ReadPixels = read_pixels) -> InputFrames:
    """Read all frames of a path.

    Args:
        read: makes the reading of a picture's pixels.

    Raises:
        ConfigError: it is nothing that can be measured.
    """
    if not path.exists():
        raise unusable(path, "is not there; give a folder of frames, or a video")
    if path.is_dir():
        return read_folder(path, events, read)
    base = path.with_name(f"{path.name}.measure")
    if is_moving(path):
        frames = Timed(moving_frames(path))
        with events.progress("measure", 0) as phase:
            readings = gathered(in_order(frames.pixels(), read, at_once()), phase)
        return InputFrames(base, readings, frames.times)
    return read_video(path, base, events, read)


class Timed:
    """Frames with their times, of which the times are kept while the pixels go on."""

    def __init__(self, frames: Iterator[tuple[float, Pixels]]) -> None:
        self.frames, self.times = frames, list[float]()

    def pixels(self) -> Iterator[Pixels]:
        """The pixels, one frame after the other."""
        for time_s, pixels in self.frames:
            self.times.append(time_s)
            yield pixels


def read_video(path: Path, base: Path, events: RunEvents, read: ReadPixels) -> InputFrames:
    """Read all frames of a video."""
    try:
        with opened_video(path) as descriptor:
            times = frame_times(descriptor, MOST_FRAMES + 1)
            check_count(path, len(times))
            pictures = video_frames(descriptor, MOST_FRAMES + 1)
            with events.progress("measure", len(times)) as phase:
                readings = gathered(in_order(pictures, read, at_once()), phase)
    except UnreadableVideo as error:
        raise unusable(path, str(error)) from None
    check_count(path, len(readings))
    return InputFrames(base, readings, times if len(times) == len(readings) else ())


def read_folder(folder: Path, events: RunEvents, read: ReadPixels) -> InputFrames:
    """Read the frames of a film's folder, or of any other."""
    film = film_folder(folder)
    planned = planned_frames(film, events) if film else []
    if film and planned:
        paths = [frame_path(film / "frames", index) for index in range(len(planned))]
        missing = [index for index, path in enumerate(paths) if not path.exists()]
        if missing:
            what = f"lacks {len(missing)} of its {len(planned)} frames; render them first"
            raise unusable(film, f"{what} (the first: {missing[0]})")
        known = Known(
            keyframes_of(planned),
            [frame.digest for frame in planned],
            is_loop(film / "plan.json"),
        )
        times, prompts = [f.time_s for f in planned], [f.prompts for f in planned]
        with events.progress("measure", len(paths)) as phase:
            readings = gathered(read_files(paths, at_once(), read), phase)
        return InputFrames(film / "measure", readings, times, known, prompts)
    paths = pictures_of(film or folder)
    if not paths:
        raise unusable(folder, "has no pictures (png, jpg, webp)")
    check_enough(folder, len(paths))
    with events.progress("measure", len(paths)) as phase:
        readings = gathered(read_files(paths, at_once(), read), phase)
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return InputFrames(named.with_name(f"{named.name}.measure"), readings)


def keyframes_of(planned: Sequence[ShownFrame]) -> list[int]:
    """The frames at which keyframes stand. Older plans do not mark them: there it is where prompts
    begin or end to be blended."""
    marked = [index for index, frame in enumerate(planned) if frame.keyframe]
    if marked:
        return marked
    blended = [len(frame.prompts) > 1 for frame in planned]
    return [
        index
        for index, here in enumerate(blended)
        if not here and any(blended[max(0, index - 1) : index + 2])
    ]


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder, or of the folder `frames` in it."""
    inner = folder / "frames"
    return (pictures_in(inner) if inner.is_dir() else []) or pictures_in(folder)


def check_enough(path: Path, count: int) -> None:
    """Refuse less than two frames."""
    if count < 2:
        what = "has one frame" if count else "has no frames"
        raise unusable(path, f"{what}; a measurement takes two or more")


def film_folder(folder: Path) -> Path | None:
    """The folder of render's film that a folder is, or that it is the frames of."""
    above = folder.resolve().parent if folder.name in ("", "..") else folder.parent
    for film in (folder, above) if folder.resolve().name == "frames" else (folder,):
        if (film / "plan.json").is_file() and (film / "frames").is_dir():
            return film
    return None


def planned_frames(film: Path, events: RunEvents) -> Sequence[ShownFrame]:
    """The frames that a film's plan.json has; none, with a warning, if it can't be used."""
    try:
        return shown_frames(film / "plan.json", MOST_FRAMES + 1)
    except (OSError, ValueError) as error:
        events.warn(f"{film / 'plan.json'} {error}; the frames are measured without it")
        return []


def gathered(found: Iterator[Reading], phase: Phase) -> list[Reading]:
    """All readings, with progress."""
    kept: list[Reading] = []
    for reading in found:
        kept.append(reading)
        phase.reach(len(kept), max(phase.total, len(kept)))
    return kept


def measure(
    path: str | os.PathLike[str],
    keyframes: Sequence[float] = (),
    fps: float | str | Fraction = 12,
    reporter: Reporter | None = None,
    lpips: str | os.PathLike[str] | None = None,
) -> Measured:
    """Measure how smoothly the frames of a folder or a video follow each other. Nothing is written.

    Args:
        path: a film's folder, a folder of frames of any tool, or a video.
        keyframes: seconds at which keyframes stand; none: a film's own, else its two ends.
        fps: frames a second of a folder that has no plan.
        lpips: a .safetensors of LPIPS's weights, to measure by it as well.

    Raises:
        ConfigError: it can't be measured.
    """
    moments = [Moment(seconds=Fraction(time_s)) for time_s in keyframes] or None
    events = RunEvents(reporter or SilentReporter())
    found, _ = measured_input(
        Path(path), moments, rate(fps), events, None if lpips is None else Path(lpips).expanduser()
    )
    return found
