"""The film's timeline as plain YAML with the pace that was measured, so that a person can read it,
change it, or render with it where nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import yaml

from render.files.atomic import is_there, write_if_changed
from render.files.ownership import PACED_MARK, is_ours, make_way
from render.run.film import ResolvedFilm
from render.run.session import Session
from render.timeline.pace import TimeMap
from render.timeline.timeline import seconds

PACED_NAME = "paced.yaml"
DIGITS = 6


def write_paced_timeline(run: Session) -> None:
    """Write `paced.yaml` into the run's folder, if segments of the film have a measured pace; one
    of an earlier film goes if they have not."""
    path = run.film.folder / PACED_NAME
    if not run.film.plan.paces:
        if is_there(path) and is_ours(path):
            path.unlink()
        return
    make_way(path, run.events.warn)
    write_if_changed(path, as_yaml(run.film, run.composed))


def as_yaml(film: ResolvedFilm, composed: Mapping[str, Any]) -> bytes:
    """The timeline as it was written, with a map in place of each `pace: even`."""
    timeline = deepcopy(dict(composed["timeline"]))
    if timeline.get("pace") == "even":
        del timeline["pace"]
    keyframes = timeline["keyframes"]
    for key, measured in measured_maps(film):
        keyframe = keyframes[int(key) if isinstance(keyframes, list) else key]
        keyframe["pace"] = written(measured)
    text: str = yaml.safe_dump(timeline, allow_unicode=True, sort_keys=False)
    return f"{PACED_MARK}{text}".encode()


def measured_maps(film: ResolvedFilm) -> Iterator[tuple[str, TimeMap]]:
    """The keys of keyframes from which a measured map leads on, with the map."""
    for key, keyframe in film.config.timeline.keyframes.items():
        at = seconds(keyframe.at, film.config.output.fps)
        if at in film.plan.paces:
            yield key, film.plan.paces[at]


def written(measured: TimeMap) -> dict[float, float]:
    """A map as a keyframe's `pace`: shares of the segment's time, and of the way from one picture
    to the other, without the ends."""
    pairs = zip(measured.lengths[1:-1], measured.places[1:-1], strict=True)
    inner = {round(float(time), DIGITS): round(float(place), DIGITS) for time, place in pairs}
    return inner or {0.5: 0.5}
