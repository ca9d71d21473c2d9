"""The events of files in some folders as the kernel saw them (inotify): the witness that no call
escaped."""

import ctypes
import os
import struct
from pathlib import Path

MODIFIED, MOVED_FROM, MOVED_TO, CREATED, DELETED = 0x2, 0x40, 0x80, 0x100, 0x200
HEAD = struct.Struct("iIII")


class Kernel:
    """Watches folders that are there; of new ones in them it sees the names, not the insides."""

    def __init__(self, folders: list[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = MODIFIED | MOVED_FROM | MOVED_TO | CREATED | DELETED
        self.folders = {
            libc.inotify_add_watch(self.descriptor, os.fsencode(folder), mask): folder
            for folder in folders
        }
        assert self.descriptor >= 0
        assert -1 not in self.folders

    def seen(self) -> list[tuple[int, Path]]:
        """(what, path) since the watch began, in order."""
        events, content = [], b""
        while True:
            try:
                content += os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                break
        os.close(self.descriptor)
        while content:
            watch, what, _, length = HEAD.unpack_from(content)
            name = content[HEAD.size : HEAD.size + length].rstrip(b"\0")
            events.append((what, self.folders[watch] / os.fsdecode(name)))
            content = content[HEAD.size + length :]
        return events
