"""A quick look: where the frames are that were asked for by their numbers or by a time."""

from __future__ import annotations

from render.run.work import Work
from render.store.store import frame_path

LISTED = 5  # frames that are named


def say_where(work: Work) -> None:
    """Say where the frames of a run are that renders chosen ones."""
    film, events = work.film, work.run.events
    if film.config.frames is None and film.config.at is None:
        return
    frames = [verdict.frame for verdict in work.verdicts]
    for frame in frames[:LISTED]:
        path = frame_path(film.frames, frame.index)
        events.say(f"frame {frame.index} ({float(frame.time):.2f} s): {path}")
    if len(frames) > LISTED:
        events.say(f"and {len(frames) - LISTED:,} more in {film.frames}")
