"""The runs under a root, as their folders say: how much of each is there, and since when."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from render.files.atomic import HOST
from render.files.lock import LOCK_NAME
from render.files.ownership import is_ours, read_head
from render.files.received_json import parsed
from render.report.run_record import read_run_json, videos_made
from render.store.judge import names_in

DEEPEST = 2  # folders under a root in which runs are: their name, and a sweep's overrides
FRAME = re.compile(r"frame_\d{6,}\.png")


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder.

    Attributes:
        frames, planned: frames that it shows, and those of its plan.
        size: bytes of its frames and videos; frames are shared among runs.
        changed_s: when it was last at work, in seconds since 1970.
        at_work: whether a run is at work in it now.
        videos: its videos, the newest first.
    """

    folder: Path
    frames: int
    planned: int
    size: int
    changed_s: float
    at_work: bool
    videos: tuple[str, ...]

    @property
    def state(self) -> str:
        """How much of it is there, in words."""
        if self.at_work:
            return f"at work, {self.frames:,} of {self.planned:,} frames"
        if self.frames < self.planned:
            return f"{self.frames:,} of {self.planned:,} frames"
        return "complete" if self.videos else "complete, no video"


def runs_under(root: Path) -> list[Run]:
    """The runs under a root, the newest first."""
    found = [run_in(folder) for folder in folders_under(root, DEEPEST)]
    return sorted((run for run in found if run), key=lambda run: -run.changed_s)


def folders_under(root: Path, deepest: int) -> Iterator[Path]:
    """Folders in which a run may have been; none behind a link, none that is hidden."""
    with suppress(OSError):
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield Path(entry.path)
                if deepest > 1 and entry.name != "frames":
                    yield from folders_under(Path(entry.path), deepest - 1)


def run_in(folder: Path) -> Run | None:
    """The run of a folder; None if it has no plan that render wrote."""
    plan = folder / "plan.json"
    try:
        found = re.search(rb'^ "count": (\d{1,9}),$', read_head(plan), re.M)
        if not found or not is_ours(plan):
            return None
        names = sorted(filter(FRAME.fullmatch, names_in(folder / "frames")))
        made = videos_made(read_run_json(folder / "run.json"))
        times = {name: time_of(folder / name) for name in made}
        videos = sorted((name for name in times if times[name]), key=lambda name: -times[name])
        files = [*(folder / "frames" / name for name in names), *(folder / v for v in videos)]
        changed = max(time_of(folder / name) for name in ("plan.json", "run.json"))
        planned = int(found[1])
        return Run(
            *(folder, min(len(names), planned), planned, sum(map(size_of, files)), changed),
            *(at_work(folder), tuple(videos)),
        )
    except OSError:
        return None


def at_work(folder: Path) -> bool:
    """Whether a run of this machine is at work in a folder, as far as its lock file says. The lock
    itself is not tried: a run that begins in that moment would find it taken."""
    lock = folder / LOCK_NAME
    try:
        signature = parsed(read_head(lock))
    except (OSError, ValueError):
        return False
    if not isinstance(signature, dict) or signature.get("host") != HOST:
        return False
    try:
        os.kill(int(signature["pid"]), 0)
    except PermissionError:  # it lives, and is another user's
        pass
    except (OSError, KeyError, TypeError, ValueError, OverflowError):
        return False
    return time_of(lock) > time_of(folder / "run.json")


def time_of(file: Path) -> float:
    """When a file was changed, in seconds since 1970; 0 if it is not there."""
    with suppress(OSError):
        return file.lstat().st_mtime
    return 0.0


def size_of(file: Path) -> int:
    """Bytes of a file; 0 if it is not there."""
    with suppress(OSError):
        return file.lstat().st_size
    return 0
