"""The gallery of a sweep: sweep.html, the same for every sweep, and sweep.js with its films."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from render.files.atomic import MEMORY_BYTES, opened_regular, write_if_changed
from render.files.ownership import SWEEP_MARK, make_way
from render.files.received_json import parsed
from render.page.templates import as_script, template

PAGE, DATA, FUNCTION = "sweep.html", "sweep.js", "renderSweep"
STRIP = "strip.jpg"
"""The thumbnails of a film, in its folder."""
TEXTS = ("folder", "path", "overrides")
NUMBERS = ("count", "seconds", "ratio")


def write_sweep_page(
    folder: Path,
    name: str,
    films: Sequence[Mapping[str, Any]],
    over: bool,
    warn: Callable[[str], None],
) -> Path:
    """Write the gallery of a sweep; what is not render's there makes way.

    Args:
        films: as `film_of` of `render.run.sweep_gallery` makes them.
        over: whether no more films are to come.

    Raises:
        OSError: it can't be written.
    """
    facts = {"name": name, "state": "over" if over else "rendering", "data": DATA,
             "axes": axes_of(films), "films": films}  # fmt: skip
    page = template("sweep.html", "sweep.js", mark=SWEEP_MARK, data=DATA)
    for file, content in ((DATA, as_script(FUNCTION, facts)), (PAGE, page.encode())):
        make_way(folder / file, warn)
        write_if_changed(folder / file, content)
    return folder / PAGE


def axes_of(films: Sequence[Mapping[str, Any]]) -> list[str]:
    """The overrides in which films differ, in their order."""
    keys = dict.fromkeys(key for film in films for key in film["values"])
    return [key for key in keys if len({film["values"].get(key) for film in films}) > 1]


def films_before(folder: Path) -> list[dict[str, Any]]:
    """The films of the gallery that is there; none if there is none, or another file."""
    try:
        with opened_regular(folder / DATA) as stream:
            text = stream.read(MEMORY_BYTES).decode().strip()
        facts = parsed(text.removeprefix(f"{FUNCTION}(").removesuffix(")"))
    except (OSError, ValueError):
        return []
    films = facts.get("films") if isinstance(facts, dict) else None
    return [film for film in films if is_film(film)] if isinstance(films, list) else []


def is_film(film: object) -> bool:
    """Whether this is a film as a gallery has it; the file may come from anyone."""
    if not isinstance(film, dict):
        return False
    values, strip, folder = film.get("values"), film.get("strip"), str(film.get("folder"))
    return (
        all(isinstance(film.get(key), str) for key in TEXTS)
        and all(isinstance(film.get(key), int | float) for key in NUMBERS)
        and isinstance(values, dict)
        and all(isinstance(value, str) for value in values.values())
        and not (os.path.isabs(folder) or ".." in Path(folder).parts)
        and (strip is None or is_strip(strip))
    )


def is_strip(strip: object) -> bool:
    """Whether this is what `film_of` writes of a film's thumbnails."""
    return (
        isinstance(strip, dict)
        and strip.get("file") == STRIP
        and isinstance(strip.get("count"), int)
    )
