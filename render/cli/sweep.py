"""A sweep: all of its jobs are known before the first begins.

So no two of them share a folder, each is called by the values that are swept and by no others, and
jobs of one model come one after the other.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from render.errors import ConfigError, Mistake
from render.text import cut_where_alike, differing, one_line

Locate = Callable[[str], str]

LONGEST_VALUE = 60  # characters of a swept value in a label


@dataclass(frozen=True, slots=True)
class SweepJob:
    """One job of a sweep: its overrides by key, its composed config, and its folder under the
    run's (`variant`)."""

    overrides: Mapping[str, str]
    composed: Mapping[str, Any]
    variant: str
    locate: Locate

    @property
    def folder(self) -> Path:
        """Where its run goes."""
        return Path(str(self.composed.get("root")), str(self.composed.get("name")), self.variant)


def values_of(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides as they were typed, `key=value`, by key."""
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def by_model(jobs: Sequence[SweepJob]) -> list[SweepJob]:
    """The jobs with those of one model and one device together, so that each is loaded once; else
    in their order."""
    places: dict[str, int] = {}
    for job in jobs:
        places.setdefault(model_of(job), len(places))
    return sorted(jobs, key=lambda job: places[model_of(job)])


def model_of(job: SweepJob) -> str:
    """The job's model and device, as written."""
    return repr((job.composed.get("model"), job.composed.get("compute")))


def labels(jobs: Sequence[SweepJob]) -> list[str]:
    """Each job by its number and the values that not all jobs share: `1/4 guidance=3`."""
    keys = dict.fromkeys(key for job in jobs for key in job.overrides)
    values = {key: [job.overrides.get(key) for job in jobs] for key in keys}
    swept = [key for key in keys if len(set(values[key])) > 1]
    columns = [short_values(values[key]) for key in swept]
    names = [key.rpartition(".")[2] for key in swept]
    called = [n if names.count(n) == 1 else k for k, n in zip(swept, names, strict=True)]
    found = []
    for number, row in enumerate(zip(*columns, strict=True) if columns else [()] * len(jobs), 1):
        pairs = [f"{name}={v}" for name, v in zip(called, row, strict=True) if v is not None]
        found.append(f"{number}/{len(jobs)} {', '.join(pairs)}".rstrip())
    return found


def short_values(values: Sequence[str | None]) -> list[str | None]:
    """Swept values, long ones cut where they are alike; None where a job has none."""
    lines = [None if value is None else one_line(value) for value in values]
    differs = differing(line for line in lines if line is not None)
    return [line and cut_where_alike(line, differs[line], LONGEST_VALUE) for line in lines]


def check_folders(jobs: Sequence[SweepJob]) -> None:
    """Refuse a sweep in which one job would write over another's film.

    Names that differ in their letters' case alone are one folder on many disks.

    Raises:
        ConfigError: two jobs share a folder; a line for each folder.
    """
    shared: dict[str, list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        path = unicodedata.normalize("NFC", os.path.realpath(job.folder))
        shared[path.casefold()].append(place)
    mistakes = [clash(jobs, places) for places in shared.values() if len(places) > 1]
    if mistakes:
        raise ConfigError(mistakes)


def clash(jobs: Sequence[SweepJob], places: Sequence[int]) -> Mistake:
    """The mistake of jobs that would share one folder."""
    numbers = ", ".join(str(place + 1) for place in places)
    one, other = (jobs[place] for place in places[:2])
    keys = [k for k in one.overrides if one.overrides[k] != other.overrides.get(k)]
    apart = f"apart in {', '.join(keys)} alone" if keys else "the same"
    folders = sorted({str(jobs[place].folder) for place in places})
    what = (
        f"jobs {numbers} of {len(jobs)} are {apart} and would write over one another in "
        f"{' and '.join(folders)}; sweep over name= too, or run them one by one"
    )
    return Mistake("sweep", what)
