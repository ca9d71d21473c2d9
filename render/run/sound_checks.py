"""The film's sound, read before any frame is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from render.config.moments import BANDS
from render.config.schema import RunConfig
from render.errors import ConfigError, EncodeError, Mistake
from render.plan.finish import shown_pictures
from render.run.film import ResolvedFilm
from render.text import plural
from render.timeline.spec import Timeline
from render.video.codecs import audio_flaw
from render.video.sound import length_warning, measured


def sound_length(config: RunConfig) -> float | None:
    """Seconds of the film's sound; None without sound, or without an ffmpeg to read it.

    Raises:
        ConfigError: the file holds no sound.
    """
    output = config.output
    if output.audio is None or audio_flaw(output):
        return None
    try:
        seconds, wrong = measured(output.audio)
    except EncodeError:  # there is no ffmpeg, which encoding says with its own exit code
        return None
    if wrong:
        if output.audio in (config.timeline.audio or {}).values():
            return None  # a mistake of the timeline
        raise ConfigError([Mistake("output.audio", wrong)])
    return seconds


def heard_lines(film: ResolvedFilm) -> Iterator[str]:
    """A line about each sound that a film follows, as it was heard."""
    files = film.config.timeline.audio or {}
    for name, heard in film.timeline.clock.sounds.items():
        parts = ["no beat"]
        if heard.beats:
            bpm = f"{float(heard.bpm):g}"
            steady = f"{bpm} beats a minute" if heard.bpm else "beats of no one tempo"
            parts = [f"{steady}, {len(heard.beats)} from {float(heard.beats[0]):.2f} s on"]
        if heard.downbeats:
            parts.append(f"{plural(len(heard.downbeats), 'bar')} found")
        onsets = ", ".join(f"{band} {len(heard.onsets[band])}" for band in BANDS)
        called = f"{name}: " if name else ""
        yield f"{called}{files[name].name}: {', '.join(parts)}; onsets: {onsets}"


def late_warnings(film: ResolvedFilm) -> Iterator[str]:
    """Keyframes on beats that the sound does not reach."""
    heard = film.timeline.clock.sound("")
    if heard is None:
        return
    clock, written = film.timeline.clock, film.config.timeline.keyframes.values()
    late = [
        clock.seconds(frame.at)
        for frame in written
        if frame.at.is_musical and clock.seconds(frame.at) > heard.duration
    ]
    if late:
        times = ", ".join(f"{float(time):.2f}" for time in late[:5]) + (" …" if late[5:] else "")
        yield (
            f"keyframes on beats at {times} s are behind the end of the sound, which is "
            f"{float(heard.duration):.2f} s long"
        )


def sound_warnings(film: ResolvedFilm, timeline: Timeline, sound_s: float | None) -> list[str]:
    """That the sound is shorter or longer than the film, or than its keyframes go, where it is."""
    audio, fps = film.config.output.audio, film.config.output.fps
    late = list(late_warnings(film))
    if audio is None or sound_s is None:
        return late
    count = len(shown_pictures(film.plan))
    opens = not timeline.loop and not timeline.open and count > 1
    warning = length_warning(audio, sound_s, count, fps, opens)
    return [*late, warning] if warning else late
