"""Every file call of this process under a folder: counted, written down, and the k-th one fails.

Calls by name come from Python's audit events, which `open`, `os.open` and C's own FileIO all raise;
calls on a descriptor (write, fsync) raise none and are wrapped, as is the file that `open` gives.
"""

import builtins
import errno
import io
import json
import os
import signal
import sys
import threading
import time
from functools import partial

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
BY_DESCRIPTOR = ("write", "pwrite", "fsync", "fdatasync")
BY_NAME = {
    "open": "open",
    "os.rename": "rename",  # replace, too
    "os.link": "link",
    "os.symlink": "symlink",
    "os.remove": "unlink",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
}
REAL = {name: getattr(os, name) for name in BY_DESCRIPTOR}
real_open = io.open


class FileCalls:
    """The calls by which a process changes the files under a folder.

    Args:
        fail_call: the number, from 1, of the call that fails …
        fail_how: … with this error (`EIO`), or `KILL`; a write leaves half of its bytes before.
        log: a file for the calls, a JSON line each: number, call, path, and for an open whether it
            may write, for a rename or link the other path. Paths are relative to the folder.
        seconds: that every call waits before.
    """

    def __init__(
        self,
        folder: str,
        fail_call: int | None = None,
        fail_how: str = "EIO",
        log: str = "",
        seconds: float = 0.0,
    ) -> None:
        self.folder = os.path.realpath(folder)
        self.fail_call, self.fail_how, self.count = fail_call, fail_how, 0
        self.seconds = seconds
        self.lock = threading.RLock()
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None

    def watch(self) -> None:
        """From now on; an audit hook can't be taken back."""
        for name in BY_DESCRIPTOR:
            setattr(os, name, partial(self.on_descriptor, name))
        builtins.open = io.open = self.opened
        sys.addaudithook(self.hear)

    def place(self, target) -> str | None:
        """Where a path or a descriptor leads, if that is in the folder."""
        if isinstance(target, int):
            try:
                path = os.readlink(f"/proc/self/fd/{target}")
            except OSError:
                return None
        elif isinstance(target, str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(target))
        else:
            return None
        inside = path == self.folder or path.startswith(self.folder + os.sep)
        return os.path.relpath(path, self.folder) if inside else None

    def hear(self, event: str, arguments) -> None:
        name = BY_NAME.get(event)
        if name is None or (where := self.place(arguments[0])) is None:
            return
        more = None
        if name == "open":
            more = bool((arguments[2] or 0) & WRITING)
        elif name in ("rename", "link", "symlink"):
            more = self.place(arguments[1])
        self.notice(name, where, more)

    def opened(
        self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **more
    ):
        """`open`, whose file counts what is written to it."""
        writes = set(mode) & set("wax+")
        if not writes or self.place(file) is None:
            return real_open(file, mode, buffering, encoding, errors, newline, **more)
        raw = WatchedFile(self, file, mode.translate({ord("b"): None, ord("t"): None}), **more)
        if buffering == 0:
            return raw
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def on_descriptor(self, name: str, descriptor: int, *arguments):
        where = self.place(descriptor)
        if where is not None:
            self.notice(name, where, None, lambda: self.half(name, descriptor, *arguments))
        return REAL[name](descriptor, *arguments)

    def half(self, name: str, descriptor: int, content=b"", *place) -> None:
        if name in ("write", "pwrite"):
            REAL[name](descriptor, content[: len(content) // 2], *place)

    def notice(self, name: str, where: str, more, before_failing=lambda: None) -> None:
        with self.lock:  # a run reads frames in threads; a reentrant lock, for what a signal calls
            self.count += 1
            number = self.count
            if self.log is not None:
                line = json.dumps([number, name, where, more])
                REAL["write"](self.log, f"{line}\n".encode())
        time.sleep(self.seconds)
        if number != self.fail_call:
            return
        before_failing()
        if self.fail_how == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.fail_how)
        raise OSError(number, os.strerror(number), where)


class WatchedFile(io.FileIO):
    """A file opened for writing by `open`."""

    def __init__(self, calls: FileCalls, file, mode: str, **more) -> None:
        super().__init__(file, mode, **more)
        self.calls = calls

    def write(self, content) -> int:
        content = memoryview(content).cast("B")
        write = partial(super().write, content[: len(content) // 2])
        where = self.calls.place(self.fileno())
        if where is not None:
            self.calls.notice("write", where, None, write)
        return super().write(content)
