"""OpenTimelineIO (.otio), which editors read: the film as a clip, its keyframes as markers.

A time is a number of frames at the film's exact rate where it falls on a frame. One between two
frames has a whole multiple of that rate, the smallest at which it is a whole number: a beat at
15/32 s in a film of 12 pictures a second is 45 at a rate of 96.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

from render.exporters.optional import optional
from render.exporters.outline import Exporter, Mark, Outline

PICTURES = "render_pictures"
"""The key of the clip's media that are the single pictures."""
METADATA = "render"
VERSION = 1


def timeline_file(film: Outline) -> bytes:
    """The film as a timeline of OpenTimelineIO.

    Raises:
        ConfigError: opentimelineio is not installed.
    """
    otio = optional("opentimelineio")
    facts = {
        "version": VERSION,
        "fps": str(film.fps),
        "loop": film.loop,
        "open": film.open,
        "end": str(film.end),
    }
    timeline = otio.schema.Timeline(film.name, metadata={METADATA: facts})
    timeline.tracks.append(track(otio, film, otio.schema.TrackKind.Video, media(otio, film)))
    if film.sound is not None:
        sound = {otio.schema.Clip.DEFAULT_MEDIA_KEY: external(otio, film, film.sound.absolute())}
        timeline.tracks.append(track(otio, film, otio.schema.TrackKind.Audio, sound))
    timeline.tracks.markers.extend(marker(otio, film, mark) for mark in film.marks)
    text: str = otio.core.serialize_json_to_string(timeline, indent=2)
    return f"{text}\n".encode("utf-8", "replace")


def track(otio: Any, film: Outline, kind: str, references: dict[str, Any]) -> Any:
    """A track with one clip, which is as long as the film."""
    clip = otio.schema.Clip(film.name, source_range=whole(otio, film))
    clip.set_media_references(references, next(iter(references)))
    return otio.schema.Track(kind, [clip], kind=kind)


def media(otio: Any, film: Outline) -> dict[str, Any]:
    """The media of the film's clip by their keys, the one to show first."""
    pictures = otio.schema.ImageSequenceReference(
        target_url_base=f"{film.pictures.as_uri()}/",
        name_prefix="frame_",
        name_suffix=".png",
        start_frame=0,
        frame_step=1,
        rate=float(film.fps),
        frame_zero_padding=6,
        available_range=whole(otio, film),
    )
    if film.video is None:
        return {PICTURES: pictures}
    video = external(otio, film, film.video)
    return {otio.schema.Clip.DEFAULT_MEDIA_KEY: video, PICTURES: pictures}


def external(otio: Any, film: Outline, file: Path) -> Any:
    """A file as media, by its URL."""
    return otio.schema.ExternalReference(file.as_uri(), whole(otio, film))


def whole(otio: Any, film: Outline) -> Any:
    """The time of the whole film, in its pictures."""
    rate = float(film.fps)
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(film.count, rate)
    )


def marker(otio: Any, film: Outline, mark: Mark) -> Any:
    """A keyframe; one that holds is as long as its picture is there."""
    length = mark.until - mark.time if mark.ease == "hold" else Fraction(0)
    rate = common_rate(film.fps, mark.time, length)
    begin, duration = (
        otio.opentime.RationalTime(float(time * rate), float(rate)) for time in (mark.time, length)
    )
    return otio.schema.Marker(
        name=mark.prompt,
        marked_range=otio.opentime.TimeRange(begin, duration),
        comment=f"seed {mark.seed}",
        metadata={METADATA: facts_of(mark)},
    )


def common_rate(fps: Fraction, *times: Fraction) -> Fraction:
    """The smallest multiple of a rate at which all times are whole numbers."""
    return fps * lcm(*((time * fps).denominator for time in times))


def facts_of(mark: Mark) -> dict[str, Any]:
    """All that a keyframe says, as plain data. Seeds are texts, as they may be too large for
    the whole numbers of other programs; `name` shows whether somebody changed the marker's."""
    values = mark.values
    return {
        "name": mark.prompt,
        "at": str(mark.time),
        "ease": mark.ease,
        "pace": mark.pace if isinstance(mark.pace, str) else [list(pair) for pair in mark.pace],
        "prompts": [[text, weight] for text, weight in values.prompts],
        "seeds": [[str(seed), weight] for seed, weight in values.seeds],
        "guidance": values.guidance,
        "negatives": [[text, weight] for text, weight in values.negatives],
        "loras": [[name, weight] for name, weight in values.loras],
        "images": len(values.images),
        "strength": values.strength,
    }


OTIO = Exporter("a timeline of OpenTimelineIO", ".otio", timeline_file)
