"""A sound file becomes what a timeline needs to know of it."""

from __future__ import annotations

from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from render.errors import ConfigError, Mistake
from render.hearing.beats import beats
from render.hearing.by_librosa import EDGES_HZ, HZ, Samples, Series, levels, onsets, strengths
from render.hearing.downbeats import downbeats
from render.timeline.heard import Heard
from render.video.ffmpeg import running
from render.video.sound import PATIENCE_S, opened_sound, sound_digest, sound_source

VERSION = 1  # raised by hand when the same sound would be heard otherwise
LONGEST_S = 4 * 3600
CANCELLED = 0.1  # of the louder channel's power: less is left where two channels cancel each other
DIGITS = 4  # of seconds
LEAD = HZ // 4  # samples of silence before a sound, so that something can begin at once


def digest_of_sound(file: Path) -> str:
    """The sha256 of a sound file.

    Raises:
        EncodeError: it can't be read.
    """
    with opened_sound(file) as descriptor:
        return sound_digest(descriptor or 0)


def samples_of(file: Path) -> Samples:
    """A sound in mono, `HZ` samples a second, from -1 to 1. Of two channels that cancel each other
    it is the louder one.

    Raises:
        EncodeError: it can't be read, or there is no ffmpeg.
        ConfigError: it is longer than four hours.
    """
    most = 2 * 4 * HZ * LONGEST_S
    plain = ["-map", "0:a:0", "-ac", "2", "-ar", str(HZ), "-f", "f32le", "pipe:1"]
    with opened_sound(file) as descriptor:
        source = sound_source(descriptor or 0)
        with running([*source, *plain], None, PATIENCE_S, keep=(descriptor or 0,)) as child:
            content = child.give(most + 4)
            if len(content) > most:
                child.kill()  # it has more to write, and nobody reads it
            child.finish()
    if len(content) > most:
        what = f"{file} is longer than {LONGEST_S // 3600} hours, and can't be analysed"
        raise ConfigError([Mistake("timeline.audio", what)])
    samples = np.frombuffer(content[: len(content) // 8 * 8], "<f4").reshape(-1, 2)
    both: Samples = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
    mean: Samples = both.mean(axis=1)
    powers = np.square(both).sum(axis=0)
    if np.square(mean).sum() < CANCELLED * powers.max():
        mean = np.ascontiguousarray(both[:, int(np.argmax(powers))])
    return mean


def analysed(file: Path, digest: str) -> Heard:
    """A sound file, analysed.

    Raises:
        EncodeError: it can't be read.
        ConfigError: librosa is not installed.
    """
    samples = samples_of(file)
    if len(samples) < HZ // 10:
        samples = np.pad(samples, (0, HZ // 10 - len(samples)))
    led = np.pad(samples, (LEAD, 0))
    strength = strengths(led)
    begins = {band: onsets(led, strength[band], EDGES_HZ.get(band)) for band in (*EDGES_HZ, "all")}
    found, bpm = beats(led, strength["all"], begins["all"])
    return Heard(
        digest=digest,
        duration=Fraction(len(samples), HZ),
        beats=as_times(found - LEAD / HZ),
        bpm=Fraction(str(round(bpm, 4))),
        downbeats=as_times(downbeats(samples)),
        onsets={band: as_times(times - LEAD / HZ) for band, times in begins.items()},
        levels={
            band: tuple(np.round(level, 3).tolist()) for band, level in levels(samples).items()
        },
    )


def as_times(times: Series) -> tuple[Fraction, ...]:
    """Seconds as rationals with few digits, each once; a little before the beginning is there."""
    whole = (round(max(0.0, float(time)), DIGITS) for time in times)
    return tuple(sorted({Fraction(str(time)) for time in whole}))


def made_with() -> str:
    """The version of the analysis, and of the library that it is made by."""
    try:
        return f"{VERSION}, librosa {version('librosa')}"
    except PackageNotFoundError:
        return str(VERSION)
