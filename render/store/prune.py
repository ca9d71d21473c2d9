"""Stored frames that no run needs any longer, and their removal."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from render.errors import RenderError
from render.files.atomic import read_regular, sync_folder
from render.files.ownership import is_ours
from render.files.received_json import parsed
from render.plan.plan_json import NEXT
from render.store.store import DIGEST, MOST_BYTES, STORE_NAME

PLAN_NAMES = ("plan.json", f"{NEXT}.json")


def used_digests(root: Path) -> set[str]:
    """Digests that any run under `root` names in its plan, or `mode=plan` in the next one.

    Raises:
        RenderError: a plan or a folder can't be read; who knows which frames it needs?
    """
    used: set[str] = set()
    for plan in plans_under(root):
        used.update(digests_in(plan))
    return used


def plans_under(root: Path) -> Iterator[Path]:
    """Every plan of a run under `root`, which may itself not be there."""

    def closed(error: OSError) -> None:
        raise unread(Path(error.filename)) from error

    if not root.is_dir():
        return
    for folder, inside, files in os.walk(root, onerror=closed):
        inside[:] = [name for name in inside if name != STORE_NAME]
        yield from (Path(folder, name) for name in PLAN_NAMES if name in files)


def unread(path: Path) -> RenderError:
    """The error for what a prune would have to know."""
    return RenderError(f"{path} can't be read, so nothing is pruned; remove or mend it")


def digests_in(plan: Path) -> Iterator[str]:
    """The digests of one plan file; a plan that can't be read stops a prune, it is not skipped."""
    try:
        frames = parsed(read_regular(plan, MOST_BYTES))["frames"]  # type: ignore[index]
        if isinstance(frames, str):
            # Not splitlines: a prompt may hold a line separator of Unicode.
            lines = read_regular(plan.parent / Path(frames).name, MOST_BYTES).split(b"\n")
            frames = [parsed(line) for line in lines if line]
        yield from (str(frame["digest"]) for frame in frames)
    except (OSError, ValueError, KeyError, TypeError):
        raise unread(plan) from None


def unused(store: Path, used: set[str]) -> list[Path]:
    """Stored frames that no plan names and no run's folder shows."""
    named = (file for file in store.glob("??/*.png") if DIGEST.fullmatch(file.stem))
    return sorted(file for file in still_unused(named, used) if is_ours(file))


def still_unused(files: Iterable[Path], used: set[str]) -> list[Path]:
    """Those that no plan names now, and that have no second name in a run's folder."""
    return [
        file
        for file in files
        if file.stem not in used
        and stat.S_ISREG((status := file.lstat()).st_mode)
        and status.st_nlink == 1
    ]


def remove(files: Iterable[Path]) -> None:
    """Remove stored frames and make that durable."""
    folders = set()
    for file in files:
        file.unlink(missing_ok=True)
        folders.add(file.parent)
    for folder in sorted(folders):
        sync_folder(folder)
