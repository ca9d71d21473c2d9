"""The output streams: a reader that goes away, a closed stream or a full disk behind one ends no
run. What nobody can read is dropped; whether that is an error is for the command to say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast


class Lasting:
    """A text stream to which writing never fails.

    Attributes:
        lost: whether something could not be written; nothing is from then on.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.lost = stream, False
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        if not self.lost:
            try:
                return self.stream.write(text)
            except (OSError, ValueError):  # ValueError: it was closed
                self.give_up()
        return len(text)

    def flush(self) -> None:
        if not self.lost:
            try:
                self.stream.flush()
            except (OSError, ValueError):
                self.give_up()

    def give_up(self) -> None:
        """Let the stream lead nowhere: Python writes what is left in it when the process ends."""
        self.lost = True
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def open_closed() -> None:
    """Let standard streams that are closed lead nowhere.

    The next file that is opened would have their number, and would get what is written to them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def terminal() -> TextIO | None:
    """Stderr if it is a terminal, on which other libraries may show how far they are."""
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None


@contextmanager
def lasting_streams() -> Iterator[Lasting]:
    """Both output streams are lasting inside of the block, and flushed at its end; gives stdout."""
    streams = out, err = Lasting(sys.stdout), Lasting(sys.stderr)
    with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, err)):
        try:
            yield out
        finally:
            for stream in streams:
                stream.flush()
