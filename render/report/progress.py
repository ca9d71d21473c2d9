"""Progress of a phase: counts frames, and says when a line of it is due."""

from __future__ import annotations

from collections.abc import Callable

from render.report.events import Progress
from render.text import one_line

BRIEFEST_S = 2.0  # between two lines when frames come fast
LONGEST_S = 30.0  # between two lines when they come slowly


class Phase:
    """How far a phase is; emits an event whenever that changes.

    Attributes:
        done: frames that are finished.
        share: how far the frames in work are, in frames.
    """

    def __init__(
        self,
        name: str,
        total: int,
        emit: Callable[[Progress], None],
        clock: Callable[[], float],
    ) -> None:
        self.name, self.total, self.emit, self.clock = name, total, emit, clock
        self.done, self.share, self.in_work, self.text = 0, 0.0, 0, ""
        self.began = clock()
        self.line_at, self.line_done = self.began, 0

    def now(self, frames: int, text: str) -> None:
        """So many frames are in work, and the text is what they show."""
        self.in_work, self.share, self.text = frames, 0.0, one_line(text)
        self.emit(self.state(due=False))

    def note(self, text: str) -> None:
        """Something else than frames goes on."""
        self.now(self.in_work, text)
        self.moved()

    def step(self, done: int, total: int) -> None:
        """The denoiser has done so many of its evaluations of the frames in work."""
        self.share = self.in_work * done / max(1, total)
        self.moved()

    def finish(self, frames: int) -> None:
        """So many frames are finished."""
        self.done, self.share = self.done + frames, 0.0
        self.moved()

    def reach(self, done: int, total: int) -> None:
        """For a phase that counts by itself, like encoding."""
        self.done, self.total = done, total
        self.moved()

    def moved(self) -> None:
        """Emit the state, with a line where one is due."""
        due = self.is_due()
        if due:
            self.line_at, self.line_done = self.clock(), self.done
        self.emit(self.state(due))

    def is_due(self) -> bool:
        """A line each tenth, but not too often and not too seldom; and always the last."""
        silent_s = self.clock() - self.line_at
        news = self.done - self.line_done
        a_tenth = news * 10 >= self.total and silent_s >= BRIEFEST_S
        the_last = self.done >= self.total and news > 0
        return the_last or a_tenth or silent_s >= LONGEST_S

    def state(self, due: bool) -> Progress:
        """The event of this moment."""
        reached, elapsed_s = self.done + self.share, self.clock() - self.began
        return Progress(self.name, self.done, self.total, reached, elapsed_s, self.text, due)
