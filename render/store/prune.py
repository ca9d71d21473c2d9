"""Stored frames that no run needs any longer, and their removal."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from render.errors import RenderError
from render.files.atomic import is_there, sync_folder
from render.files.ownership import is_ours
from render.plan.plan_json import NEXT
from render.store.path_latents import SUFFIX
from render.store.plan_digests import digests_in
from render.store.store import DIGEST, STORE_NAME
from render.text import one_line

MOST_FOLDERS = 200_000  # under a root; a link may lead to a whole disk
STORED = (".png", SUFFIX)
"""Suffixes of what the store holds under digests."""
SHOWING = ("frames", "shown")
"""Folders of a run with nothing but links to what is stored."""
PLAN_NAMES = ("plan.json", f"{NEXT}.json")


def used_digests(root: Path) -> set[str]:
    """Digests that any run under `root` names in its plan, or `mode=plan` in the next one.

    Raises:
        RenderError: a plan or a folder can't be read; who knows which frames it needs?
    """
    used: set[str] = set()
    for plan in plans_under(root):
        try:
            used.update(digests_in(plan))
        except (OSError, ValueError):
            raise unread(plan) from None
    return used


def plans_under(root: Path) -> Iterator[Path]:
    """Every plan of a run under `root`, which may itself not be there. A run's folder, or one with
    many of them, may have been moved to another disk, with a link to it left here: its plans count
    as well.

    Raises:
        RenderError: a folder can't be read, or a link to one leads nowhere now.
    """
    left = [root] if root.is_dir() else []
    seen: set[tuple[int, int]] = set()
    while left:
        folder = left.pop()
        try:
            status = folder.stat()
            if (place := (status.st_dev, status.st_ino)) in seen:  # links may lead in a circle
                continue
            seen.add(place)
            with os.scandir(folder) as listing:
                entries = list(listing)
            # os.walk takes what can't be looked at for a file, and passes over links.
            below = [e for e in entries if e.name != STORE_NAME and e.is_dir()]
        except OSError as error:
            raise unread(Path(error.filename or folder)) from error
        of_frames = folder.name in SHOWING and folder.parent != root
        if not of_frames and (lost := [e for e in entries if is_lost(e)]):
            raise unread(Path(lost[0].path))
        if len(seen) > MOST_FOLDERS:
            raise too_many(folder)
        left += [Path(entry.path) for entry in below]
        names = {entry.name for entry in entries}
        yield from (folder / name for name in PLAN_NAMES if name in names)


def too_many(folder: Path) -> RenderError:
    """The error for a root with more folders than films can have."""
    what = f"more than {MOST_FOLDERS:,} folders, as {folder}, so nothing is pruned"
    return RenderError(f"the root holds or links to {what}; remove the link that leads there")


def is_lost(entry: os.DirEntry[str]) -> bool:
    """Whether this is a link to nothing that is there, as of a run's folder on a disk that is not
    mounted now."""
    hidden = entry.name.startswith(".")  # no run's name; some editors make such links
    return entry.is_symlink() and not hidden and not os.path.exists(entry.path)


def unread(path: Path) -> RenderError:
    """The error for a file that a prune has to read and can't."""
    return RenderError(
        f"{one_line(str(path))} can't be read, so nothing is pruned; remove or mend it"
    )


def unused(store: Path, used: set[str]) -> list[Path]:
    """Stored frames and nodes of paths that no plan names and no run's folder shows."""
    files = (file for kind in STORED for file in store.glob(f"??/*{kind}"))
    named = (file for file in files if DIGEST.fullmatch(file.stem))
    return sorted(file for file in still_unused(named, used) if is_ours(file))


def still_unused(files: Iterable[Path], used: set[str]) -> list[Path]:
    """Those that no plan names now, and that have no second name in a run's folder."""
    return [
        file
        for file in files
        if file.stem not in used
        and is_there(file)  # another prune may have come while the question stood
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
