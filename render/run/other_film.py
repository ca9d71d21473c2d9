"""Films of two timeline files under one name: `one/main.yaml` and `two/main.yaml` share a folder.

Each video's record says which file its timeline was read from, so that the film of another file is
kept and named. A file that is gone was moved or renamed, and its film is an earlier one of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from render.errors import Locate, Place
from render.plan.plan_json import shown_film
from render.report.run_record import known_content, read_run_json, videos_made
from render.run.film import ResolvedFilm
from render.video.names import usual_name


def timeline_file(locate: Locate) -> str:
    """The absolute path of the file that the keyframes stand in; empty if there is none."""
    place = locate("timeline.keyframes")
    return os.path.abspath(place.rpartition(":")[0]) if isinstance(place, Place) else ""


def other_timeline(film: ResolvedFilm, record: Mapping[str, Any]) -> str:
    """The timeline file of a recorded video, if it is still there and not the film's, which may be
    read from none; else an empty text."""
    written = str(record.get("timeline") or "")
    if not written or not os.path.isfile(written):
        return ""
    if not film.timeline_file:
        return written
    try:
        return "" if os.path.samefile(written, film.timeline_file) else written
    except OSError:
        return ""


def other_film_warnings(film: ResolvedFilm) -> Iterator[str]:
    """The warning of a video that would have to make way."""
    if film.output.format == "frames" or film.config.mode == "prune":
        return
    name = usual_name(film.config.name, film.output, film.config.sampling)
    try:
        record = videos_made(read_run_json(film.folder / "run.json")).get(name, {})
    except OSError:  # unknown just now; a run that needs it says so
        return
    shown = shown_film(film.folder)
    same_film = shown is not None and shown[1] == film.plan.digest
    video = film.folder / name
    other = other_timeline(film, record)
    if other and not same_film and known_content(video, record) is not None:
        yield (
            f"{video} is the film of {as_seen(other)}; a new video would rename it; "
            "name=NAME gives this film a folder of its own"
        )


def as_seen(path: str) -> str:
    """A path as a person would name it from here."""
    file, here = Path(path), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
