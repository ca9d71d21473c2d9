"""Lines: events as people read them, for a terminal, a pipe and the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch

from render.report.events import (
    Ended,
    Event,
    Finished,
    FinishSummary,
    Measured,
    PlanShown,
    PlanSummary,
    Progress,
    Pruned,
    Said,
    UnusedFrames,
    Warned,
    WorkPlanned,
)
from render.report.measured_lines import measured_results
from render.text import duration, one_line, plural, shortened, size, speed

SHOWN = 10  # of a list that may be long
WORDS = {"kept": "there", "stale": "changed"}
"""States of frames as a person reads them, where their names don't say it."""
STYLES = {"kept": "green", "new": "cyan", "stale": "yellow", "corrupt": "red", "foreign": "magenta"}

Labelled = tuple[str, str, str]
"""A label, a line, and the line's style or ""."""


@singledispatch
def lines(event: object, job: str = "") -> Sequence[str]:
    """An event's lines for whoever watches, without their warning's colour; most events have none.

    Args:
        job: the label of a sweep's job, `1/4 guidance=3`, or "".
    """
    return ()


@lines.register
def _(event: Said, job: str = "") -> Sequence[str]:
    return [event.line]


@lines.register
def _(event: Warned, job: str = "") -> Sequence[str]:
    return [f"warning: {event.line}"]


@lines.register
def _(event: WorkPlanned, job: str = "") -> Sequence[str]:
    summary = event.summary
    cut = [f"cut: {line}" for line in cut_lines(summary)]
    state = f"{job or event.name}: {state_line(summary)}"
    return [state, *reason_lines(summary), *cut, *summary.warnings]


@lines.register
def _(event: Progress, job: str = "") -> Sequence[str]:
    return [progress_line(event, job)] if event.due else ()


def results(event: Event, job: str = "") -> list[Labelled]:
    """An event's results for whoever wants the results; most events have none."""
    found = list(result(event))
    return [("job", job, ""), *found] if job and found else found


@singledispatch
def result(event: object) -> Iterator[Labelled]:
    """The results of one kind of event."""
    return iter(())


@result.register
def _(event: PlanShown) -> Iterator[Labelled]:
    summary = event.summary
    yield event.name, plural(summary.frames, "frame"), ""
    yield from state_results(summary)
    for name, least, most in summary.loras:
        weights = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        yield "lora", f"{name} at {weights}", ""
    for line in summary.heard:
        yield "sound", line, ""
    for begins, start, end in summary.paces[:SHOWN]:
        half = f"half of the change lies from {start:.0%} to {end:.0%} of the way"
        yield "pace", f"from {begins:g} s: {half}", ""
    if (more := len(summary.paces) - SHOWN) > 0:
        yield "", f"and {plural(more, 'segment')} more", ""
    if summary.finish:
        missing = summary.finish.missing
        to_make = f", {missing:,} to make" if missing else ""
        yield "shown", f"{finish_words(summary.finish)}{to_make}", ""
    blend = f", {summary.blend} blend" if summary.blend else ""
    yield "denoiser", f"{plural(summary.rows, 'row')} to compute{blend}", ""
    yield "time", estimate(summary), ""
    yield "disk", f"{size(summary.disk_bytes)} for the frames that are not there", ""
    for line in cut_lines(summary):
        yield "cut", line, "yellow"
    for warning in summary.warnings:
        yield "warning", warning, "yellow"


@result.register
def _(event: Finished) -> Iterator[Labelled]:
    done = f"{event.rendered:,} rendered, {event.kept:,} kept, in {duration(event.seconds)}"
    yield "frames", done, ""
    for index, cause in event.failed[:SHOWN]:
        yield "failed", f"frame {index}: {one_line(cause)}", "red"
    if len(event.failed) > SHOWN:
        yield "failed", f"and {len(event.failed) - SHOWN:,} more", "red"
    if event.bridged:
        some = ", ".join(str(index) for index in event.bridged[:SHOWN])
        more = " …" if len(event.bridged) > SHOWN else ""
        what = "the picture jumps there, and these frames bridge it"
        yield "bridged", f"{some}{more}: {what}", "yellow"
    if event.finish:
        made = f", {event.finish.made:,} made"
        yield "shown", f"{finish_words(event.finish)}{made}", ""
    if event.video is not None:
        was_right = " (as it was)" if event.video_kept else ""
        yield "video", f"{event.video}{was_right}", ""
    if event.sheet is not None:
        yield "sheet", str(event.sheet), ""
    if event.page is not None:
        yield "page", str(event.page), ""
    if event.next:
        yield "next", event.next, ""


