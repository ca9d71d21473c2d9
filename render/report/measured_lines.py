"""Lines of a measurement: a film's figures as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from render.measurement.figures import Figures, SegmentFigures
from render.measurement.perceived import PerceivedFigures
from render.report.events import Measured, NamedFrame
from render.text import plural

if TYPE_CHECKING:
    from render.report.lines import Labelled

SHOWN = 5  # of frames that stand out alike
LEAST_SHARP = 0.6
"""Less than this part of the keyframes' sharpness or contrast is a fault."""
NAMES = {"flash": "flash", "snap": "jump", "cut": "cut", "doubled": "doubled"}
STYLES = {"flash": "yellow", "snap": "yellow"}


def measured_results(event: Measured) -> Iterator[Labelled]:
    """A measurement's lines: in full where that was asked for, else its figures in short."""
    figures = event.figures
    if event.files:
        length = f"{plural(figures.frames, 'frame')} in {event.times_s[-1]:.2f} s"
        yield event.name, length, ""
    yield "pace", pace_line(figures), ""
    if event.lpips:
        yield "lpips", perceived_line(event.lpips), ""
    if event.files:
        for segment in figures.segments:
            yield "segment", segment_line(segment, event.times_s), segment_style(segment)
    for kind in ("flash", "snap", "cut"):
        yield from named_lines(kind, event.named)
    for kind, frames in (("doubled", figures.doubled), ("held", figures.held)):
        if frames and event.files:
            yield kind, repeats_line(kind, frames), ""
    for file in event.files:
        yield file.suffix[1:], str(file), ""


def perceived_line(figures: PerceivedFigures) -> str:
    """`mean step 0.0123, Gini 0.20, largest step 2.1 × the median, path up to 1.9 × …`"""
    parts = [f"mean step {sum(figures.steps) / len(figures.steps):.4f}", f"Gini {figures.gini:.2f}"]
    if figures.largest_over_median is not None:
        parts.append(f"largest step {figures.largest_over_median:.1f} × the median")
    if figures.path is not None:
        parts.append(f"path up to {figures.path:.1f} × the direct one")
    return ", ".join(parts)


def pace_line(figures: Figures) -> str:
    """`Gini 0.45, largest step 5.6 × the median, path up to 4.2 × the direct one, 9 flashes`"""
    parts = [f"Gini {figures.gini:.2f}"]
    if figures.largest_over_median is not None:
        parts.append(f"largest step {figures.largest_over_median:.1f} × the median")
    if figures.largest_path is not None:
        parts.append(f"path up to {figures.largest_path:.1f} × the direct one")
    for count, one, more in (
        (len(figures.flashes), "flash", "flashes"),
        (len(figures.snaps), "jump", "jumps"),
    ):
        parts.append(f"{count or 'no'} {one if count == 1 else more if count else one}")
    return ", ".join(parts)


def segment_line(segment: SegmentFigures, times: Sequence[float]) -> str:
    """`0.00 to 1.50 s: Gini 0.34, largest step 1.9 ×, path 2.4 ×, sharpness 0.61 (0.67 s) …`"""
    parts = [f"Gini {segment.gini:.2f}"]
    if segment.largest_over_median is not None:
        parts.append(f"largest step {segment.largest_over_median:.1f} ×")
    if segment.path is not None:
        parts.append(f"path {segment.path:.1f} ×")
    for name, worst in (("sharpness", segment.sharpness), ("contrast", segment.contrast)):
        if worst is not None:
            parts.append(f"{name} {worst[0]:.2f} ({time_of(worst[1], times):.2f} s)")
    if segment.double_exposure is not None:
        parts.append(f"double exposure {segment.double_exposure:.2f}")
    first, last = time_of(segment.first, times), time_of(segment.last, times)
    return f"{first:.2f} to {last:.2f} s: {', '.join(parts)}"


def segment_style(segment: SegmentFigures) -> str:
    """Yellow where pictures between the keyframes are blurred."""
    worst = min(part[0] for part in (segment.sharpness, segment.contrast, (1.0, 0)) if part)
    return "yellow" if worst < LEAST_SHARP else ""


def time_of(frame: int, times: Sequence[float]) -> float:
    """When a frame is shown; in a loop the first one once more after the last."""
    if frame < len(times):
        return times[frame]
    return times[-1] + (times[-1] - times[0]) / max(1, len(times) - 1)


def named_lines(kind: str, named: Sequence[NamedFrame]) -> Iterator[Labelled]:
    """The frames of a kind, each with its time and its prompts."""
    found = [frame for frame in named if frame.kind == kind]
    for frame in found[:SHOWN]:
        size = f", {frame.size:.1f} × the median" if frame.size and kind == "snap" else ""
        prompts = f": {frame.prompts}" if frame.prompts else ""
        at = f"{frame.time_s:.2f} s (frame {frame.frame}{size})"
        yield NAMES[kind], f"{at}{prompts}", STYLES.get(kind, "")
    if len(found) > SHOWN:
        yield NAMES[kind], f"and {len(found) - SHOWN:,} more", STYLES.get(kind, "")


def repeats_line(kind: str, frames: Sequence[int]) -> str:
    """`3 frames repeat the one before: 4, 9, 10`"""
    listed = ", ".join(map(str, frames[:SHOWN])) + (" …" if len(frames) > SHOWN else "")
    asked = " as the timeline asks" if kind == "held" else ""
    verb = "repeats" if len(frames) == 1 else "repeat"
    return f"{plural(len(frames), 'frame')} {verb} the one before{asked}: {listed}"
