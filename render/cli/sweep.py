"""A sweep: all of its jobs are known before the first begins.

So no two of them share a folder, each is called by the values that are swept and by no others, and
jobs of one model come one after the other.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from render.cli.config_folders import job_folder, known_choices
from render.errors import ConfigError, Locate, Mistake
from render.plan.plan_json import shown_film
from render.text import cut_where_alike, differing, one_line

OF_FRAMES = ("output.fps", "output.rendered_fps", "output.width", "output.height")
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


def as_read(value: str) -> str:
    """A value without the backslashes that Hydra's grammar wants in a text without quotes."""
    return value if value[:1] in ("'", '"') else re.sub(r"\\(.)", r"\1", value)


def file_labels(files: Mapping[str, Path]) -> dict[str, str]:
    """Timeline files by their choices: a name that is the file's own stays, and of others the
    shortest end of the path that no other file has."""
    paths = {choice: Path(os.path.abspath(file)) for choice, file in files.items()}
    stems = Counter(path.stem for path in paths.values())
    called = {}
    for choice, path in paths.items():
        if choice == path.stem and stems[path.stem] == 1:
            continue
        others = [other.parts for other in paths.values() if other != path]
        ends = (path.parts[-length:] for length in range(1, len(path.parts)))
        unique = (end for end in ends if all(part[-len(end) :] != end for part in others))
        called[choice] = str(Path(*next(unique, path.parts)))
    return called


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


def labels(jobs: Sequence[SweepJob], files: Mapping[str, Path] | None = None) -> list[str]:
    """Each job by its number and the values that not all jobs share: `1/4 guidance=3`.

    Args:
        files: timeline files by the choices that stand for them.
    """
    keys = dict.fromkeys(key for job in jobs for key in job.overrides)
    values = {key: [job.overrides.get(key) for job in jobs] for key in keys}
    swept = [key for key in keys if len(set(values[key])) > 1]
    if "timeline" in swept:
        called = file_labels(files or {})
        values["timeline"] = [each and called.get(each, each) for each in values["timeline"]]
    columns = [short_values(values[key]) for key in swept]
    names = [key.rpartition(".")[2] for key in swept]
    short = [n if names.count(n) == 1 else k for k, n in zip(swept, names, strict=True)]
    found = []
    for number, row in enumerate(zip(*columns, strict=True) if columns else [()] * len(jobs), 1):
        pairs = [f"{name}={v}" for name, v in zip(short, row, strict=True) if v is not None]
        found.append(f"{number}/{len(jobs)} {', '.join(pairs)}".rstrip())
    return found


def short_values(values: Sequence[str | None]) -> list[str | None]:
    """Swept values, long ones cut where they are alike; None where a job has none."""
    lines = [None if value is None else one_line(as_read(value)) for value in values]
    differs = differing(line for line in lines if line is not None)
    return [line and cut_where_alike(line, differs[line], LONGEST_VALUE) for line in lines]


def film_of(job: SweepJob) -> str:
    """The digest of a job's film; empty if its config has mistakes, which its run reports."""
    from render.api import Film

    try:
        return Film(job.composed, job.variant, job.locate).resolved.plan.digest
    except ConfigError:
        return ""


def at_their_frames(
    jobs: Sequence[SweepJob], film_of: Callable[[SweepJob], str] = film_of
) -> list[SweepJob]:
    """The jobs of a sweep that only stitches or measures, in the folders where their frames were
    rendered, whatever the video that all of them are to make; any other sweep's as they are."""
    if any(job.composed.get("mode") not in ("stitch", "measure") for job in jobs):
        return list(jobs)
    shared = [
        key
        for key in dict.fromkeys(key for job in jobs for key in job.overrides)
        if of_the_video(key) and len({job.overrides.get(key) for job in jobs}) == 1
    ]
    return [replace(job, variant=rendered_variant(job, shared, film_of(job))) for job in jobs]


def of_the_video(key: str) -> bool:
    """Whether a key changes the video alone, and none of its frames."""
    return key == "output" or (key.startswith("output.") and key not in OF_FRAMES)


def rendered_variant(job: SweepJob, left_out: Sequence[str], film: str) -> str:
    """The folder under the run's that shows a job's film, with the video that is asked for or with
    another. Where none does, that of the frames alone, unless another film is in it.

    Args:
        left_out: overrides that only change the video.
        film: the film's digest.
    """
    kept = [f"{key}={value}" for key, value in job.overrides.items() if key not in left_out]
    name = str(job.composed.get("name"))
    made = [*kept, *(f"{key}={job.overrides[key]}" for key in left_out)]
    others = ([*kept, f"output={other}"] for other in known_choices("output"))
    own, alone, *rest = (job_folder(each, name) for each in (made, kept, *others))
    run = job.folder.parent
    shown = {each: shown_film(run / each) for each in (own, alone, *rest)}
    of_this_film = (each for each, there in shown.items() if there and there.digest == film)
    return next(of_this_film, alone if shown[alone] is None else own)


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
