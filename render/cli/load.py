"""`render.load`: a film declared by a program, composed as the command line does it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from render.api import Film
from render.cli.compose import compose
from render.config.timeline_file import Document
from render.errors import ConfigError, Mistake

Written = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def load(timeline: Written, *overrides: str) -> Film:
    """Declare a film, as `render TIMELINE OVERRIDES …` does on the command line.

    Args:
        timeline: a timeline's name (`"city"`), its file, a mapping of what such a file holds, or
            its keyframes alone, in a list. Or a whole config, as a run's config.yaml holds it.
        overrides: `"output.fps=24"`, `"model=sdxl"`, as on the command line.

    Raises:
        ConfigError: everything that is wrong, a line each.
    """
    if isinstance(timeline, Mapping) and "timeline" in timeline:
        if overrides:
            raise ConfigError([Mistake(overrides[0], "change the config itself, which is whole")])
        return Film(plain(timeline))
    named = os.fspath(timeline) if isinstance(timeline, os.PathLike) else timeline
    composed = compose(named if isinstance(named, str) else written(named), overrides)
    return Film(composed.config, locate=composed.locate)


def written(timeline: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Document:
    """A timeline that a program gives, as if a file held it."""
    given = timeline if isinstance(timeline, Mapping) else {"keyframes": timeline}
    content = {"name": "film", **plain(given)}
    if "defaults" in content:
        raise ConfigError([Mistake("timeline.defaults", "unknown key")])
    return Document(Path("timeline"), content, {})


def plain(value: Any) -> Any:
    """Nested data as YAML would give it: lists for tuples, texts for paths."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
