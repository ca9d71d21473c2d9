"""The recipe of a film: all that it takes to render it again, for whoever gets the film alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import render
from render.models.identity import file_hash
from render.report.run_record import versions
from render.run.session import Session

LEFT_OUT = ("root", "report", "mode", "prune", "shard", "frames", "at", "input", "measure", "page")
"""Keys of how a run is done and where, which are no part of the film."""


def tags(run: Session) -> dict[str, str]:
    """The tags of a film's file, which everyone may read who gets it."""
    film = run.film
    recipe = {
        "plan": film.plan.digest,
        "model": film.plan.recipe.model,
        **({"sound": file_hash(audio, {})} if (audio := film.output.audio) else {}),
        "versions": versions(),
        "config": shared_config(run),
    }
    return {
        "title": film.config.name,
        "comment": json.dumps(recipe, ensure_ascii=False, default=str),
        "encoded_by": f"render {render.__version__}",
    }


def shared_config(run: Session) -> dict[str, Any]:
    """The config as a person wrote it, with the name alone of every file: folders name people."""
    film = run.film
    files = {last_name(path) for path in paths_in(film.config.model_dump())}
    config = {key: value for key, value in run.composed.items() if key not in LEFT_OUT}
    return without_folders({**config, "name": film.config.name}, files)  # type: ignore[no-any-return]


def paths_in(value: Any) -> Iterator[PurePath]:
    """Every path of nested data."""
    if isinstance(value, PurePath):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from paths_in(item)


def without_folders(value: Any, files: set[str]) -> Any:
    """Nested data in which each text that leads to one of these files is its name alone."""
    if isinstance(value, dict):
        return {key: without_folders(item, files) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item, files) for item in value]
    if isinstance(value, str | PurePath):
        name = last_name(value)
        return name if name in files else value
    return value


def last_name(path: str | PurePath) -> str:
    """The name at a path's end, whatever dots are in it."""
    return os.path.basename(os.path.normpath(path))
