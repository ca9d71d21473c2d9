"""Audacity's label tracks (.txt): start TAB end TAB text, in seconds.

A label with frequencies has a second line, which begins with a backslash (Audacity's manual,
"Importing and Exporting Labels").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise

from render.importers.imported import MOST_KEYFRAMES, Imported, Importer
from render.importers.regions import Region, film_of_regions
from render.importers.source import Source
from render.text import plain_line

NUMBER = r"(\d{1,9}(?:[.,]\d{1,12})?)"
LABEL = re.compile(rf"{NUMBER}\t{NUMBER}(?:\t(.*))?", re.ASCII)
FREQUENCIES = re.compile(r"\\\t[^\t]*\t[^\t]*")
LINES_LOOKED_AT = 20
HOW = "write its start and its end in seconds and its text, with a tab between them"


def recognises(source: Source) -> bool:
    """Whether the first lines are labels."""
    lines = [line for line in source.text.split("\n")[:LINES_LOOKED_AT] if line.strip()]
    return bool(lines) and all(LABEL.fullmatch(one) or FREQUENCIES.fullmatch(one) for one in lines)


def read(source: Source) -> Imported:
    """A keyframe for each label; labels of several tracks are put in order.

    Raises:
        ConfigError: a line is no label, or two labels begin at one time.
    """
    first = islice(labels(source), MOST_KEYFRAMES + 1)
    found = sorted(first, key=lambda pair: pair[1].begin)
    for (_, before), (line, label) in pairwise(found):
        if before.begin == label.begin:
            raise source.refusal(f"begins with {before.text!r}; move one of the two", line)
    texts = [label for _, label in found if label.text]
    if not texts:
        return Imported([])
    film = film_of_regions(texts, {})
    lost = [*film.lost]
    if len(texts) < len(found):
        lost.append(f"labels without a text: {len(found) - len(texts)}")
    if any(FREQUENCIES.fullmatch(line) for line in source.text.split("\n")):
        lost.append("frequencies of labels: a picture has none")
    return Imported(film.keyframes, film.timeline, film.settings, lost, film.lost_at)


def labels(source: Source) -> Iterator[tuple[int, Region]]:
    """The labels with their lines.

    Raises:
        ConfigError: a line is none.
    """
    for number, line in enumerate(source.text.split("\n"), 1):
        if not line.strip() or FREQUENCIES.fullmatch(line):
            continue
        found = LABEL.fullmatch(line)
        if found is None:
            raise source.refusal(f"is no label; {HOW}", number)
        begin, end = (Fraction(found[place].replace(",", ".")) for place in (1, 2))
        if end < begin:
            raise source.refusal("this label ends before it begins", number)
        yield number, Region(begin, end, plain_line(found[3] or ""))


LABELS = Importer("Audacity labels", recognises, read)
