"""A run that is refused after it began leaves what it found: exit code 2 says nothing was written.

Most mistakes are found before a run touches its folder. That a model can't be had or loaded shows
later: then the small files that the run wrote are put back as they were, and new folders are gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from render.files.atomic import read_regular, write_if_changed
from render.files.lock import alone
from render.files.ownership import unsaid
from render.plan.plan_json import NEXT
from render.plan.plan_json import write as write_plan
from render.store.judge import names_in

NAMES = (
    "config.yaml", "paced.yaml", "plan.json", "plan.jsonl", "plan.next.json", "plan.next.jsonl",
    "run.json",
)  # fmt: skip
FRESH_NAMES = ("render.log", ".lock")  # kept where they were before: a log goes on
MOST_BYTES = 1 << 30  # of a file that is kept in memory; the frames of a plan of a million


class Before:
    """The small files of a run's folder as they are before the run writes any.

    Args:
        root, folder, store: the folder of all runs, the run's, and that of stored frames.
    """

    def __init__(self, root: Path, folder: Path, store: Path) -> None:
        self.folder = folder
        around = [folder / "frames", folder, *between(root, folder), store, root]
        self.new_folders = [path for path in around if not path.exists()]
        self.frames = readable_names(folder / "frames")
        self.there = readable_names(folder)
        self.files = dict(self.contents())

    def contents(self) -> Iterator[tuple[Path, bytes]]:
        """Each small file that is there and can be read."""
        for name in NAMES:
            with suppress(OSError):
                yield self.folder / name, read_regular(self.folder / name, MOST_BYTES)

    def put_back(self) -> None:
        """Undo what was written since, unless frames were rendered or another run is there."""
        if not self.folder.is_dir():
            return
        with alone(self.folder) as mine:
            if not mine or readable_names(self.folder / "frames") - self.frames:
                return
            self.write_again()
            for path in sorted(self.folder.iterdir()):  # a plan before the file of its frames
                new = path.name not in self.there
                if new and (path.name in (*NAMES, *FRESH_NAMES) or path.name.startswith(".lock-")):
                    path.unlink()
        for folder in self.new_folders:
            with suppress(OSError):  # there is more in it
                folder.rmdir()

    def write_again(self) -> None:
        """Put back what has changed; the files of one plan together."""
        files = {path.name: content for path, content in self.files.items()}
        for stem in ("plan", NEXT):
            names = (f"{stem}.json", f"{stem}.jsonl")
            if all(name in files for name in names):
                write_plan(self.folder, {name: files.pop(name) for name in names}, unsaid)
        for name, content in files.items():
            write_if_changed(self.folder / name, content)


def between(root: Path, folder: Path) -> list[Path]:
    """The folders below the root that a run's folder lies in, the deepest first."""
    return [path for path in folder.parents if root in path.parents]


def readable_names(folder: Path) -> set[str]:
    """The names in a folder; none if it can't be read."""
    with suppress(OSError):
        return names_in(folder)
    return set()
