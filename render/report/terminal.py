"""Text for people: progress on stderr (a bar on a terminal, else a line now and then), results on
stdout.

What people wrote is shown as it is: no markup is read in it, and no control character of it
reaches the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import TextIO

from rich import progress as bars
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from render.report.events import Event, PhaseEnded, Progress, Warned
from render.report.lines import Labelled, lines, numbers, progress_line, results, verb
from render.text import one_line


class TextReporter:
    """Shows events as text.

    Args:
        out, err: the streams; sys.stdout and sys.stderr of the moment by default.
        job: the label of a sweep's job, `1/4 guidance=3`; it heads its results, and its number its
            progress.
        rich: whether there are colours and a bar; None: where the stream is a terminal.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        job: str = "",
        rich: bool | None = None,
    ) -> None:
        self.out = console_on(out or sys.stdout, rich)
        self.err = console_on(err or sys.stderr, rich)
        self.job = job
        self.bar: bars.Progress | None = None
        self.task = bars.TaskID(0)

    def on_event(self, event: Event) -> None:
        if isinstance(event, Progress) and self.has_bar():
            self.draw(event)
        elif isinstance(event, PhaseEnded):
            self.end_bar(event)
        else:
            style = "yellow" if isinstance(event, Warned) else ""
            for line in lines(event, self.job):
                put(self.err, Text(one_line(line), style=style))
            if found := results(event, self.job):
                put(self.out, labelled(found))

    def ask(self, question: str) -> str | None:
        if sys.stdin is None or not (sys.stdin.isatty() and self.err.is_terminal):
            return None
        self.err.print(Text(question), end="")
        return sys.stdin.readline()

    def has_bar(self) -> bool:
        """Whether stderr can show one."""
        return self.err.is_terminal and not self.err.is_dumb_terminal

    def draw(self, event: Progress) -> None:
        """Move the bar, which stands from the phase's first event on."""
        if self.bar is None:
            self.bar = bar_on(self.err)
            name = verb(event, self.job)
            self.task = self.bar.add_task(name, total=event.total, numbers="", text="")
            self.bar.start()
        self.bar.update(
            self.task,
            completed=event.reached,
            total=event.total,
            numbers=numbers(event),
            text=event.text,
        )

    def end_bar(self, event: PhaseEnded) -> None:
        """Take the bar away; a line stays in its place if the phase went well."""
        bar, self.bar = self.bar, None
        if bar is not None:
            bar.stop()
            if event.whole:
                put(self.err, Text(progress_line(event.last, self.job)))


def bar_on(console: Console) -> bars.Progress:
    """The bar: phase, bar, numbers, and the prompt as far as it fits. Gone when it is done."""
    prompt = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=24),
        bars.TextColumn("{task.fields[numbers]}", markup=False, table_column=Column(no_wrap=True)),
        bars.TextColumn("{task.fields[text]}", "dim", markup=False, table_column=prompt),
        console=console,
        transient=True,
        expand=True,
    )


def console_on(stream: TextIO, rich: bool | None = None) -> Console:
    """A console that reads no markup; a stream that is no terminal gets plain text."""
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    terminal = stream.isatty() if rich is None else rich
    return Console(
        file=stream,
        force_terminal=terminal,
        no_color=None if terminal else True,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=not terminal,
    )


def put(console: Console, content: Text | Table) -> None:
    """Print; where it is no terminal, lines are neither wrapped nor filled with spaces."""
    if console.is_terminal:
        console.print(content)
        return
    wide = Console(file=StringIO(), width=100_000, color_system=None, force_terminal=False)
    with wide.capture() as captured:
        wide.print(content)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")
    console.file.flush()


def labelled(found: Sequence[Labelled]) -> Table:
    """Labels on the right of their column, text beside them; long text wraps under itself."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, line, style in found:
        table.add_row(Text(one_line(label)), Text(one_line(line), style=style))
    return table
