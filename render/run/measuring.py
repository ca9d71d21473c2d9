"""Measuring: how smooth a film is whose frames are all there. Nothing is rendered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import render
from render.engines.threads import allowed_processors, usable_cores
from render.errors import ConfigError, Mistake, RenderError
from render.files.atomic import write_whole
from render.files.lock import sharing
from render.files.ownership import make_way
from render.measurement.figures import Figures, Known, figures
from render.measurement.kept_figures import kept_figures
from render.measurement.perceived import Watched
from render.measurement.pictures import ReadPixels, read_files
from render.measurement.reading import Pixels, Reading, Readings, read_pixels
from render.models.lpips_weights import mistakes_in_lpips
from render.plan.plan_warnings import unmeasured_words
from render.report.events import Measured, NamedFrame
from render.report.run_record import read_run_json
from render.run.film import ResolvedFilm
from render.run.session import Session
from render.run.survey import survey
from render.store import store
from render.text import weighted
from render.video.step_plot import step_plot

MOST_THREADS = 8
LEAST_S, PART = 3.0, 0.05
"""A run's own measurement takes so many seconds at most, or this part of the run's time."""
MOST_SEEN = 10_000  # frames that LPIPS takes: 64 kB each
TRIED = 16  # pictures after which the time for all of them is known
AFTERWARDS = "the same command with mode=measure does it"


def at_once() -> int:
    """Pictures that are decoded at a time: one a core."""
    return min(MOST_THREADS, usable_cores(allowed_processors()))


@dataclass(frozen=True, slots=True)
class Subject:
    """A film as far as it is known without its pictures.

    Attributes:
        prompts: for each frame its texts with weights; empty where they are not known.
    """

    name: str
    times_s: Sequence[float]
    known: Known = field(default_factory=Known)
    prompts: Sequence[Sequence[tuple[str, float]]] = ()


def subject_of(film: ResolvedFilm) -> Subject:
    """A film that is planned, whose frames are in the store."""
    plan = film.plan
    known = Known(plan.keyframes, [frame.digest for frame in plan.frames], plan.loop)
    prompts = [frame.spec.prompts for frame in plan.frames]
    return Subject(film.config.name, [float(frame.time) for frame in plan.frames], known, prompts)


def film_readings(
    film: ResolvedFilm,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
    read: ReadPixels = read_pixels,
) -> list[Reading]:
    """The readings of a film's stored frames; a picture that is held is read once.

    Args:
        on_frame: called with (done, total) pictures; may raise to break off.
        read: makes the reading of a picture's pixels.

    Raises:
        ConfigError: one can't be read.
    """
    digests = list(dict.fromkeys(frame.digest for frame in film.plan.frames))
    paths = [store.stored_path(film.store, digest) for digest in digests]
    found: dict[str, Reading] = {}
    for digest, reading in zip(digests, read_files(paths, at_once(), read), strict=True):
        found[digest] = reading
        on_frame(len(found), len(digests))
    return [found[frame.digest] for frame in film.plan.frames]


def reader_with(lpips: Path | None) -> ReadPixels:
    """A function that reads pixels, with the features of LPIPS if a file of its weights is given.

    Raises:
        ConfigError: the file has not its weights.
    """
    if lpips is None:
        return read_pixels
    if wrong := list(mistakes_in_lpips(lpips)):
        raise ConfigError(wrong)
    from render.engines.lpips import Lpips  # torch

    network, seen = Lpips(lpips), count()

    def read(pixels: Pixels) -> Reading:
        if next(seen) >= MOST_SEEN:
            what = f"more than {MOST_SEEN:,} frames, whose features are kept; measure it in parts"
            raise ConfigError([Mistake("measure.lpips", what)])
        return replace(read_pixels(pixels), seen=network.features(pixels))

    return read


def measurement(subject: Subject, readings: Sequence[Reading]) -> Measured:
    """The figures of a film of two frames or more, with the frames that stand out."""
    found = figures(Readings.of(readings), subject.known)
    features = [reading.seen for reading in readings if reading.seen is not None]
    named = named_measurement(subject, found)
    if not features:
        return named
    watched = Watched(found.keyframes)
    for each in (*features, *(features[:1] if subject.known.loop else ())):
        watched.add(each)
    return replace(named, lpips=watched.figures((*found.cuts, *found.held)))


def named_measurement(subject: Subject, found: Figures) -> Measured:
    """Figures with the frames that stand out."""
    return Measured(subject.name, found, subject.times_s, list(named_frames(found, subject)))


def named_frames(found: Figures, subject: Subject) -> Iterator[NamedFrame]:
    """Frames that stand out, in order."""
    kinds = {"flash": found.flashes, "snap": found.snaps, "cut": found.cuts}
    kinds["doubled"] = found.doubled
    pairs = [(frame, kind) for kind, frames in kinds.items() for frame in frames]
    for frame, kind in sorted(pairs):
        place = frame % found.frames  # in a loop the first frame follows the last
        prompts = weighted(subject.prompts[place]) if subject.prompts else ""
        size = found.steps[frame - 1] / found.median if found.median > 0 else 0.0
        yield NamedFrame(kind, place, subject.times_s[place], size, prompts)


def write_measurement(base: Path, found: Measured, warn: Callable[[str], None]) -> list[Path]:
    """Write a measurement's JSON and its plot; what is not render's there makes way.

    Args:
        base: their path without suffix.

    Raises:
        RenderError: they can't be written.
    """
    targets = [base.with_name(f"{base.name}.{suffix}") for suffix in ("json", "png", "svg")]
    try:
        for target in targets:
            make_way(target, warn)
        write_whole(targets[0], as_json(found))
        step_plot(found.figures, found.times_s, found.name, base)
    except OSError as error:
        where = error.filename or targets[0]
        raise RenderError(f"{where}: can't be written: {error.strerror or error}") from error
    return targets


def as_json(found: Measured) -> bytes:
    """The content of measure.json."""
    data = {
        "by": f"render {render.__version__}",
        "name": found.name,
        **found.figures.as_data(),
        **({"lpips": found.lpips.as_data()} if found.lpips else {}),
        "times": [round(time_s, 6) for time_s in found.times_s],
        "named": [as_entry(frame) for frame in found.named],
    }
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def as_entry(frame: NamedFrame) -> dict[str, object]:
    """A frame that stands out, as JSON has it."""
    numbers = {"frame": frame.frame, "time": round(frame.time_s, 6), "size": round(frame.size, 3)}
    return {"kind": frame.kind, **numbers, "prompts": frame.prompts}


def in_record(found: Measured) -> dict[str, object]:
    """A measurement as run.json has it."""
    return {**found.figures.as_data(), "named": [as_entry(frame) for frame in found.named]}


def kept_measurement(film: ResolvedFilm) -> Measured | None:
    """The measurement that the folder's last run made of just this film; None if there is none."""
    try:
        earlier = read_run_json(film.folder / "run.json")
    except OSError:
        return None
    subject = subject_of(film)
    found = kept_figures(earlier.get("measure"), len(subject.times_s))
    if found is None or earlier.get("plan") != film.plan.digest:
        return None
    ends = {0, len(subject.times_s) - 1} | {*subject.known.keyframes}
    if {*found.keyframes} | {len(subject.times_s) - 1} != ends:  # only a keyframe was moved
        return None
    return named_measurement(subject, found)


