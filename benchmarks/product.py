"""The product's own path for the benchmarks: overrides as one types them, to a run and its record.

Nothing here imports torch until a film is rendered, so that a parent of measured processes stays
small.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import render
from render.cli.compose import compose
from render.config.timeline_file import Document
from render.engines.process_settings import applied
from render.run.film import ResolvedFilm
from render.run.kept_model import Models
from render.store.store import frame_path

Picture = npt.NDArray[np.uint8]
Composed = dict[str, Any]


def composed(
    overrides: Sequence[str], keyframes: Sequence[dict[str, Any]], root: Path, name: str
) -> Composed:
    """The config that the command line composes of these overrides, with a timeline of one's own.

    Raises:
        ConfigError: no such choice.
    """
    given = ["output=frames", f"root={root}", f"name={name}", *overrides]
    timeline = Document(Path(name), {"name": name, "keyframes": list(keyframes)}, {})
    return compose(timeline, given).config


def declared(content: Composed) -> ResolvedFilm:
    """The film, resolved but not rendered; raises ConfigError with everything that is wrong."""
    return render.Film(content).resolved


def rendered(content: Composed) -> dict[str, Any]:
    """Render what is missing, as the command does, and return its run.json; silent."""
    render.Film({**content, "report": "none"}).run(models=Models(applied))
    run_json: dict[str, Any] = json.loads((folder_of(content) / "run.json").read_text())
    return run_json


def folder_of(content: Composed) -> Path:
    """Where a run's files are."""
    return Path(content["root"]) / content["name"]


def pictures(film: ResolvedFilm) -> dict[float, Picture]:
    """The film's pictures by their time in seconds; one that is shown for longer, by its first."""
    found, before = {}, ""
    for frame in film.plan.frames:
        if frame.digest != before:
            with Image.open(frame_path(film.frames, frame.index)) as image:
                found[round(float(frame.time), 6)] = np.asarray(image.convert("RGB"))
        before = frame.digest
    return found


def machine(*libraries: str) -> Iterator[str]:
    """The machine and the versions of a measurement, a line each."""
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    yield f"{platform.platform()}, {os.cpu_count()} cores, load {load}"
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    yield f"Python {platform.python_version()}, {versions}"
