"""The store: every frame ever rendered under a root, by digest; and what a run's folder shows.

What this project did not write is never overwritten or deleted.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from render.errors import RenderError
from render.files.atomic import (
    is_regular,
    is_there,
    make_folder,
    read_regular,
    room_for,
    sync,
    sync_folder,
    write_whole,
)
from render.files.ownership import is_ours, make_way, read_head
from render.files.received_json import parsed
from render.files.temporary import kept_from_sweeps, scratch, sweep, temp_beside
from render.plan.frame_plan import PlannedFrame
from render.store.frame_png import DIGEST_KEY, Found, inspect, inspect_png

STORE_NAME = ".store"
NAMED_DIGEST = re.compile(DIGEST_KEY.encode() + rb"\0([0-9a-f]{64})")
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_BYTES = 1 << 31  # of the largest frame, and of a plan of a million
SPEC_FIELDS = {"prompts", "seeds", "guidance"}  # that every version has written
LARGEST_BYTES = 1 << 28  # of a frame of 8,192 × 8,192 pixels


def frame_path(frames: Path, index: int) -> Path:
    """frames/frame_000000.png …"""
    return frames / f"frame_{index:06d}.png"


def stored_path(store: Path, digest: str) -> Path:
    """.store/ab/abcd….png"""
    return store.joinpath(digest[:2], f"{digest}.png")


def same_file(one: Path, other: Path) -> bool:
    """Whether both names are links to one file."""
    try:
        a, b = one.lstat(), other.lstat()
    except OSError:
        return False
    return (a.st_ino, a.st_dev) == (b.st_ino, b.st_dev)


def commit(store: Path, frame: PlannedFrame, png: bytes, say: Callable[[str], None]) -> Path:
    """Write a finished picture under its digest, whole or not at all.

    Args:
        png: as `encoded` makes it.
        say: is called with a line for each file that was set aside because it is not ours.

    Raises:
        DiskFull: no room for it.
    """
    target = stored_path(store, frame.digest)
    with room_for(target, len(png)):
        make_folder(target.parent)
    make_way(target, say)
    write_whole(target, png)
    return target


def adopt(store: Path, frame: PlannedFrame, frames: Path, say: Callable[[str], None]) -> Path:
    """Link a proven frame of a run's folder into the store, from which someone removed it.

    Raises:
        RenderError: another frame has come under its name since it was looked at.
    """
    target, shown = stored_path(store, frame.digest), frame_path(frames, frame.index)
    make_folder(target.parent)
    with second_name(shown, target) as temp:
        if not same_file(target, temp) and not whole_frame(temp, frame.digest):
            raise RenderError(f"{shown} was changed just now; the same command goes on")
        make_way(target, say)
        temp.replace(target)
    return target


def take_in(store: Path, frames: Path, say: Callable[[str], None]) -> int:
    """Take every whole frame of a run's folder that the store lacks into it, whichever frame's name
    it has: another film's frames come over it now, and the folder's may be the only one. Returns
    how many."""
    shown = sorted(frames.glob("frame_*.png")) if frames.is_dir() else []
    return sum(taken_in(store, path, say) for path in shown)


def taken_in(store: Path, shown: Path, say: Callable[[str], None]) -> bool:
    """Whether a frame was the only whole one of its digest, and has a name in the store now."""
    if not is_regular(shown) or not (named := NAMED_DIGEST.search(read_head(shown))):
        return False
    digest = named[1].decode()
    target = stored_path(store, digest)
    if same_file(target, shown) or whole_frame(target, digest):
        return False
    make_folder(target.parent)
    with second_name(shown, target) as temp:
        # Not the shown name is looked at: another run may show another frame there any moment.
        if not carries_spec(whole_frame(temp, digest)):
            return False
        make_way(target, say)
        temp.replace(target)
    sync_folder(target.parent)
    return True


def whole_frame(path: Path, digest: str) -> Found | None:
    """A frame of this digest whose checksums are right, of whatever size; None if the file is
    none."""
    if not is_there(path) or not is_regular(path) or path.stat().st_size > LARGEST_BYTES:
        return None
    found = inspect_png(read_regular(path, LARGEST_BYTES))
    return found if found.whole and found.digest == digest else None


def carries_spec(found: Found | None) -> bool:
    """Whether a frame carries a spec as a run writes it. A file that only claims a digest must not
    get into the store, where other films would find it."""
    try:
        spec = parsed(found.spec or "") if found else None
    except ValueError:
        return False
    return isinstance(spec, dict) and spec.keys() >= SPEC_FIELDS


def show(store: Path, frame: PlannedFrame, frames: Path, say: Callable[[str], None]) -> None:
    """Link the frame into the run's folder; a file there that is not provably ours is set aside
    first."""
    shown = frame_path(frames, frame.index)
    make_way(shown, say)
    link(stored_path(store, frame.digest), shown)


def link(source: Path, target: Path) -> None:
    """A second name for a file, put in place atomically: a hard link, else a copy.

    It lasts once its folder is synced, which is for the caller to do after the last of many.
    """
    if not same_file(source, target):
        with second_name(source, target) as temp:
            temp.replace(target)


@contextmanager
def second_name(source: Path, target: Path) -> Iterator[Path]:
    """A temporary name beside the target for the source's file, or for a copy of it where there
    are no hard links; it is gone after the block, unless renamed in it."""
    temp = temp_beside(target)
    try:
        with kept_from_sweeps(source):
            try:
                os.link(source, temp)
            except OSError:  # another file system, or one without hard links
                with copied(source, target) as copy:
                    yield copy
            else:
                yield temp
    finally:
        temp.unlink(missing_ok=True)


@contextmanager
def copied(source: Path, target: Path) -> Iterator[Path]:
    """A synced copy of a file, under a temporary name beside the target."""
    content = read_regular(source, MOST_BYTES)
    with room_for(target, len(content)), scratch(target) as copy:
        copy.write_bytes(content)
        sync(copy)
        yield copy


def discard(stored: Path, shown: Iterable[Path], size: tuple[int, int]) -> None:
    """Remove a rendered frame that can't be decoded, under all its names: the next run renders it
    again."""
    for path in (stored, *shown):
        if is_there(path) and is_ours(path) and is_spoilt(path, size):
            path.unlink()


def is_spoilt(path: Path, size: tuple[int, int]) -> bool:
    """Whether a frame is not whole, or is one that Pillow, by which films are made, can't decode.

    Raises:
        OSError: it can't be read, so nobody knows.
    """
    if (found := inspect(path, size)) is None or found.flaw:
        return found is not None
    try:
        with Image.open(io.BytesIO(read_regular(path, MOST_BYTES)), formats=("PNG",)) as image:
            image.load()
            return image.size != size
    except Exception as error:  # as when it is looked at, Pillow raises many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return True


def drop_beyond(store: Path, frames: Path, count: int) -> int:
    """Remove shown frames behind the film's end that the store still has; returns how many."""
    dropped = 0
    for shown in frames.glob("frame_*.png") if frames.is_dir() else ():
        index = shown.stem.removeprefix("frame_")
        if index.isdecimal() and int(index) >= count and is_stored(store, shown):
            shown.unlink()
            dropped += 1
    return dropped


def is_stored(store: Path, shown: Path) -> bool:
    """Whether a shown frame is ours and the store has it too, whole: the folder's copy may be the
    only one."""
    if not is_ours(shown):
        return False
    found = inspect_png(read_regular(shown, MOST_BYTES))
    if not DIGEST.fullmatch(str(found.digest)):
        return False
    stored = stored_path(store, str(found.digest))
    if same_file(stored, shown):
        return True
    try:
        copy = inspect_png(read_regular(stored, MOST_BYTES))
    except OSError:
        return False
    return copy.whole and copy.digest == found.digest


def sweep_store(store: Path) -> int:
    """Remove temp files of killed runs from the whole store."""
    folders = [store, *store.iterdir()] if store.is_dir() else []
    return sum(sweep(folder) for folder in folders if folder.is_dir())
