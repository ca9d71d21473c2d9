"""The page of a run, written when frames arrive and when the run is over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from render.errors import EncodeError, RenderError
from render.page.film_facts import film_facts, ranges
from render.page.run_page import PAGE, write_run_page
from render.report.events import Measured
from render.report.lines import finish_words
from render.report.measured_lines import pace_line
from render.report.run_record import read_run_json, videos_made
from render.run.film_recipe import shared_config
from render.run.finishing import finish_summary
from render.run.measuring import in_record
from render.run.session import Session
from render.text import duration, plural, size
from render.video.contact_sheet import shows_plan
from render.video.sound import loudness

SOUND_PARTS = 1200
EVERY_S, SHARE = 2.0, 0.02
"""A page is written again after so long, or longer: it may take this share of a run's time."""
MOST = 1e15
LEAST_S = 0.1  # of a phase that is worth a word
SHEET = "sheet.png"
BESIDE = (SHEET, "config.yaml", "paced.yaml", "plan.json", "run.json", "render.log")
"""Files of a run's folder that its page has links to."""


class RunPage:
    """Writes the page of one run. The film is there without it, so an error is a warning.

    Attributes:
        made: the page, once it is there.
    """

    def __init__(self, run: Session) -> None:
        self.run, self.film = run, run.film
        self.made: Path | None = None
        self.due_s = time.monotonic() + EVERY_S
        self.facts_of_film: dict[str, Any] = {}

    def goes_on(self, there: Iterable[int]) -> None:
        """Write the page of a run that goes on, if it was not written just before.

        Args:
            there: the frames that are stored.
        """
        if time.monotonic() < self.due_s:
            return
        began = time.monotonic()
        self.write(there, going_on=True)
        spent_s = time.monotonic() - began
        self.due_s = time.monotonic() + max(EVERY_S, spent_s / SHARE)

    def write(
        self, there: Iterable[int], measured: Measured | None = None, going_on: bool = False
    ) -> None:
        """Write the page.

        Args:
            there: the frames that are stored.
            measured: how smooth the film is, if that is known.
            going_on: whether more frames are about to come; else run.json says what was done.
        """
        if not self.film.config.page:
            return
        try:
            self.made = self.written(there, measured, going_on)
        except (RenderError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            self.run.events.warn(f"{self.film.folder / PAGE} could not be written: {said or error}")

    def written(
        self, there: Iterable[int], measured: Measured | None = None, going_on: bool = False
    ) -> Path:
        """The page, written with these facts (see `write`).

        Raises:
            RenderError, OSError: it can't be written.
        """
        folder = self.film.folder
        record = {} if going_on else read_run_json(folder / "run.json")
        facts = self.facts(there, measured, record, going_on)
        return write_run_page(folder, facts, self.run.events.warn)

    def facts(
        self,
        there: Iterable[int],
        measured: Measured | None,
        record: Mapping[str, Any],
        going_on: bool,
    ) -> dict[str, Any]:
        """All that the page shows."""
        film, videos = self.film, list(self.videos())
        self.facts_of_film = self.facts_of_film or film_facts(film.plan)
        again = videos[0]["name"] if videos else "config.yaml"
        return {
            "name": film.config.name,
            "state": "rendering" if going_on else "over",
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "film": self.facts_of_film,
            "there": ranges(there),
            "measure": measured and {**in_record(measured), "line": pace_line(measured.figures)},
            "sound": None if going_on else self.sound(),
            "videos": videos,
            "files": [
                {"name": name, "size": size(bytes_)}
                for name in BESIDE
                if (bytes_ := self.of(name)) and (name != SHEET or self.has_sheet())
            ],
            "config": yaml.safe_dump(shared_config(self.run), allow_unicode=True, sort_keys=False),
            "again": f"render from {again}",
            "run": list(self.rows(record)),
        }

    def sound(self) -> list[float] | None:
        """How loud the film's sound is, over its length; None without one that can be read."""
        audio, plan = self.film.output.audio, self.film.plan
        if audio is None:
            return None
        with suppress(EncodeError):
            return loudness(audio, float(len(plan.frames) / plan.fps), SOUND_PARTS)
        return None

    def videos(self) -> Iterator[dict[str, str]]:
        """The videos of this film that runs made, the newest first."""
        found, plan = (
            videos_made(read_run_json(self.film.folder / "run.json")),
            self.film.plan.digest,
        )
        made = {name: record for name, record in found.items() if record.get("plan") == plan}
        newest = sorted(made, key=lambda name: -int(made[name]["mtime_ns"]))
        for name in newest:
            if bytes_ := self.of(name):
                yield {"name": name, "size": size(bytes_)}

    def has_sheet(self) -> bool:
        """Whether the contact sheet is that of this film."""
        return shows_plan(self.film.folder / SHEET, self.film.plan.digest)

    def of(self, name: str) -> int:
        """The bytes of a file of the folder; 0 if there is none."""
        path = self.film.folder / name
        return path.stat().st_size if path.is_file() and not path.is_symlink() else 0

    def rows(self, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The lines about the run: each a name and a text."""
        film = self.film
        if frames := numbers(record.get("frames")):
            yield "frames", ", ".join(f"{count:,} {name}" for name, count in frames if count)
        if finish := finish_summary(film, 0):
            yield "shown", finish_words(finish)
        if rows := [count for name, count in numbers(record) if name == "rows" and count]:
            yield "work", plural(int(rows[0]), "denoiser row")
        if seconds := numbers(record.get("seconds")):
            spent = [f"{name} {duration(value)}" for name, value in seconds if value >= LEAST_S]
            if spent:
                yield "time", ", ".join(spent)
        yield "model", film.config.model.name
        yield "device", film.device
        for line in film.plan.warnings:
            if os.sep not in line:  # folders name people
                yield "note", line
        if isinstance(versions := record.get("versions"), dict):
            yield "versions", ", ".join(f"{name} {value}" for name, value in versions.items())
        yield "plan", film.plan.digest


def numbers(record: object) -> list[tuple[str, float]]:
    """The numbers of an object of run.json, which may come from anyone, by their names."""
    items = record.items() if isinstance(record, dict) else ()
    return [
        (str(name), value)
        for name, value in items
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST
    ]
