"""JSON schemas of the files and lines that programs read, and of timelines, for editors."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

NAMES = ("timeline", "plan", "run", "events")


def schema_file(name: str) -> Path:
    """The file of a schema, one of `NAMES`."""
    return Path(str(files("render.schemas").joinpath(f"{name}.json")))
