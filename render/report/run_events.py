"""The events of one run on their way: to its reporter, and into its log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from render.errors import RenderError
from render.report.events import Event, PhaseEnded, Said, Warned
from render.report.lines import logged
from render.report.progress import Phase
from render.report.reporter import Reporter
from render.report.run_log import RunLog
from render.text import one_line


class RunEvents:
    """Sends each event of a run to its reporter, then to the log.

    Args:
        job: the label of a sweep's job, `1/4 guidance=3`, or "".
        clock: seconds from anywhere, never backwards.
    """

    def __init__(
        self,
        reporter: Reporter,
        job: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reporter, self.job, self.clock = reporter, job, clock
        self.log = RunLog()

    def emit(self, event: Event) -> None:
        """Send one event on.

        Raises:
            RenderError: the reporter failed.
        """
        try:
            self.reporter.on_event(event)
        except (RenderError, OSError):  # of a stream that can't be written
            raise
        except Exception as error:  # of whoever wrote the reporter
            name, kind = type(self.reporter).__name__, type(error).__name__
            what = f"the reporter {name} failed ({kind}: {error}) at {type(event).__name__}"
            raise RenderError(f"{one_line(what)}; mend it, or give another one") from error
        for line in logged(event, self.job):
            self.log.write(line)

    def say(self, line: str) -> None:
        """Send a line."""
        self.emit(Said(line))

    def warn(self, line: str) -> None:
        """Send a line that stands out."""
        self.emit(Warned(line))

    def ask(self, question: str) -> str | None:
        """The answer of whoever watches; None where there is none to ask."""
        return self.reporter.ask(question)

    @contextmanager
    def progress(self, name: str, total: int) -> Iterator[Phase]:
        """A phase that goes through so many frames."""
        phase, whole = Phase(name, total, self.emit, self.clock), False
        self.emit(phase.state(due=False))
        try:
            yield phase
            whole = True
        finally:
            self.emit(PhaseEnded(phase.state(due=False), whole))
