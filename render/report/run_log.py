"""The log of a run's folder, render.log: every line with its time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from render.errors import RenderError
from render.files.atomic import room_for
from render.text import one_line


class RunLog:
    """Appends lines to render.log; keeps them until it is opened."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self.path = Path()
        self.unwritten: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether lines go to a file."""
        return self.descriptor is not None

    def open(self, path: Path) -> None:
        """Open the log, once the run holds its folder, and write what came before.

        Raises:
            DiskFull: no room for it. RenderError: it can't be opened.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            with room_for(path, 0):
                self.descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            why = "it is a link" if path.is_symlink() else error.strerror
            raise RenderError(f"{path}: can't be written: {why}; remove it") from error
        self.path = path
        lines, self.unwritten = self.unwritten, []
        for line in lines:
            self.append(line)

    def write(self, line: str) -> None:
        """Write a line with its time.

        Raises:
            DiskFull: no room for it.
        """
        stamped = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {one_line(line)}\n"
        if self.is_open:
            self.append(stamped)
        else:
            self.unwritten.append(stamped)

    def append(self, line: str) -> None:
        """Write a whole line; after an error later lines are not tried."""
        if self.descriptor is None:
            return
        content = line.encode("utf-8", "backslashreplace")
        try:
            with room_for(self.path, len(content)):
                while content:  # a disk that is nearly full takes a part
                    content = content[os.write(self.descriptor, content) :]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the log; safe to call twice."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)
