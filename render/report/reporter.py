"""Report: what a run is about to do, how far it is, and what came of it.

Progress goes to stderr (a bar on a terminal, else a line now and then), results to stdout, and
every line with its time to render.log. What people wrote is shown as it is: no markup is read in
it, and no control character of it reaches the terminal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from render.errors import RenderError
from render.files.atomic import room_for, write_whole
from render.report.progress import Progress, bar_on
from render.text import duration, one_line, plural, size

SHOWN = 10  # of a list that may be long
WORDS = {"kept": "there", "stale": "changed"}
"""States of frames as a person reads them, where their names don't say it."""
STYLES = {"kept": "green", "new": "cyan", "stale": "yellow", "corrupt": "red", "foreign": "magenta"}


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a run would do. `reasons` are (state, count, why, with its first frames)."""

    frames: int
    kept: int
    new: int
    stale: int
    corrupt: int
    foreign: int
    reasons: Sequence[tuple[str, int, str]]
    rows: int
    """Denoiser rows to compute."""
    seconds_estimate: float | None
    estimate_source: str
    disk_bytes: int
    """For the frames that are not there."""
    cut_prompts: Sequence[tuple[str, int, int, str]] = ()
    """(text, its tokens, the text encoder's limit, what is cut off)"""
    warnings: Sequence[str] = ()
    video_bytes: int = 0
    loras: Sequence[tuple[str, float, float]] = ()
    """(name, its least weight in the film, its greatest)"""

    def counts(self) -> dict[str, int]:
        """How many frames are in each state, in the order of concern."""
        return {state: getattr(self, state) for state in STYLES}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. `failed` are (frame's index, cause)."""

    planned: int
    kept: int
    rendered: int
    failed: Sequence[tuple[int, str]]
    seconds: float
    video: Path | None = None
    sheet: Path | None = None
    video_kept: bool = False
    """The video was right before, and nothing was encoded."""


class Reporter:
    """Says things: on stderr while it works, on stdout as results, and in the log.

    Args:
        out, err: the streams; sys.stdout and sys.stderr of the moment by default.
        clock: seconds from anywhere, never backwards.
        job: the label of a sweep's job, `1/4 guidance=3`; it heads its results, and its number its
            progress.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        job: str = "",
    ) -> None:
        self.out = console_on(out or sys.stdout)
        self.err = console_on(err or sys.stderr)
        self.clock, self.job = clock, job
        self.log: int | None = None
        self.log_path = Path()
        self.unlogged: list[str] = []

    def attach(self, path: Path) -> None:
        """Opens the log, once the run holds its folder, and writes what was said before.

        Raises:
            DiskFull: no room for it. RenderError: it can't be opened.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            with room_for(path, 0):
                self.log = os.open(path, flags, 0o666)
        except OSError as error:
            why = "it is a link" if path.is_symlink() else error.strerror
            raise RenderError(f"{path}: can't be written: {why}; remove it") from error
        self.log_path = path
        lines, self.unlogged = self.unlogged, []
        for line in lines:
            self.write_log(line)

    def close(self) -> None:
        """Closes the log; safe to call twice."""
        descriptor, self.log = self.log, None
        if descriptor is not None:
            os.close(descriptor)

    def say(self, line: str) -> None:
        """A line on stderr and in the log."""
        put(self.err, Text(one_line(line)))
        self.note(line)

    def warn(self, line: str) -> None:
        """A line that stands out."""
        put(self.err, Text(f"warning: {one_line(line)}", style="yellow"))
        self.note(f"warning: {line}")

    def ask(self, question: str) -> str | None:
        """What the person at the terminal answers; None where there is none to ask."""
        if sys.stdin is None or not (sys.stdin.isatty() and self.err.is_terminal):
            return None
        self.err.print(Text(question), end="")
        return sys.stdin.readline()

    def note(self, line: str) -> None:
        """A line for the log alone, with its time; kept until there is a log."""
        stamped = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {one_line(line)}\n"
        if self.log is None:
            self.unlogged.append(stamped)
        else:
            self.write_log(stamped)

    def write_log(self, line: str) -> None:
        """Raises DiskFull if there is no room; later lines are then not tried."""
        descriptor = self.log
        if descriptor is None:
            return
        content = line.encode("utf-8", "backslashreplace")
        try:
            with room_for(self.log_path, len(content)):
                while content:  # a disk that is nearly full takes a part
                    content = content[os.write(descriptor, content) :]
        except BaseException:
            self.close()
            raise

    def result(self, lines: Sequence[tuple[str, Text | str]]) -> None:
        """Labelled lines on stdout and in the log."""
        lines = [*([("job", self.job)] if self.job else ()), *lines]
        put(self.out, labelled(lines))
        for label, line in lines:
            self.note(f"{label} {line}")

    @contextmanager
    def progress(self, verb: str, total: int) -> Iterator[Progress]:
        """A phase that goes through `total` frames: a bar if stderr is a terminal."""
        verb = f"{self.job.partition(' ')[0]} {verb}".lstrip()
        if not self.err.is_terminal or self.err.is_dumb_terminal:
            yield Progress(verb, total, self.say, self.clock)
            return
        with bar_on(self.err) as bar:
            phase = Progress(verb, total, self.note, self.clock, bar)
            yield phase
        put(self.err, Text(phase.line()))


def in_words(state: str) -> str:
    """A frame's state as a person reads it."""
    return WORDS.get(state, state)


def state_line(summary: PlanSummary) -> str:
    """The line before work starts: `37 frames: 12 are there, 25 to render (5 changed)`."""
    missing, there = summary.frames - summary.kept, f"{summary.kept:,} are there"
    others = [(state, count) for state, count in summary.counts().items() if count]
    told = [f"{n:,} {in_words(state)}" for state, n in others if state not in ("kept", "new")]
    which = f" ({', '.join(told)})" if told else ""
    if not missing:
        there = "all are there" if summary.frames else "nothing to do"
    elif summary.kept < 2:
        there = "1 is there" if summary.kept else ""
    to_render = f"{missing:,} to render{which}" if missing else ""
    return f"{plural(summary.frames, 'frame')}: {', '.join(filter(None, [there, to_render]))}"


def reason_lines(summary: PlanSummary) -> list[str]:
    """Why frames are to be rendered, a line each: `5 changed: prompts (frames 3, 4 …)`."""
    return [
        f"{n:,} {why}" if why.startswith(in_words(state)) else f"{in_words(state)}: {n:,}, {why}"
        for state, n, why in summary.reasons
    ]


def cut_lines(summary: PlanSummary) -> list[str]:
    """What the model does not read of a text, a line each."""
    return [
        f"{tokens} tokens, the model reads {limit}, not {one_line(lost)!r} at the end of: "
        f"{one_line(text)}"
        for text, tokens, limit, lost in summary.cut_prompts
    ]


def show_plan(reporter: Reporter, name: str, summary: PlanSummary) -> None:
    """What `mode=plan` prints."""
    lines: list[tuple[str, Text | str]] = [(name, plural(summary.frames, "frame"))]
    for state, count in summary.counts().items():
        if count:
            lines.append((in_words(state), Text(f"{count:,}", STYLES[state])))
            lines += [("", f"{n:,} {why}") for of, n, why in summary.reasons if of == state]
    for name, least, most in summary.loras:
        ways = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        lines.append(("lora", f"{name} at {ways}"))
    lines.append(("denoiser", f"{plural(summary.rows, 'row')} to compute"))
    lines.append(("time", estimate(summary)))
    lines.append(("disk", f"{size(summary.disk_bytes)} for the frames that are not there"))
    lines += [("cut", Text(line, "yellow")) for line in cut_lines(summary)]
    lines += [("warning", Text(one_line(warning), "yellow")) for warning in summary.warnings]
    reporter.result(lines)


def show_outcome(reporter: Reporter, outcome: Outcome) -> None:
    """The last lines of a run: what was done, where it is, and what is missing."""
    done = f"{outcome.rendered:,} rendered, {outcome.kept:,} kept, in {duration(outcome.seconds)}"
    lines: list[tuple[str, Text | str]] = [("frames", done)]
    for index, cause in outcome.failed[:SHOWN]:
        lines.append(("failed", Text(f"frame {index}: {one_line(cause)}", "red")))
    if len(outcome.failed) > SHOWN:
        lines.append(("failed", Text(f"and {len(outcome.failed) - SHOWN:,} more", "red")))
    if outcome.video is not None:
        was_right = " (as it was)" if outcome.video_kept else ""
        lines.append(("video", f"{outcome.video}{was_right}"))
    if outcome.sheet is not None:
        lines.append(("sheet", str(outcome.sheet)))
    reporter.result(lines)


def write_run_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes run.json whole, with sorted keys; paths and fractions become text.

    Raises:
        DiskFull: no room for it.
    """
    text = json.dumps(
        data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str
    )
    write_whole(path, f"{text}\n".encode("utf-8", "backslashreplace"))


def console_on(stream: TextIO) -> Console:
    """A console that reads no markup; a stream that is no terminal gets plain text."""
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    terminal = stream.isatty()
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
    """Prints; where it is no terminal, lines are neither wrapped nor filled with spaces."""
    if console.is_terminal:
        console.print(content)
        return
    wide = Console(file=StringIO(), width=100_000, color_system=None, force_terminal=False)
    with wide.capture() as captured:
        wide.print(content)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")
    console.file.flush()


def labelled(lines: Sequence[tuple[str, Text | str]]) -> Table:
    """Labels on the right of their column, text beside them; long text wraps under itself."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, line in lines:
        table.add_row(
            Text(one_line(label)), Text(one_line(line)) if isinstance(line, str) else line
        )
    return table


def estimate(summary: PlanSummary) -> str:
    """About how long, and how that is known."""
    if summary.seconds_estimate is None:
        return summary.estimate_source or "unknown before the first run"
    source = f" ({summary.estimate_source})" if summary.estimate_source else ""
    return f"about {duration(summary.seconds_estimate)}{source}"
