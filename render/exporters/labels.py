"""Audacity's label tracks (.txt): a region for each keyframe whose picture holds, a point for the
others, which blend to the next one."""

from __future__ import annotations

from fractions import Fraction

from render.exporters.outline import Exporter, Mark, Outline
from render.exporters.subtitles import one_line


def labels(film: Outline) -> bytes:
    """A label track: start TAB end TAB text, in seconds with six digits, as Audacity has them."""
    return "".join(f"{label(film, mark)}\n" for mark in film.marks).encode()


def label(film: Outline, mark: Mark) -> str:
    """The line of a keyframe."""
    end = mark.until if holds(film, mark) else mark.time
    return f"{decimal(mark.time)}\t{decimal(end)}\t{one_line(mark.prompt)}"


def holds(film: Outline, mark: Mark) -> bool:
    """Whether the keyframe's picture stays until the next one comes, or until the film ends."""
    if mark is film.marks[-1]:
        return mark.until - mark.time > 1 / film.fps
    return mark.ease == "hold"


def decimal(time: Fraction) -> str:
    """Seconds with six digits. They are cut and not rounded, so that the frame at this time is
    never before its label."""
    whole, part = divmod(time.numerator * 1_000_000 // time.denominator, 1_000_000)
    return f"{whole}.{part:06}"


LABELS = Exporter("Audacity labels of the prompts", ".labels.txt", labels)
