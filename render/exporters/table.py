"""A table of the keyframes (.csv, RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
from fractions import Fraction

from render.exporters.outline import Exporter, Mark, Outline

COLUMNS = ("time_s", "frame", "until_s", "prompt", "seed", "guidance", "negative", "ease")
FORMULA = ("=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠")
"""The first letters of cells that a spreadsheet would compute, or run."""


def table(film: Outline) -> bytes:
    """A row for each keyframe; the mark at the beginning makes Excel read it as UTF-8."""
    stream = io.StringIO(newline="")
    rows = csv.writer(stream)
    rows.writerow(COLUMNS)
    rows.writerows(row(film, mark) for mark in film.marks)
    return stream.getvalue().encode("utf-8-sig", "replace")


def row(film: Outline, mark: Mark) -> list[str]:
    """The cells of a keyframe; `frame` counts from 0 and has a point where it lies between two."""
    negative = " + ".join(text for text, _ in mark.values.negatives)
    return [
        number(mark.time),
        number(mark.time * film.fps),
        number(mark.until),
        harmless(mark.prompt),
        mark.seed,
        f"{mark.values.guidance:g}",
        harmless(negative),
        mark.ease,
    ]


def number(value: Fraction) -> str:
    """A number with six digits at most."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe marks it as a text."""
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


CSV = Exporter("a table of the keyframes", ".csv", table)
