"""Words: numbers and other people's text as one reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from rich.filesize import decimal

SEEN = 8  # characters after the place where texts part that show how
NO_LETTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def one_line(text: str) -> str:
    """Text on one line without control characters."""
    return printable(" ".join(text.split()))


def printable(line: str) -> str:
    """A line without control characters, which names of files may hold as well; its spaces stay."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def plain_line(text: str) -> str:
    """Text on one line without control characters and half letters, which YAML and tags of videos
    can't hold; what joins letters stays."""
    return " ".join(NO_LETTERS.sub(" ", text).split())


def digits(value: float) -> str:
    """A number with as many digits as it takes to know it from every other: 1, 0.7, 0.12345678."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def shortened(text: str, most: int = 60) -> str:
    """Text on one line, with an ellipsis where it is cut."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def differing(texts: Iterable[str]) -> dict[str, int]:
    """Where each text begins to differ from the one that it resembles longest, by text."""
    alike = sorted(set(texts))
    places = dict.fromkeys(alike, 0)
    for one, other in pairwise(alike):  # no other text begins more alike than a neighbour does
        shared = shared_letters(one, other)
        places[one], places[other] = max(places[one], shared), shared
    return places


def shared_letters(one: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def cut_where_alike(text: str, differs: int, most: int) -> str:
    """At most so many characters of a text, cut in the middle if it is like another up to
    `differs`, so that the place where it parts from that one stays."""
    if len(text) <= most or differs + SEEN < most:
        return shortened(text, most)
    head = text[: most // 3].rstrip()
    room = most - len(head) - 2
    start = max(len(head), min(text.rfind(" ", 0, differs + 1) + 1, len(text) - room))
    if differs - start > room // 2:  # a long word
        start = differs - room // 2
    whole_words = text.find(" ", start - 1, differs) + 1
    return shortened(f"{head}… {text[whole_words or start :].lstrip()}", most)


def plural(count: int, noun: str) -> str:
    """1 frame, 2 frames"""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def weighted(texts: Iterable[tuple[str, float]]) -> str:
    """Texts with weights, the heaviest first; one alone is itself."""
    by_weight = sorted(texts, key=lambda pair: -pair[1])
    if len(by_weight) == 1:
        return by_weight[0][0]
    return ", ".join(f"{text} {weight:.0%}" for text, weight in by_weight)


def speed(per_second: float) -> str:
    """Frames a second, or seconds a frame when they are slow."""
    return f"{per_second:.1f} frames/s" if per_second >= 1 else f"{1 / per_second:.1f} s/frame"


def duration(seconds: float) -> str:
    """7.2 s, 45 s, 3 min 20 s, 2 h 5 min"""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"


def size(count: float) -> str:
    """Bytes in decimal units, as disks are sold."""
    return decimal(round(count))
