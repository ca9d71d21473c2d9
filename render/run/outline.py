"""A film's outline, as exporters take it."""

from __future__ import annotations

from render.exporters.outline import Mark, Outline
from render.plan.finish import shown_pictures
from render.run.film import ResolvedFilm
from render.timeline.spec import Keyframe
from render.video.chapters import Chapter, chapters_of
from render.video.codecs import CODECS
from render.video.names import usual_name


def outline_of(film: ResolvedFilm) -> Outline:
    """The outline of a film, rendered or not."""
    config, plan = film.config, film.plan
    fps = plan.finish.fps if plan.finish else plan.fps
    count = len(shown_pictures(plan))
    ends = [keyframe.time for keyframe in film.timeline.keyframes[1:]] + [count / fps]
    marks = tuple(
        Mark(
            keyframe.time,
            max(keyframe.time, end),
            keyframe.values,
            str(keyframe.ease),
            pace_of(keyframe),
        )
        for keyframe, end in zip(film.timeline.keyframes, ends, strict=True)
    )
    has_video = film.output.format in CODECS
    video = film.folder / usual_name(config.name, film.output, config.sampling)
    return Outline(
        name=config.name,
        fps=fps,
        count=count,
        size=film.shown_size,
        marks=marks,
        pictures=(film.shown if plan.finish else film.frames).absolute(),
        video=video.absolute() if has_video else None,
        sound=film.output.audio,
        loop=film.timeline.loop,
        open=film.timeline.open,
        end=film.timeline.duration,
    )


def pace_of(keyframe: Keyframe) -> str | tuple[tuple[float, float], ...]:
    """The pace of a keyframe as it was written."""
    if keyframe.even or keyframe.time_map is None:
        return "even" if keyframe.even else "time"
    pairs = zip(keyframe.time_map.lengths, keyframe.time_map.places, strict=True)
    return tuple(pairs)[1:-1]


def wanted_chapters(film: ResolvedFilm) -> tuple[Chapter, ...]:
    """The chapters of a film's video: one a keyframe; none unless they are asked for."""
    if not film.output.chapters:
        return ()
    spans = outline_of(film).spans()
    return tuple(chapters_of((begin, end, mark.prompt) for begin, end, mark in spans))
