"""A part of a film: some of its frames, as people and farms name them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from render.config.values import mistake, shown

RANGE = re.compile(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?", re.ASCII)
MOST_RANGES = 10_000
HOW = '"24", "24-48", "0-99:2" (every second one) or several of these, with commas between'


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Frames from one to another, every so many."""

    first: int
    last: int
    every: int = 1

    def holds(self, frame: int) -> bool:
        """Whether a frame is among them."""
        return self.first <= frame <= self.last and (frame - self.first) % self.every == 0


def frame_ranges(value: object) -> tuple[FrameRange, ...]:
    """`0-99:2,150`: ranges of frames, counted from 0, as Open Job Description writes them."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise mistake(f"{shown(value)} names no frames; write {HOW}")
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > MOST_RANGES:
        raise mistake(f"more than {MOST_RANGES:,} ranges of frames; write longer ones")
    return tuple(frame_range(part) for part in parts)


def frame_range(written: str) -> FrameRange:
    """One of them."""
    match = RANGE.fullmatch(written)
    if match is None:
        raise mistake(f"{shown(written)} names no frames; write {HOW}")
    first = int(match[1])
    last, every = int(match[2] or first), int(match[3] or 1)
    if last < first:
        raise mistake(f"{shown(written)} ends before it begins")
    if every < 1:
        raise mistake(f"{shown(written)}: every 0th frame is none")
    return FrameRange(first, last, every)


def part_name(shard: tuple[int, int] | None, *selected: object) -> str | None:
    """A name for a part of a film that equal parts have in common; None for the whole.

    Args:
        selected: whatever else chooses frames; None chooses all.
    """
    names = [f"{shard[0]}-of-{shard[1]}"] if shard else []
    if any(each is not None for each in selected):
        names.append(f"frames-{hashlib.sha256(repr(selected).encode()).hexdigest()[:12]}")
    return "-".join(names) or None


def among(ranges: Sequence[FrameRange], frame: int) -> bool:
    """Whether a frame is in one of these ranges."""
    return any(each.holds(frame) for each in ranges)
