"""`render diff A B`: what differs between two runs, with a picture of the frames that do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from render.cli.showing import run_of
from render.cli.verb_arguments import words_and_root
from render.errors import ConfigError, Mistake
from render.page.film_facts import ranges
from render.run.difference import Difference, difference
from render.store.store import frame_path
from render.text import plural, shortened
from render.video.pairs import draw_pairs

MOST_PAIRS = 8
MOST_RANGES = 12
SHOWN = 40  # letters of a value


def compared(arguments: Sequence[str]) -> Iterator[str]:
    """The lines of `render diff A B [root=FOLDER]`.

    Raises:
        ConfigError: there are not two such runs.
    """
    words, root = words_and_root(arguments)
    if len(words) != 2:
        raise ConfigError([Mistake("render diff", "takes two runs: render diff city city-2")])
    one, other = (run_of(word, root) for word in words)
    found = difference(one, other)
    for key, before, after in found.settings:
        yield f"{key}: {as_text(before)} → {as_text(after)}"
    yield frames_line(found)
    if found.absent:
        yield f"not there in one of them: {named_ranges(found.absent)}"
    if picture := pairs_picture(one, other, found):
        yield str(picture)


def as_text(value: object) -> str:
    """A value on one line."""
    return "nothing" if value is None else shortened(str(value), SHOWN)


def frames_line(found: Difference) -> str:
    """`61 of 73 frames are the same picture; others: 3-14 (0.25 s to 1.17 s)`"""
    longer, count = max(found.counts), len(found.frames)
    if not count and not found.absent:
        return f"all {plural(longer, 'frame')} are the same pictures"
    alike = longer - count - len(found.absent)
    if not count:
        return f"{alike} of {plural(longer, 'frame')} are the same picture"
    first, last = (found.times_s[place] for place in (found.frames[0], found.frames[-1]))
    lengths = "" if len(set(found.counts)) == 1 else f" ({found.counts[0]} and {found.counts[1]})"
    return (
        f"{alike} of {plural(longer, 'frame')}{lengths} are the same picture; others: "
        f"{named_ranges(found.frames)} ({first:.2f} s to {last:.2f} s)"
    )


def named_ranges(places: Sequence[int]) -> str:
    """`3-14, 20`"""
    parts = ranges(places)
    named = [f"{a}" if a == b else f"{a}-{b}" for a, b in parts[:MOST_RANGES]]
    return ", ".join(named) + (" …" if len(parts) > MOST_RANGES else "")


def pairs_picture(one: Path, other: Path, found: Difference) -> Path | None:
    """A picture of frames that differ, the one run's above the other's; None if there are none."""
    both = [place for place in found.frames if place < min(found.counts)]
    files = [
        (place, frame_path(one / "frames", place), frame_path(other / "frames", place))
        for place in both
    ]
    there = [each for each in files if each[1].is_file() and each[2].is_file()]
    if not there:
        return None
    every = -(-len(there) // MOST_PAIRS)
    shown = [(found.times_s[place], above, below) for place, above, below in there[::every]]
    return draw_pairs(shown, one / "diff.png", (one.name, other.name))
