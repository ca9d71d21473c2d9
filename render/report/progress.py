"""Progress: how far a phase is, as a bar on a terminal, else as a line now and then."""

from __future__ import annotations

from collections.abc import Callable

from rich import progress as bars
from rich.console import Console
from rich.table import Column

from render.text import duration, one_line, shortened, speed

BRIEFEST_S = 2.0  # between two lines when frames come fast
LEAST_S = 0.05  # a time that is left; less is none
LONGEST_S = 30.0  # between two lines when they come slowly


class Progress:
    """How far a phase is; tells it at sensible times.

    Attributes:
        done: frames that are finished.
        share: how far the frames in work are, in frames.
    """

    def __init__(
        self,
        verb: str,
        total: int,
        tell: Callable[[str], None],
        clock: Callable[[], float],
        bar: bars.Progress | None = None,
    ) -> None:
        self.verb, self.total, self.tell, self.clock, self.bar = verb, total, tell, clock, bar
        self.done, self.share, self.in_work, self.text = 0, 0.0, 0, ""
        self.began = clock()
        self.told_at, self.told_done = self.began, 0
        self.task = bar.add_task(verb, total=total, told="", text="") if bar else None

    def now(self, frames: int, text: str) -> None:
        """What is in work: so many frames, and what they show."""
        self.in_work, self.share, self.text = frames, 0.0, one_line(text)
        self.draw()

    def step(self, done: int, total: int) -> None:
        """The denoiser has done so many of its steps on the frames in work."""
        self.share = self.in_work * done / max(1, total)
        self.draw()
        self.tell_if_due()

    def finish(self, frames: int) -> None:
        """So many frames are finished."""
        self.done, self.share = self.done + frames, 0.0
        self.draw()
        self.tell_if_due()

    def reach(self, done: int, total: int) -> None:
        """For a phase that counts by itself, like encoding."""
        self.done, self.total = done, total
        self.draw()
        self.tell_if_due()

    def tell_if_due(self) -> None:
        """A line each tenth, but not too often and not too seldom; and always the last."""
        silent_s = self.clock() - self.told_at
        news = self.done - self.told_done
        a_tenth = news * 10 >= self.total and silent_s >= BRIEFEST_S
        the_last = self.done >= self.total and news > 0
        if the_last or a_tenth or silent_s >= LONGEST_S:
            self.told_at, self.told_done = self.clock(), self.done
            self.tell(self.line())

    def draw(self) -> None:
        """Moves the bar, if there is one."""
        if self.bar is not None and self.task is not None:
            self.bar.update(
                self.task,
                completed=self.done + self.share,
                total=self.total,
                told=self.numbers(),
                text=self.text,
            )

    def line(self) -> str:
        """`render 12/37, 1.4 frames/s, 18 s left: A castle`"""
        what = f": {shortened(self.text)}" if self.text and self.done < self.total else ""
        return f"{self.verb} {self.numbers()}{what}"

    def numbers(self) -> str:
        """Frames, speed and what is left of the time."""
        elapsed, reached = self.clock() - self.began, self.done + self.share
        parts = [f"{self.done}/{self.total}"]
        if elapsed > 0 and reached > 0:
            parts.append(speed(reached / elapsed))
            left_s = elapsed / reached * (self.total - reached)
            if left_s >= LEAST_S:  # all steps may be done and the pictures not there yet
                parts.append(f"{duration(left_s)} left")
        return ", ".join(parts)


def bar_on(console: Console) -> bars.Progress:
    """The bar: verb, bar, numbers, and the prompt as far as it fits. Gone when it is done."""
    prompt = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=24),
        bars.TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True)),
        bars.TextColumn("{task.fields[text]}", "dim", markup=False, table_column=prompt),
        console=console,
        transient=True,
        expand=True,
    )
