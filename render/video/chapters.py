"""Chapters of a video: one for each span of a keyframe, with its prompt as the title."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from render.text import plain_line

MOST_TITLE_BYTES = 200
"""MP4's older kind of chapters counts the bytes of a title in one byte."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a film with a title. Times are in milliseconds, as all containers have them."""

    begin_ms: int
    end_ms: int
    title: str


def chapters_of(spans: Iterable[tuple[Fraction, Fraction, str]]) -> Iterator[Chapter]:
    """Chapters of (begin and end in seconds, text); spans below a millisecond have none."""
    for begin, end, text in spans:
        begin_ms, end_ms = round(1000 * begin), round(1000 * end)
        if end_ms > begin_ms:
            yield Chapter(begin_ms, end_ms, title(text))


def title(text: str) -> str:
    """A text in one line, cut between letters where it is too long."""
    line = plain_line(text) or "-"
    if len(line.encode()) <= MOST_TITLE_BYTES:
        return line
    room = MOST_TITLE_BYTES - len("…".encode())
    return line.encode()[:room].decode("utf-8", "ignore").rstrip() + "…"


def as_data(chapters: Sequence[Chapter]) -> list[list[object]]:
    """Chapters as plain data, for a video's identity."""
    return [[each.begin_ms, each.end_ms, each.title] for each in chapters]
