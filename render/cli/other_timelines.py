"""A timeline by a file of another tool, read where it lies: `render +timeline=settings.txt`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from render.cli.chosen_timeline import is_file_name, plain_name
from render.config.timeline_file import Document, document_of, read_document
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
    """Overrides with the settings before them that the file of another tool brings, if the one
    timeline of a command is such a file. What a person says beside it wins.

    Args:
        files: timeline files by the choice that stands for each.
    """
    chosen = [one for one in overrides if re.match(r"\+*timeline=", one)]
    others = [file for file in files.values() if not is_file_name(file.name)]
    if len(chosen) != 1 or len(files) != 1 or not others:
        return list(overrides)
    said = {one.lstrip("+~").partition("=")[0] for one in overrides}
    _, found = imported(opened_source(others[0]))
    brought = [
        ("++" if "." in key else "") + setting(key, value)
        for key, value in found.settings.items()
        if key not in said and key.partition(".")[0] not in said
    ]
    return [chosen[0], *brought, *(one for one in overrides if one is not chosen[0])]
