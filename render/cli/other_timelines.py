"""A timeline by a file of another tool, read where it lies: `render +timeline=settings.txt`."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from render.cli.chosen_timeline import is_file_name, plain_name
from render.config.timeline_file import Document, document_of, read_document
from render.errors import ConfigError, Mistake
from render.importers.imported import Imported, imported
from render.importers.source import opened_source
from render.importers.timeline_text import setting, timeline_text


def as_document(found: Imported, name: str, file: Path) -> Document:
    """An imported timeline as its file would give it back, without places in it.

    Raises:
        ConfigError: no timeline's file can hold it.
    """
    text = timeline_text(found, name, file.name, "render")
    return Document(file, document_of(text, file).content, {})


def read_timeline(path: Path) -> Document:
    """A timeline's file, whichever tool it is of.

    Raises:
        ConfigError: it can't be read, or is no timeline.
    """
    if is_file_name(path.name):
        return read_document(path)
    _, found = imported(opened_source(path))
    return as_document(found, plain_name(path.stem), path)


def with_settings(overrides: Sequence[str], files: Mapping[str, Path]) -> list[str]:
    """Overrides with the settings that the file of another tool brings behind the choice of it.
    What a person says beside it wins.

    Args:
        files: timeline files by the choice that stands for each.

    Raises:
        ConfigError: a file can't be imported, or several of a sweep bring other settings each.
    """
    chosen = [place for place, one in enumerate(overrides) if re.match(r"\+*timeline=", one)]
    others = [file for file in files.values() if not is_file_name(file.name)]
    if len(chosen) != 1 or not others:
        return list(overrides)
    settings = [imported(opened_source(file))[1].settings for file in others]
    if any(each != settings[0] for each in settings) or (settings[0] and len(files) > len(others)):
        what = "each of these files brings settings of its own; write each with render import FILE"
        raise ConfigError([Mistake("timeline", f"{what}, and sweep over the timelines")])
    said = {one.lstrip("+~").partition("=")[0] for one in overrides}
    brought = [
        ("++" if "." in key else "") + setting(key, value)
        for key, value in settings[0].items()
        if key not in said and not replaced(key, said)
    ]
    return [*overrides[: chosen[0] + 1], *brought, *overrides[chosen[0] + 1 :]]


def replaced(key: str, said: Container[str]) -> bool:
    """Whether a setting goes with a choice that a person replaced: options of another scheduler."""
    group, _, name = key.partition(".")
    return group in said and group == "scheduler" and name != "steps"
