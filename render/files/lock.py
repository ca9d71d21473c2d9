"""One run a folder, and no prune beside a run: flock, which the system frees when a process ends,
however it ends.

A whole run holds its folder alone. Shards of one plan share it, each holding its own share alone.
Correctness never rests on this: two writers of one digest write the same picture. All runs under a
root share its store, which a prune holds alone: what a run was promised is not taken from it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from render.errors import ConfigError, FolderBusy, Mistake, RenderError
from render.files.atomic import HOST, make_folder, room_for
from render.files.ownership import is_ours
from render.files.received_json import parsed
from render.files.temporary import take
from render.text import shortened

LOCK_NAME = ".lock"
SHARD_PATIENCE_S = 5.0  # another shard may be freezing the plan right now
WHOLE_PATIENCE_S = 0.5  # a shard that has just begun may not have signed yet
MOMENT_S = 1.0
PRUNE_PATIENCE_S = 600.0  # that a run waits for a prune


@contextmanager
def holding(
    folder: Path,
    part: str | None,
    freeze: Callable[[], None],
    agree: Callable[[], None],
) -> Iterator[None]:
    """Hold a run's folder.

    Args:
        part: a name for the part of the film, whose other parts may be at work beside it; None: the
            whole.
        freeze: writes the plan; called while the folder is held alone.
        agree: called by a part that joins others; raises if their plan is another one.

    Raises:
        FolderBusy: another run holds it (or this part of it).
        ConfigError: there can't be such a folder.
    """
    make(folder)
    with ExitStack() as held:
        if part is not None:
            held.enter_context(locked(folder / f"{LOCK_NAME}-{part}"))
        descriptor = held.enter_context(opened(folder / LOCK_NAME))
        alone = take(descriptor, fcntl.LOCK_EX)
        if alone:
            sign(descriptor, "whole" if part is None else "shards")
            freeze()
        if part is not None and share(descriptor):
            agree()  # the first one, too: between holding alone and sharing, others may come
        elif part is not None or not alone:
            raise busy(folder, descriptor)
        yield


def make(folder: Path) -> None:
    """The run's folder, if it is not there yet."""
    try:
        with room_for(folder, 0):
            make_folder(folder)
    except OSError as error:
        what = f"{folder} can't be made ({error.strerror}); choose another root= or name="
        raise ConfigError([Mistake("root", what)]) from None


