"""SubRip subtitles (.srt): each text is a keyframe's prompt, from when it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise

from render.importers.imported import MOST_KEYFRAMES, Imported, Importer
from render.importers.source import Source
from render.importers.times import seconds
from render.text import plain_line

TIMES = re.compile(
    r"\s*(\d{1,3}):(\d{2}):(\d{2})(?:[,.](\d{1,3}))?\s*-->"
    r"\s*(\d{1,3}):(\d{2}):(\d{2})(?:[,.](\d{1,3}))?(?:\s.*)?",
    re.ASCII,
)
MARKUP = re.compile(r"</?[a-zA-Z][^<>\n]{0,100}>|\{\\[^{}\n]{0,100}\}")


def recognises(source: Source) -> bool:
    """Whether one of the first lines holds the times of a subtitle."""
    return any(TIMES.fullmatch(line) for line in source.text.split("\n")[:20])


@dataclass(frozen=True, slots=True)
class Cue:
    """A text with the times between which it is shown, in seconds; `line` is where it says so."""

    line: int
    begin: Fraction
    end: Fraction
    text: str


def read(source: Source) -> Imported:
    """A keyframe for each subtitle, which cuts to it; the film ends with the last."""
    return film_of_cues(in_order(source, cues(source)))


def film_of_cues(shown: Iterable[Cue]) -> Imported:
    """The film of subtitles; the first is there from its beginning."""
    found = list(islice(shown, MOST_KEYFRAMES + 1))
    if not found:
        return Imported([])
    times = [Fraction(0), *(cue.begin for cue in found[1:])]
    keyframes = [
        {"at": seconds(time), "prompt": cue.text, "ease": "hold"}
        for time, cue in zip(times, found, strict=True)
    ]
    late = "the time before the first text, which is shown from the beginning"
    lost_at = {0: [late]} if found[0].begin else {}
    for place, (cue, following) in enumerate(pairwise(found)):
        if cue.end > following.begin:
            lost_at.setdefault(place, []).append("the time for which the next text is beside it")
    last = max(cue.end for cue in found)
    ends = {"duration": seconds(last), "end": "open" if last > times[-1] else "closed"}
    return Imported(keyframes, ends, lost_at=lost_at)


def in_order(source: Source, found: Iterable[Cue]) -> Iterator[Cue]:
    """The subtitles that show a text.

    Raises:
        ConfigError: one ends before it begins, or comes before the one above it.
    """
    before = Fraction(-1)
    for cue in found:
        if cue.end < cue.begin or cue.begin <= before:
            wrong = cue.end < cue.begin
            what = "ends before it begins" if wrong else "begins before the one above it"
            raise source.refusal(f"this subtitle {what}", cue.line)
        if cue.text:
            before = cue.begin
            yield cue


def cues(source: Source) -> Iterator[Cue]:
    """The subtitles as they come."""
    lines = source.text.split("\n")
    places = [place for place, line in enumerate(lines) if TIMES.fullmatch(line)]
    for place, following in zip(places, [*places[1:], len(lines) + 1], strict=False):
        found = TIMES.fullmatch(lines[place])
        numbers = found.groups() if found else ()
        shown = lines[place + 1 : following - (1 if following <= len(lines) else 0)]
        text = plain_line(MARKUP.sub("", " ".join(" ".join(shown).split())))
        yield Cue(place + 1, moment(*numbers[:4]), moment(*numbers[4:]), text)


def moment(hours: str, minutes: str, whole: str, part: str | None) -> Fraction:
    """Seconds of a subtitle's time; `,5` is five thousandths as well as `,005`."""
    full = Fraction(3600 * int(hours) + 60 * int(minutes) + int(whole))
    return full + Fraction(int(part or 0), 1000)


SRT = Importer("SubRip subtitles", recognises, read)
