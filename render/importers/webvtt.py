"""WebVTT subtitles (.vtt), as browsers show them: each text is a keyframe's prompt.

The format is that of https://www.w3.org/TR/webvtt1/, section 4.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby

from render.importers.imported import Imported, Importer
from render.importers.source import Source
from render.importers.subtitles import Cue, film_of_cues, in_order, moment
from render.text import plain_line

HEADER = re.compile(r"WEBVTT(?:[ \t].*)?")
TIME = r"(?:(\d{2,3}):)?(\d{2}):(\d{2})\.(\d{3})"
TIMES = re.compile(rf"\s*{TIME}\s+-->\s+{TIME}(?:[ \t]+(\S.*)?)?", re.ASCII)
TAG = re.compile(r"</?[a-zA-Z0-9][^<>\n]{0,200}>|</?>")
OTHER_BLOCK = re.compile(r"(NOTE|STYLE|REGION)(?:[ \t].*)?")
ARROW = "-->"


def recognises(source: Source) -> bool:
    """Whether the first line is WebVTT's."""
    return HEADER.fullmatch(source.text.partition("\n")[0]) is not None


def read(source: Source) -> Imported:
    """A keyframe for each cue, which cuts to it; the film ends with the last."""
    film = film_of_cues(in_order(source, cues(source)))
    kinds = {found[1] for block in blocks(source) if (found := OTHER_BLOCK.fullmatch(block[0][1]))}
    lost = [f"blocks of {kind}: a picture has none" for kind in sorted(kinds)]
    if any(has_looks(source)):
        lost.append("places, speakers and styles of texts: a picture shows no letters")
    return Imported(film.keyframes, film.timeline, film.settings, lost)


def blocks(source: Source) -> Iterator[list[tuple[int, str]]]:
    """The blocks behind the header, as their lines with their numbers."""
    lines = enumerate(source.text.split("\n"), 1)
    for is_empty, block in groupby(lines, lambda pair: not pair[1]):
        if not is_empty and (found := [pair for pair in block if pair[0] > 1]):
            yield found


def timed(source: Source) -> Iterator[tuple[int, re.Match[str], str]]:
    """(line of its times, times, text with its markup) of each cue.

    Raises:
        ConfigError: its times can't be read.
    """
    for block in blocks(source):
        place = next((k for k, (_, line) in enumerate(block[:2]) if ARROW in line), None)
        if place is None or OTHER_BLOCK.fullmatch(block[0][1]):
            continue
        number, line = block[place]
        times = TIMES.fullmatch(line)
        if times is None:
            what = "these times can't be read; they are as 00:01.000 --> 01:00:02.500"
            raise source.refusal(what, number)
        yield number, times, "\n".join(text for _, text in block[place + 1 :])


def cues(source: Source) -> Iterator[Cue]:
    """The cues as they come."""
    for number, times, marked in timed(source):
        groups = [group or "0" for group in times.groups()[:8]]
        begin, end = moment(*groups[:4]), moment(*groups[4:])
        text = plain_line(html.unescape(TAG.sub("", marked)))
        yield Cue(number, Fraction(begin), Fraction(end), text)


def has_looks(source: Source) -> Iterator[bool]:
    """Whether each cue says how its text looks, where it is, or who speaks it."""
    return (bool(times[9] or TAG.search(marked)) for _, times, marked in timed(source))


VTT = Importer("WebVTT subtitles", recognises, read)
