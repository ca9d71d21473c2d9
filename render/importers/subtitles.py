"""SubRip subtitles (.srt): each text is a keyframe's prompt, from when it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from render.importers.imported import Imported, Importer
from render.importers.source import Source
from render.importers.times import seconds

TIMES = re.compile(
    r"\s*(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3})\s*-->\s*(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3}).*",
    re.ASCII,
)
MARKUP = re.compile(r"</?[a-zA-Z][^>\n]{0,100}>|\{\\[^}\n]{0,100}\}")


def recognises(source: Source) -> bool:
    """Whether one of the first lines holds the times of a subtitle."""
    return any(TIMES.fullmatch(line) for line in source.text.split("\n")[:20])


def read(source: Source) -> Imported:
    """A keyframe for each subtitle, which cuts to it; the film ends with the last."""
    found = list(cues(source))
    if not found:
        return Imported([])
    times = [Fraction(0), *(begin for begin, _, _ in found[1:])]
    keyframes = [
        {"at": seconds(time), "prompt": text, "ease": "hold"}
        for time, (_, _, text) in zip(times, found, strict=True)
    ]
    return Imported(keyframes, {"duration": seconds(found[-1][1]), "end": "open"})


def cues(source: Source) -> Iterator[tuple[Fraction, Fraction, str]]:
    """(begin and end in seconds, text) of each subtitle that shows a text.

    Raises:
        ConfigError: a subtitle ends before it begins, or comes before the one above it.
    """
    lines = source.text.split("\n")
    places = [place for place, line in enumerate(lines) if TIMES.fullmatch(line)]
    before = Fraction(-1)
    for place, following in zip(places, [*places[1:], len(lines) + 1], strict=True):
        found = TIMES.fullmatch(lines[place])
        numbers = found.groups() if found else ()
        begin, end = moment(*numbers[:4]), moment(*numbers[4:])
        if end < begin or begin <= before:
            what = "ends before it begins" if end < begin else "begins before the one above it"
            raise source.refusal(f"this subtitle {what}", place + 1)
        shown = lines[place + 1 : following - (1 if following <= len(lines) else 0)]
        if text := MARKUP.sub("", " ".join(" ".join(shown).split())):
            before = begin
            yield begin, end, text


def moment(hours: str, minutes: str, whole: str, part: str) -> Fraction:
    """Seconds of a subtitle's time; `,5` is five thousandths as well as `,005`."""
    return Fraction(3600 * int(hours) + 60 * int(minutes) + int(whole)) + Fraction(int(part), 1000)


SRT = Importer("SubRip subtitles", recognises, read)
