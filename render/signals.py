"""Ctrl-C, kill and a closed terminal: the first signal ends the run in good order, a second one
ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from render.errors import Interrupted

CAUGHT: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
HUNG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


def caught() -> tuple[signal.Signals, ...]:
    """The signals that end a run. Under nohup a closed terminal is none of them."""
    if HUNG_UP is None or signal.getsignal(HUNG_UP) is signal.SIG_IGN:
        return CAUGHT
    return *CAUGHT, HUNG_UP


@contextmanager
def handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Give the signals that end a run to a handler inside of the block.

    Only the main thread may set handlers; elsewhere (a launcher's worker thread) nothing changes.
    """
    try:
        before = {number: signal.signal(number, handler) for number in caught()}
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, theirs in before.items():
            signal.signal(number, theirs)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` from the block at the first signal that ends a run.

    Inside, it travels as a KeyboardInterrupt, which hardly any library takes for an error of its
    own; where one swallows it, the block still ends as interrupted.
    """
    received: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        for ending in caught():
            signal.signal(ending, signal.SIG_DFL)
        raise KeyboardInterrupt

    try:
        with handled(interrupt):
            yield
    except BaseException as error:
        if received:
            raise Interrupted(received[0]) from error
        raise
    if received:
        raise Interrupted(received[0])


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let a signal end the process with its exit code and one line: nothing has begun yet."""

    def end(number: int, _: FrameType | None) -> None:
        error = Interrupted(number)
        with suppress(OSError):  # a closed terminal hears nothing
            os.write(2, f"render: {error}\n".encode())
        os._exit(error.exit_code)

    with handled(end):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal wait until the block has ended, so that what it begins is in good hands."""
    late: list[int] = []
    try:
        with handled(lambda number, _: late.append(number)):
            yield
    finally:
        if late:
            signal.raise_signal(late[0])
