"""The gallery of a sweep, written when it begins and whenever one of its films is there."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from render.cli.sweep import SweepJob, as_read
from render.errors import RenderError
from render.page.sweep_page import films_before, write_sweep_page
from render.run.difference import config_of, leaves
from render.run.sweep_gallery import film_of
from render.text import printable

MODES = ("render", "stitch")
LEFT_OUT = ("root", "name", "mode", "report", "page", "shard")


class Gallery:
    """Writes the gallery of a sweep's jobs. The films are there without it, so an error is a
    warning.

    Attributes:
        page: the gallery, once it is there.
    """

    def __init__(self, jobs: Sequence[SweepJob]) -> None:
        self.jobs = [job for job in jobs if wants_page(job)]
        names = {str(job.composed.get("name")) for job in self.jobs}
        self.root = root = Path(str(self.jobs[0].composed.get("root"))) if self.jobs else Path()
        self.name = names.pop() if len(names) == 1 else "sweep"
        self.folder = root / self.name if len({job.folder.parent for job in jobs}) == 1 else root
        self.films: dict[str, dict[str, Any]] = {}
        self.page: Path | None = None

    def begin(self) -> None:
        """Begin with what is there of these films, and of those of earlier sweeps."""
        if len(self.jobs) < 2:
            return
        for film in films_before(self.folder):
            folder = self.folder / os.path.normpath(film["folder"])
            if (folder / "plan.json").is_file():
                with_errors_said(partial(self.take_again, folder, film))
        for job in self.jobs:
            self.look_at(job)

    def look_at(self, job: SweepJob) -> None:
        """Take in what there is of a job's film now."""
        if len(self.jobs) < 2 or not wants_page(job):
            return
        typed = {key: value for key, value in job.overrides.items() if key not in LEFT_OUT}
        values = {key: as_read(value) for key, value in typed.items()}
        with_errors_said(lambda: self.take(film_of(job.folder, self.folder, values, typed)))

    def take_again(self, folder: Path, film: Mapping[str, Any]) -> None:
        """Take in what there is now of a film of an earlier sweep."""
        kept = {key: film[key] for key in ("path", "values", "overrides")}
        self.take({**film_of(folder, self.folder, film["values"]), **kept})

    def take(self, film: dict[str, Any]) -> None:
        """Put a film in the place of what was known of it."""
        self.films[os.path.normpath(film["folder"])] = film

    def write(self, over: bool = False) -> None:
        """Write the gallery.

        Args:
            over: whether no more films are to come.
        """
        there = any(film["strip"] for film in self.films.values())
        if len(self.jobs) >= 2 and there:
            films = [self.with_defaults(film) for film in self.films.values()]

            def written() -> None:
                self.page = write_sweep_page(self.folder, self.name, films, over, warn)

            with_errors_said(written)

    def with_defaults(self, film: dict[str, Any]) -> dict[str, Any]:
        """A film with its values of all keys that any film's overrides have."""
        keys = dict.fromkeys(key for each in self.films.values() for key in each["values"])
        if all(key in film["values"] for key in keys):
            return film
        usual = dict(leaves(config_of(self.folder / film["folder"])))
        found = {key: film["values"].get(key, as_value(usual.get(key))) for key in keys}
        return {**film, "values": found}

    def say_where(self) -> None:
        """Say where the gallery is, and what may come next, as lines of the reporters do."""
        if {str(job.composed.get("report")) for job in self.jobs} <= {"json", "none"}:
            return
        usual = self.root == Path("outputs") and self.root != self.folder
        shown = self.folder.relative_to(self.root) if usual else self.folder
        name = shlex.quote(os.fspath(shown))
        print(f"gallery  {self.page}")
        print(f"   next  render show {name}: mark favourites, and promote them")


def wants_page(job: SweepJob) -> bool:
    """Whether a job makes a film, with a page."""
    return job.composed.get("mode") in MODES and job.composed.get("page") is not False


def as_value(value: object) -> str:
    """A value of a config as an override has it."""
    return "null" if value is None else str(value)


def with_errors_said(do: Any) -> None:
    """Do something for the gallery; an error is a line."""
    try:
        do()
    except (RenderError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        warn(f"the gallery could not be written: {said or error}")


def warn(line: str) -> None:
    """Say a line."""
    print(f"render: {printable(line)}", file=sys.stderr)
