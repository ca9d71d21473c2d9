"""Work that is done behind the back of whoever asks for it: in order, by one thread, for which
others may prepare it.

So pictures are compressed, written and synced while the next ones are denoised. What waits is
bounded, and nothing that was handed on is lost: not by an error elsewhere, nor by a signal unless
the work itself hangs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from multiprocessing.pool import ThreadPool
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from render.errors import RenderError

Piece = TypeVar("Piece")
Prepared = TypeVar("Prepared")
Waiting = Callable[[], AbstractContextManager[object]]

ROOM = 2  # batches that may be undone at a time
GRACE_S = 3.0  # that a signal waits for what is undone


class Behind(Generic[Piece, Prepared]):
    """One thread that does pieces of work.

    The queues are those that a signal in the midst of a call leaves whole.

    Args:
        prepare: what is done with a piece first; it needs no order.
        do: what is done with what came of it, in order, in the thread; after the first error of
            either nothing more is done.
        waiting: entered whenever the asking side waits for this one.
        room: batches of pieces that may be undone; a further one waits for the first of them.
        at_once: pieces of a batch that are prepared at a time; 1: by the thread itself.
    """

    def __init__(
        self,
        prepare: Callable[[Piece], Prepared],
        do: Callable[[Prepared], None],
        waiting: Waiting = nullcontext,
        room: int = ROOM,
        at_once: int = 1,
    ) -> None:
        self.prepare, self.do, self.waiting = prepare, do, waiting
        self.process = os.getpid()
        # Daemons like the thread itself.
        self.preparers = ThreadPool(at_once) if at_once > 1 else None
        self.error: BaseException | None = None
        self.undone: SimpleQueue[list[Piece] | None] = SimpleQueue()
        self.room: SimpleQueue[None] = SimpleQueue()
        self.ended: SimpleQueue[None] = SimpleQueue()
        for _ in range(room):
            self.room.put(None)
        # A daemon, so that a hung disk does not keep an interrupted run from ending.
        threading.Thread(target=self.work, name="behind", daemon=True).start()

    def work(self) -> None:
        """The thread: batch after batch until there is None; no piece is kept once it is done."""
        while (pieces := self.undone.get()) is not None:
            try:
                if self.error is None:
                    for prepared in self.prepared(pieces):
                        self.do(prepared)
            except BaseException as error:  # whatever it is, the asking side must not wait for ever
                self.error = error
            self.room.put(None)
        if self.preparers:
            self.preparers.terminate()
        self.ended.put(None)

    def prepared(self, pieces: list[Piece]) -> Iterator[Prepared]:
        """A batch's pieces prepared, in order; this empties it."""
        if self.preparers is None:
            while pieces:
                yield self.prepare(pieces.pop(0))
        else:
            waiting = [self.preparers.apply_async(self.prepare, (piece,)) for piece in pieces]
            pieces.clear()
            while waiting:
                yield waiting.pop(0).get()

    @property
    def is_forked(self) -> bool:
        """Whether this process is a fork of the one that the thread is in."""
        return os.getpid() != self.process

    def put(self, pieces: Sequence[Piece]) -> None:
        """Have a batch done after those before it.

        Raises:
            The first error of what was done so far.
            RenderError: this is a fork of the process whose thread it is.
        """
        if self.is_forked:
            raise RenderError("a fork can't go on with a render; declare the film in it anew")
        try:
            with self.waiting():
                self.room.get()
        finally:
            self.undone.put(list(pieces))  # when a signal ended the waiting, too
        self.check()

    def finish(self, seconds: float | None = None) -> None:
        """Let all that is undone be done, but wait no longer than that; nothing may follow. A fork
        has no such thread: all is done where it came from."""
        if self.is_forked:
            return
        self.undone.put(None)
        with suppress(Empty), self.waiting():
            self.ended.get(timeout=seconds)
            self.ended.put(None)  # for whoever asks again

    def check(self) -> None:
        """Raise the first error of what was done so far."""
        if self.error is not None:
            raise self.error


@contextmanager
def behind(
    prepare: Callable[[Piece], Prepared],
    do: Callable[[Prepared], None],
    waiting: Waiting = nullcontext,
    room: int = ROOM,
    at_once: int = 1,
) -> Iterator[Behind[Piece, Prepared]]:
    """A thread for the block; however the block ends, what was handed on is done first.

    Raises:
        The first error of what was done, in place of the block's own, before which it came.
    """
    thread = Behind(prepare, do, waiting, room, at_once)
    try:
        try:
            yield thread
        except (Exception, GeneratorExit):  # a generator's block may be broken off at its yield
            thread.finish()
            thread.check()
            raise
        thread.finish()
    except KeyboardInterrupt:
        thread.finish(GRACE_S)
        raise
    thread.check()
