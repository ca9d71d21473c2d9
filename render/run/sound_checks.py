"""The film's sound, read before any frame is rendered."""

from __future__ import annotations

from render.config.schema import RunConfig
from render.errors import ConfigError, EncodeError, Mistake
from render.plan.finish import shown_pictures
from render.run.film import ResolvedFilm
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


def sound_warnings(film: ResolvedFilm, timeline: Timeline, sound_s: float | None) -> list[str]:
    """That the sound is shorter or longer than the film, where it is."""
    audio, fps = film.config.output.audio, film.config.output.fps
    if audio is None or sound_s is None:
        return []
    count = len(shown_pictures(film.plan))
    opens = not timeline.loop and not timeline.open and count > 1
    warning = length_warning(audio, sound_s, count, fps, opens)
    return [warning] if warning else []
