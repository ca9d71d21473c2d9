"""The film's timeline as plain YAML with the pace that was measured, so that a person can read it,
change it, or render with it where nothing is measured."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from render.files.atomic import is_there, read_regular, says, write_if_changed
from render.files.ownership import PACED_MARK, is_ours, make_way, set_aside
from render.run.film import ResolvedFilm
from render.run.session import Session
from render.timeline.pace import TimeMap

PACED_NAME = "paced.yaml"
SEAL = b"# sha256 of the lines below: "
DIGITS = 6


def write_paced_timeline(run: Session) -> None:
    """Write `paced.yaml` into the run's folder, if segments of the film have a measured pace; one
    of an earlier film goes if they have not. What a person changed in it is never lost, and the
    file that the film itself is read from stays as it is."""
    path = run.film.folder / PACED_NAME
    if is_there(path) and is_read_from(run.film, path):
        return
    content = as_yaml(run.film, run.composed) if run.film.plan.paces else b""
    if is_there(path) and is_ours(path) and was_edited(path) and not says(path, content):
        run.events.warn(f"{path} was changed by hand; it is now {set_aside(path).name}")
    if content:
        make_way(path, run.events.warn)
        write_if_changed(path, content)
    elif is_there(path) and is_ours(path):
        path.unlink()


def is_read_from(film: ResolvedFilm, path: Path) -> bool:
    """Whether the film's timeline was read from this file."""
    try:
        return bool(film.timeline_file) and os.path.samefile(film.timeline_file, path)
    except FileNotFoundError:  # the timeline's file is gone since
        return False


def was_edited(path: Path) -> bool:
    """Whether a `paced.yaml` is another than render wrote: its seal says what that was."""
    mark, _, sealed = read_regular(path).partition(b"\n")
    seal, _, text = sealed.partition(b"\n")
    return bool(mark) and seal != seal_of(text)


def seal_of(text: bytes) -> bytes:
    """The line above a text by which it is known to be as it was written."""
    return SEAL + hashlib.sha256(text).hexdigest().encode()


def as_yaml(film: ResolvedFilm, composed: Mapping[str, Any]) -> bytes:
    """The timeline as it was written, with a map in place of each `pace: even`. A segment in which
    the picture jumps keeps it, since a mapping does not say where."""
    timeline = deepcopy(dict(composed["timeline"]))
    if timeline.get("pace") == "even":
        del timeline["pace"]
    keyframes = timeline["keyframes"]
    for key, measured in measured_maps(film):
        keyframe = keyframes[int(key) if isinstance(keyframes, list) else key]
        keyframe["pace"] = "even" if measured.jumps else written(measured)
    text: str = yaml.safe_dump(timeline, allow_unicode=True, sort_keys=False)
    content = text.encode()
    return PACED_MARK.encode() + seal_of(content) + b"\n" + content


def measured_maps(film: ResolvedFilm) -> Iterator[tuple[str, TimeMap]]:
    """The keys of keyframes from which a measured map leads on, with the map."""
    clock = film.timeline.clock
    for key, keyframe in film.config.timeline.keyframes.items():
        at = clock.seconds(keyframe.at)
        if at in film.plan.paces:
            yield key, film.plan.paces[at]


def written(measured: TimeMap) -> dict[float, float]:
    """A map as a keyframe's `pace`: shares of the segment's time, and of the way from one picture
    to the other, without the ends."""
    pairs = zip(measured.lengths[1:-1], measured.places[1:-1], strict=True)
    inner = {round(float(time), DIGITS): round(float(place), DIGITS) for time, place in pairs}
    return inner or {0.5: 0.5}
