"""Temporary files: beside their target, under names that nobody can guess, and held by a lock.

Whoever fills one holds a shared lock (flock) on it, which the system frees when the process ends,
however it ends. So a sweep may take any that nobody holds, whatever machine or container it came
from. Names, hosts and process numbers are no proof: two containers may have the same of each.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMP = re.compile(r"\..+\.render-[0-9a-f]{16}\.tmp", re.DOTALL)
PATIENCE_S = 1.0
TRIES = 100  # of a name that a sweep takes away before it is held


def temp_beside(target: Path) -> Path:
    """A free name beside the target that nobody can guess, so no link can wait there."""
    return target.with_name(f".{target.name}.render-{secrets.token_hex(8)}.tmp")


def take(descriptor: int, kind: int) -> bool:
    """Take a lock without waiting; False if another holds it.

    Raises:
        OSError: this file system has no such locks.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """An empty file beside the target that is gone after the block, unless renamed in it."""
    temp = temp_beside(target)
    try:
        descriptor = made(temp)
        try:
            yield temp
        finally:
            os.close(descriptor)
    finally:
        temp.unlink(missing_ok=True)


def made(temp: Path) -> int:
    """A new file that is held, as a descriptor."""
    for _ in range(TRIES):
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(temp, flags, 0o666)
        hold(descriptor)
        if is_at(descriptor, temp):
            return descriptor
        os.close(descriptor)  # a sweep came before the lock
    raise FileNotFoundError(f"{temp} is taken away as soon as it is made")


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside the target that is gone after the block, unless renamed in it."""
    temp = temp_beside(target)
    temp.mkdir()
    try:
        with kept_from_sweeps(temp):
            yield temp
    finally:
        shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def kept_from_sweeps(path: Path) -> Iterator[None]:
    """Keep sweeps from every temporary name of a file or folder inside of the block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        hold(descriptor)
        yield
    finally:
        os.close(descriptor)


def hold(descriptor: int) -> None:
    """Share the lock with all who use the file; a sweep holds it alone, but only for a moment.

    Whoever holds it alone for longer is another program, and keeps sweeps away as well.
    """
    until = time.monotonic() + PATIENCE_S
    with suppress(OSError):  # where there are no locks, nobody sweeps either
        while not take(descriptor, fcntl.LOCK_SH) and time.monotonic() < until:
            time.sleep(0.01)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether a name still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def sweep(folder: Path) -> int:
    """Removes temporary files that nobody holds any more; returns how many."""
    return sum(
        removed(Path(entry.path), os.O_RDWR)
        for entry in temporary(folder)
        if entry.is_file(follow_symlinks=False)
    )


def sweep_folders(folder: Path) -> None:
    """Removes temporary folders that nobody holds any more."""
    for entry in temporary(folder):
        if entry.is_dir(follow_symlinks=False):
            removed(Path(entry.path), os.O_RDONLY)


def temporary(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that have a temporary file's name."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if TEMP.fullmatch(entry.name)]


def removed(temp: Path, access: int) -> bool:
    """Remove what nobody holds; what can't be opened or removed is left to its owner."""
    try:
        descriptor = os.open(temp, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not take(descriptor, fcntl.LOCK_EX) or not is_at(descriptor, temp):
            return False
        if access == os.O_RDONLY:
            shutil.rmtree(temp, ignore_errors=True)
        else:
            temp.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