def measured_film(run: Session) -> Measured:
    """How smooth a film is whose frames are all there.

    Raises:
        ConfigError: frames are missing, their places are not known, or there is only one.
    """
    film = run.film
    count = len(film.plan.frames)
    if unmeasured := len(film.plan.unmeasured):
        what = f"{unmeasured_words(unmeasured)}; render the film first"
        raise ConfigError([Mistake("mode", what)])
    if count < 2:
        raise ConfigError([Mistake("mode", "a film of one frame has no steps to measure")])
    with sharing(film.store, run.events.say):
        missing = sum(not verdict.stored for verdict in survey(film, film.plan.frames))
        if missing:
            what = f"{missing} of {count} frames are not there; render them first"
            raise ConfigError([Mistake("mode", f"{what}, without mode=measure")])
        with run.events.progress("measure", count) as phase:
            read = reader_with(film.config.measure.lpips)
            return measurement(subject_of(film), film_readings(film, phase.reach, read))


def measure(run: Session) -> None:
    """Measure a film, write the figures and the plot into its folder, and show them."""
    found = measured_film(run)
    files = write_measurement(run.film.folder / "measure", found, run.events.warn)
    run.events.emit(replace(found, files=files))


class TooSlow(Exception):
    """The measurement would take more than its part of the run's time."""


def measured_in_passing(run: Session) -> Measured | None:
    """How smooth the film of a run is that has just finished; None if it has one frame, or the
    measurement would take more than a small part of the run's time, which a line says."""
    film = run.film
    if len(film.plan.frames) < 2:
        return None
    began, most_s = time.monotonic(), max(LEAST_S, PART * run.phases.total)

    def check(done: int, total: int) -> None:
        spent_s = time.monotonic() - began
        if done >= TRIED and spent_s * total / done > most_s:
            raise TooSlow

    try:
        return measurement(subject_of(film), film_readings(film, check))
    except TooSlow:
        run.events.say(f"the film is long, so it was not measured; {AFTERWARDS}")
    except ConfigError as error:
        run.events.warn(f"the film was not measured: {error}")
    return None
