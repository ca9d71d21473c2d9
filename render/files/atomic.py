"""Files that are whole or not there: written beside the target, synced, then renamed onto it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from render.errors import DiskFull
from render.files.temporary import scratch, scratch_folder

HOST = socket.gethostname()
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, quota used up, `ulimit -f`
NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
MEMORY_BYTES = 1 << 26  # of run.json and what else is small by nature
BLOCK_BYTES = 4096  # that a new folder or name takes


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty file to fill; it takes the target's name if the block ends well, else it goes.

    A link under the target's name is replaced, not followed. The old target stays until the new
    one is on the disk.
    """
    with scratch(target) as temp:
        yield temp
        sync(temp)
        os.replace(temp, target)
    sync_folder(target.parent)


@contextmanager
def folder_replacing(target: Path) -> Iterator[Path]:
    """A folder to fill with files; it takes the target's name if the block ends well, else it
    goes. One that another process put there meanwhile stays."""
    with scratch_folder(target) as temp:
        yield temp
        for file in temp.iterdir():
            sync(file)
        sync_folder(temp)
        with suppress(FileExistsError):  # most systems report a folder with content so
            temp.rename(target)
    sync_folder(target.parent)


def write_whole(target: Path, content: bytes) -> None:
    """The content under the target's name, whole and lasting, or not at all."""
    with room_for(target, len(content)), replacing(target) as temp:
        temp.write_bytes(content)


def write_if_changed(target: Path, content: bytes) -> None:
    """Like `write_whole`, but a file that has this content already keeps its time."""
    if not says(target, content):
        write_whole(target, content)


def says(path: Path, content: bytes) -> bool:
    """Whether a regular file has just this content; its size is compared before it is read."""
    if not is_there(path) or not is_regular(path) or path.stat().st_size != len(content):
        return False
    return path.read_bytes() == content


@contextmanager
def room_for(target: Path, needed: int) -> Iterator[None]:
    """Turns "no space left" inside the block into a DiskFull that says how many bytes it takes."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise no_room(target, f"it needs {needed:,} bytes") from error


def no_room(target: Path, needs: str) -> DiskFull:
    """The error for what the disk can't hold."""
    return DiskFull(
        f"no room for {target}: {needs}, {free_bytes(target):,} are free; make room, "
        "and the same command continues"
    )


def free_bytes(target: Path) -> int:
    """The free bytes of the disk that holds the target, or will hold it."""
    whole = target.absolute()
    there = next(folder for folder in (whole, *whole.parents) if folder.is_dir())
    return shutil.disk_usage(there).free


def is_regular(path: Path) -> bool:
    """Whether a regular file is there, and no link, pipe, folder or device.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: nobody can know.
    """
    return stat.S_ISREG(path.lstat().st_mode)


def is_there(path: Path) -> bool:
    """Whether anything has this name; raises OSError if that can't be found out."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextmanager
def opened_regular(path: Path) -> Iterator[BufferedReader]:
    """A file to read; a link, a pipe, a folder or a device is an OSError, at once."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(descriptor)


def read_regular(path: Path, most: int = MEMORY_BYTES) -> bytes:
    """All bytes of a regular file; more than `most` of them are an OSError, too."""
    with opened_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise OSError(errno.EINVAL, f"is larger than {most:,} bytes", str(path))
        return stream.read()


def sync(path: Path) -> None:
    """Sync a file or a folder, so that it outlasts a power cut, where its disk can do that."""
    syncs(path)


def syncs(path: Path) -> bool:
    """The same; False if the disk can't (CIFS has no such call for folders)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def make_folder(folder: Path) -> None:
    """The folder and those above it, each lasting: what is in it is lost with its name."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that its names outlast a power cut."""
    sync(folder)
