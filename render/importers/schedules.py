"""Schedules of Deforum, `0:(7), 50:(7+2*sin(t/10))`, as values over time.

Numbers are interpolated linearly to the next key; an expression counts from its key to the next
one (`get_inbetweens` of sd-webui-deforum). Before the first key and after the last number the
value stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from render.config.expression import MOST_LETTERS, Node
from render.importers.expressions import (
    decimal,
    is_constant,
    number_of,
    read_expression,
    timeline_expression,
)
from render.importers.json_fields import plain
from render.importers.linear_runs import turning_points
from render.importers.times import frames

MOST_PIECES = 6
"""Of an expression that a person can read."""
TOLERANCE = 1e-6
ScheduledValue = int | float | str | dict[str, Any]
"""A value as a timeline has it: a number, an expression, or points."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's keys in order of their frames.

    Attributes:
        keys: frame and expression; the first frame is 0.
        count: frames of the film; keys beyond it are left out.
        names: the values of names: `max_f`, `s`.
    """

    keys: tuple[tuple[int, Node], ...]
    count: int
    names: Mapping[str, float]

    def number_at(self, frame: int) -> float:
        """The value of a frame.

        Raises:
            ValueError: the expression has none there.
        """
        place = max(index for index, (begin, _) in enumerate(self.keys) if begin <= frame)
        return self.number_from(place, frame)

    def number_from(self, place: int, frame: int) -> float:
        """The value of a frame that comes after the key at a place."""
        begin, term = self.keys[place]
        if not is_constant(term, self.names) or place + 1 == len(self.keys):
            return number_of(term, {**self.names, "t": frame})
        until, following = self.keys[place + 1]
        start, end = number_of(term, self.names), number_of(following, {**self.names, "t": until})
        return start + (end - start) * (frame - begin) / (until - begin)

    def numbers(self) -> list[float]:
        """The values of all frames."""
        found, place = [], 0
        for frame in range(self.count):
            while place + 1 < len(self.keys) and self.keys[place + 1][0] <= frame:
                place += 1
            found.append(self.number_from(place, frame))
        return found

    def value(self) -> ScheduledValue:
        """The schedule as a value of a timeline.

        Raises:
            ValueError: an expression has no number in some frame.
        """
        if all(is_constant(term, self.names) for _, term in self.keys):
            return self.points()
        if len(self.keys) <= MOST_PIECES and len(text := self.pieces()) <= MOST_LETTERS:
            return text
        return as_points(range(self.count), self.numbers())

    def points(self) -> ScheduledValue:
        """A number, or the points of a schedule without expressions."""
        numbers = [number_of(term, self.names) for _, term in self.keys]
        if len(set(numbers)) == 1:
            return tidy(numbers[0])
        pairs = zip(self.keys, numbers, strict=True)
        return {"points": [{"at": frames(at), "value": tidy(number)} for (at, _), number in pairs]}

    def pieces(self) -> str:
        """The expression of the whole schedule: that of each key until the next one comes."""
        text = self.piece(len(self.keys) - 1)
        for place in reversed(range(len(self.keys) - 1)):
            text = f"where(frame < {self.keys[place + 1][0]}, {self.piece(place)}, {text})"
        return text

    def piece(self, place: int) -> str:
        """The expression from one key to the next."""
        begin, term = self.keys[place]
        if not is_constant(term, self.names):
            return self.written(term)
        start = tidy(number_of(term, self.names))
        if place + 1 == len(self.keys):
            return decimal(start)
        until, following = self.keys[place + 1]
        end = tidy(number_of(following, {**self.names, "t": until}))
        if start == end:
            return decimal(start)
        elapsed = f"frame - {begin}" if begin else "frame"
        share = f"({elapsed}) / {until - begin}" if begin else f"{elapsed} / {until}"
        return f"lerp({decimal(start)}, {decimal(end)}, {share})"

    def written(self, term: Node) -> str:
        """An expression as timelines have it."""
        names = {name: decimal(number) for name, number in self.names.items()}
        signed = {name: f"({text})" if text[0] == "-" else text for name, text in names.items()}
        return timeline_expression(term, {**signed, "t": "frame"})


def read_schedule(text: str, count: int, names: Mapping[str, float]) -> Schedule:
    """The schedule that a text is.

    Args:
        count: frames of the film.
        names: the values of names beside `t`.

    Raises:
        ValueError: it is none, with what is wrong.
    """
    keys: dict[int, Node] = {}
    for entry in entries(text):
        key, colon, value = entry.partition(":")
        if not colon:
            raise ValueError(f"has {entry.strip()[:40]!r} where FRAME: (VALUE) belongs")
        keys[frame_of(key, names)] = read_expression(value)
    inside = sorted((frame, term) for frame, term in keys.items() if 0 <= frame < count)
    if not inside:
        raise ValueError("has no key at a frame of the film")
    if inside[0][0] > 0:
        first, term = inside[0]
        start = number_of(term, {**names, "t": first})
        inside.insert(0, (0, Node(start)))
    return Schedule(tuple(inside), count, names)


def frame_of(key: str, names: Mapping[str, float]) -> int:
    """The frame of a key: a number, or arithmetic of `max_f`, perhaps in quotes.

    Raises:
        ValueError: it is neither.
    """
    number = number_of(read_expression(key.strip().strip("'\"")), names)
    return int(number)


def entries(text: str) -> list[str]:
    """The parts of a text between commas that are in no brackets."""
    found, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            found.append(text[begin:place])
            begin = place + 1
    found.append(text[begin:])
    return [entry for entry in found if entry.strip()]


def as_points(
    places: Sequence[int], numbers: Sequence[float], off: float = TOLERANCE
) -> ScheduledValue:
    """Numbers of many frames as one, or as the few points between which they are linear.

    Args:
        off: how far a number may lie from the line.
    """
    if max(numbers) - min(numbers) <= off:
        return tidy(numbers[0])
    turns = turning_points(places, [{"": number} for number in numbers], off)
    points = [{"at": frames(places[turn]), "value": tidy(numbers[turn])} for turn in turns]
    return {"points": points}


def tidy(number: float) -> int | float:
    """A number without the dust of its last digits."""
    return plain(float(f"{number:.10g}"))