def finish_words(finish: FinishSummary) -> str:
    """How a film's pictures are made: `145 pictures at 24 a second, 72 in between (flow)`."""
    pictures = f"{plural(finish.pictures, 'picture')} at {finish.fps:g} a second"
    between = f"{finish.between:,} in between ({finish.inbetween})"
    larger = f"made {finish.width}×{finish.height} by {finish.upscaler}"
    return ", ".join(
        [pictures, *([between] if finish.between else []), *([larger] if finish.upscaler else [])]
    )


@result.register
def _(event: Measured) -> Iterator[Labelled]:
    yield from measured_results(event)


@result.register
def _(event: UnusedFrames) -> Iterator[Labelled]:
    frames = plural(event.count, "frame")
    yield "unused", f"{frames}, {size(event.bytes)}, in {event.folder}", ""
    for file, text in event.first:
        yield "", f"{file}: {text}", ""
    more = event.count - len(event.first)
    if more > 0:
        yield "", f"and {more:,} more", ""


@result.register
def _(event: Pruned) -> Iterator[Labelled]:
    yield "removed", plural(event.count, "frame"), ""


def logged(event: Event, job: str = "") -> Iterator[str]:
    """An event's lines for the log, which has everything."""
    yield from lines(event, job)
    for label, line, _ in results(event, job):
        yield f"{label} {line}"
    if isinstance(event, Ended):
        yield f"ended: {event.error or 'interrupted'}"


def state_results(summary: PlanSummary) -> Iterator[Labelled]:
    """How many frames are in each state, and why."""
    for state, count in summary.counts().items():
        if count:
            yield in_words(state), f"{count:,}", STYLES[state]
            for of, n, why in summary.reasons:
                if of == state:
                    yield "", f"{n:,} {why}", ""


def in_words(state: str) -> str:
    """A frame's state as a person reads it."""
    return WORDS.get(state, state)


def state_line(summary: PlanSummary) -> str:
    """The line before work starts: `37 frames: 12 are there, 25 to render (5 changed)`."""
    missing, there = summary.frames - summary.kept, f"{summary.kept:,} are there"
    others = [(state, count) for state, count in summary.counts().items() if count]
    named = [f"{n:,} {in_words(state)}" for state, n in others if state not in ("kept", "new")]
    which = f" ({', '.join(named)})" if named else ""
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
    """The ends of texts that the model does not read, a line each."""
    return [
        f"{tokens} tokens, the model reads {limit}, not {one_line(lost)!r} at the end of: "
        f"{shortened(one_line(text))}"
        for text, tokens, limit, lost in summary.cut_prompts
    ]


def estimate(summary: PlanSummary) -> str:
    """About how long, and how that is known."""
    if summary.seconds_estimate is None:
        return summary.estimate_source or "unknown before the first run"
    source = f" ({summary.estimate_source})" if summary.estimate_source else ""
    return f"about {duration(summary.seconds_estimate)}{source}"


def plan_text(name: str, summary: PlanSummary) -> str:
    """A plan as `mode=plan` shows it, as plain text."""
    found = results(PlanShown(name, summary))
    width = max(len(one_line(label)) for label, *_ in found)
    return "\n".join(f"{one_line(label):>{width}}  {one_line(line)}" for label, line, _ in found)


def progress_line(event: Progress, job: str = "") -> str:
    """`render 12/37, 1.4 frames/s, 18 s left: A castle`"""
    shown = f": {shortened(event.text)}" if event.text and event.done < event.total else ""
    return f"{verb(event, job)} {numbers(event)}{shown}"


def verb(event: Progress, job: str = "") -> str:
    """The phase's name, after the number of a sweep's job."""
    return f"{job.partition(' ')[0]} {event.phase}".lstrip()


def numbers(event: Progress) -> str:
    """Frames, speed and the time that is left."""
    parts = [f"{event.done}/{event.total}"]
    if event.frames_per_s is not None:
        parts.append(speed(event.frames_per_s))
    if event.left_s is not None:
        parts.append(f"{duration(event.left_s)} left")
    return ", ".join(parts)