@contextmanager
def sharing(store: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Share a store with other runs. While a prune is at work there, wait for its end.

    Args:
        say: is called with a line that names the run that is waited for.

    Raises:
        FolderBusy: the prune does not end.
        ConfigError: there can't be such a store.
    """
    make(store)
    with folder_opened(store) as descriptor:
        began, waits = time.monotonic(), False
        with suppress(OSError):  # without locks there is no prune either
            while not take(descriptor, fcntl.LOCK_SH):
                if not waits:
                    say(f"waiting for the end of a prune of {store}")
                if time.monotonic() - began > PRUNE_PATIENCE_S:
                    raise FolderBusy(f"{store} is being pruned; wait for the end of that")
                waits = True
                time.sleep(0.05)
        yield


@contextmanager
def pruning(store: Path) -> Iterator[None]:
    """Hold a store alone: no run is at work under its root, and none begins.

    Raises:
        FolderBusy: a run is at work, or another prune.
        RenderError: this file system has no locks, so nobody can know that.
    """
    if not store.is_dir():
        yield
        return
    with folder_opened(store) as descriptor:
        try:
            alone = take(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            what = f"{store} can't be locked ({error.strerror}), and a run may be at work"
            raise RenderError(f"{what}; nothing is pruned") from None
        if not alone:
            raise in_use(store)
        yield


@contextmanager
def folder_opened(folder: Path) -> Iterator[int]:
    """A folder's descriptor; not inherited by children, never through a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    with let_go_of(os.open(folder, flags)) as descriptor:
        yield descriptor


@contextmanager
def let_go_of(descriptor: int) -> Iterator[int]:
    """A descriptor that is closed after the block, and the lock on it freed. A fork of the process
    has it, too, and would hold the lock for as long as it lives; what a fork itself closes stays
    locked for the process that it came from."""
    process = os.getpid()
    try:
        yield descriptor
    finally:
        if os.getpid() == process:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def in_use(store: Path) -> FolderBusy:
    """The error that names a run at work under the store's root."""
    for path in sorted(store.parent.rglob(LOCK_NAME)):
        with suppress(OSError, FolderBusy), opened(path) as descriptor:
            if not take(descriptor, fcntl.LOCK_EX):
                return busy(path.parent, descriptor)
    return FolderBusy(f"{store} is in use by another run or prune; wait for it or end it")


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else holds a run's folder, and meanwhile nobody does."""
    with opened(folder / LOCK_NAME) as descriptor:
        yield take(descriptor, fcntl.LOCK_EX)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold one file alone."""
    with opened(path) as descriptor:
        if not take(descriptor, fcntl.LOCK_EX):
            raise busy(path.parent, descriptor)
        sign(descriptor, "shard")
        yield


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Let one shard after the other make the film's video: those that end at one time all find its
    frames there. However long one takes, the next waits."""
    with opened(folder / f"{LOCK_NAME}-video") as descriptor:
        while not take(descriptor, fcntl.LOCK_EX):
            time.sleep(0.05)
        sign(descriptor, "shard")
        yield


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a folder for the moment in which a file of it is read and written again. Whoever holds
    it for longer, or has no locks, keeps nobody waiting."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with let_go_of(os.open(folder, flags)) as descriptor:
        wait_a_moment(descriptor)
        yield


@contextmanager
def adding_to(memory: Path) -> Iterator[None]:
    """Hold a file of what runs remember for the moment in which it is read and written again with
    more, by a lock beside it: else of two that end at one time the first one's is lost. Whoever
    holds it for longer, or a folder without locks, keeps nobody waiting.

    Raises:
        OSError: the folder can't be written.
    """
    with ExitStack() as held:
        with suppress(FolderBusy):  # a link or another's file stands under the lock's name
            descriptor = held.enter_context(opened(memory.with_name(f"{LOCK_NAME}-{memory.stem}")))
            wait_a_moment(descriptor)
        yield


def wait_a_moment(descriptor: int) -> None:
    """Take a lock alone, as soon as it is free or a moment is over."""
    until = time.monotonic() + MOMENT_S
    with suppress(OSError):
        while not take(descriptor, fcntl.LOCK_EX) and time.monotonic() < until:
            time.sleep(0.01)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The lock file's descriptor; not inherited by children, never through a link."""
    try:
        descriptor = open_lock(path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise FolderBusy(f"{path} can't be held; remove it if it is a link") from None
    with let_go_of(descriptor):
        if not is_ours(path):
            raise FolderBusy(f"{path} is not ours, so it can't be held; move it away")
        yield descriptor


def open_lock(path: Path) -> int:
    """A lock file's descriptor. Another user's, who lets nobody write to it, can be held too, but
    not signed."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, flags | os.O_RDONLY)


def share(descriptor: int) -> bool:
    """Share the folder as soon as the first shard has frozen the plan; whole runs never share."""
    began = time.monotonic()
    while not take(descriptor, fcntl.LOCK_SH):
        whole = signature(descriptor).get("holds") == "whole"
        if time.monotonic() - began > (WHOLE_PATIENCE_S if whole else SHARD_PATIENCE_S):
            return False
        time.sleep(0.05)
    return True


def sign(descriptor: int, holds: str) -> None:
    """Write the holder into the lock file; a full disk keeps nobody from holding it."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    who = {"pid": os.getpid(), "host": HOST, "since": since, "holds": holds}
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(who).encode(), 0)


def signature(descriptor: int) -> dict[str, str]:
    """The last holder of the lock, as far as the file names it."""
    try:
        value = parsed(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    who = value if isinstance(value, dict) else {}
    return {key: shortened(str(entry)) for key, entry in who.items()}


def holder(folder: Path, descriptor: int) -> dict[str, str]:
    """The holder of the folder: the run that signed, or a shard that outlived it."""
    signed = signature(descriptor)
    if signed.get("holds") != "shards":
        return signed
    for path in sorted(folder.glob(f"{LOCK_NAME}-*")):
        with suppress(OSError, FolderBusy), opened(path) as of_shard:
            if not take(of_shard, fcntl.LOCK_SH):
                return signature(of_shard)
    return signed


def busy(folder: Path, descriptor: int) -> FolderBusy:
    """The error that names the other run."""
    who = holder(folder, descriptor)
    return FolderBusy(
        f"{folder} is held by another run (pid {who.get('pid', '?')} on {who.get('host', '?')}, "
        f"since {who.get('since', '?')}); wait for it or end it, nothing has to be unlocked"
    )
