"""The sounds of a timeline: which of them have to be analysed, and their analyses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from render.config.changing import Envelope, Points
from render.config.expression import Expression
from render.config.moments import BANDS, Moment
from render.config.schema import RunConfig, TimelineConfig
from render.errors import ConfigError, DiskFull, EncodeError, Locate, Mistake
from render.files.atomic import make_folder, write_if_changed, write_whole
from render.files.ownership import make_way
from render.hearing.analysis import analysed, digest_of_sound
from render.hearing.kept import AUDIO_NAME, SOUNDS, content_of, kept
from render.run.session import Session
from render.timeline.heard import Heard
from render.video.codecs import CODECS
from render.video.sound import measured

NO_SOUND = "none"
"""The `output.audio` of a film that is silent whatever its timeline hears."""


def with_sound(config: RunConfig) -> RunConfig:
    """The config of a film that has the sound of its timeline, unless it has another or none."""
    audio = config.output.audio
    if audio is not None and str(audio) == NO_SOUND:
        audio = None
    elif audio is None and config.timeline.audio and can_sound(config):
        first = next(iter(config.timeline.audio.values()))
        audio = first if first.is_file() else None  # else it is a mistake of the timeline
    if audio == config.output.audio:
        return config
    output = config.output.model_copy(update={"audio": audio})
    return config.model_copy(update={"output": output})


def can_sound(config: RunConfig) -> bool:
    """Whether the format of a film has sound."""
    codec = CODECS.get(config.output.format)
    return bool(codec and codec.audio)


def needs_hearing(timeline: TimelineConfig) -> bool:
    """Whether anything in a timeline follows its sound, so that it has to be analysed."""
    if timeline.takes_heard_tempo or any(moment.onset for moment in moments(timeline)):
        return True
    return any(follows_sound(value) for value in values(timeline))


def moments(timeline: TimelineConfig) -> Iterator[Moment]:
    """Every time in a timeline."""
    yield from (frame.at for frame in timeline.keyframes.values())
    yield from (each for each in (timeline.duration, timeline.offset) if each)
    for value in values(timeline):
        if isinstance(value, Points):
            yield from (point.at for point in value.points)


def values(timeline: TimelineConfig) -> Iterator[Any]:
    """Every value in a timeline that may change over time."""
    curves = timeline.curves
    yield from (curves.guidance, curves.strength, *(curves.lora or {}).values())
    for frame in timeline.keyframes.values():
        yield from (frame.guidance, frame.strength)
        yield from (*(frame.prompt or {}).values(), *(frame.lora or {}).values())


def follows_sound(value: object) -> bool:
    """Whether a value follows how loud a sound is."""
    if isinstance(value, Expression):
        return any(name.rpartition(".")[2] in BANDS for name in value.uses)
    return isinstance(value, Envelope)


def heard_sounds(
    config: RunConfig, store: Path, folder: Path, locate: Locate
) -> Mapping[str, Heard]:
    """The analyses of a timeline's sounds by their names, if anything follows them; those that are
    known are not made again.

    Args:
        store: of the root.
        folder: of the run.

    Raises:
        ConfigError: a file holds no sound, or librosa is needed and not there.
    """
    found: dict[str, Heard] = {}
    for name, file in (config.timeline.audio or {}).items():
        where = locate(f"timeline.audio.{name}" if name else "timeline.audio")
        try:
            digest = digest_of_sound(file)
        except EncodeError as error:
            what = str(error).removeprefix("output.audio: ")
            here = "" if file.is_absolute() else "; it is looked for in the current folder"
            raise ConfigError([Mistake(where, what + here)]) from None
        if needs_hearing(config.timeline):
            found[name] = known(digest, store, folder) or new(file, digest, where)
        else:
            check_sound(file, where)
    return found


def check_sound(file: Path, where: str) -> None:
    """Refuse a file that holds no sound."""
    try:
        _, wrong = measured(file)
    except EncodeError:  # there is no ffmpeg, which encoding says with its own exit code
        return
    if wrong:
        raise ConfigError([Mistake(where, wrong)])


def known(digest: str, store: Path, folder: Path) -> Heard | None:
    """An analysis that an earlier run made."""
    places = (store / SOUNDS / f"{digest}.json", folder / AUDIO_NAME)
    return next((read for place in places if (read := kept(place).get(digest))), None)


def new(file: Path, digest: str, where: str) -> Heard:
    """A new analysis."""
    check_sound(file, where)
    return analysed(file, digest)


def remember_sounds(store: Path, sounds: Mapping[str, Heard]) -> None:
    """Keep analyses for later runs; a place that can't be written only costs time at the next
    start."""
    for heard in sounds.values():
        place = store / SOUNDS / f"{heard.digest}.json"
        if heard.digest not in kept(place):
            with suppress(OSError, DiskFull):
                make_folder(place.parent)
                write_whole(place, content_of([heard]))


def write_analyses(run: Session) -> None:
    """Write the analyses of a film's sounds into its folder, from where they go to machines without
    librosa. That of an earlier film stays: it may be wanted again."""
    sounds, path = run.film.timeline.clock.sounds, run.film.folder / AUDIO_NAME
    if sounds:
        make_way(path, run.events.warn)
        write_if_changed(path, content_of(sounds.values()))
