"""OpenTimelineIO (.otio): the markers of a timeline and of all in it become keyframes.

Only the JSON of the format is read, by opentimelineio itself; neither its plugins nor any media are
loaded. Where markers are is in "Time Ranges" of https://opentimelineio.readthedocs.io: those of a
clip count in the clip's media, those of a track or a stack from its beginning.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from render.exporters.optional import optional
from render.exporters.otio import METADATA
from render.importers.imported import Imported, Importer
from render.importers.otio_keyframes import NamedMarker, film_of_ours, rational
from render.importers.otio_places import MarkerFinder, PlacedMarker, exact_rate
from render.importers.regions import Region, film_of_regions
from render.importers.source import Source
from render.importers.times import frames, seconds
from render.text import plain_line

MOST_LEVELS = 200
SCHEMA = "OTIO_SCHEMA"
NUMBERED = re.compile(r"(?:marker|segment)?\s*\d*", re.IGNORECASE)
"""Names that editors give markers by themselves."""


def recognises(source: Source) -> bool:
    """Whether the file is an object of OpenTimelineIO."""
    return isinstance(source.data, dict) and isinstance(source.data.get(SCHEMA), str)


def read(source: Source) -> Imported:
    """A keyframe for each marker.

    Raises:
        ConfigError: the file is broken, has no marker, or opentimelineio is not installed.
    """
    finder = MarkerFinder(optional("opentimelineio"), source)
    timeline = opened(finder, source)
    places = finder.placed(timeline)
    found = [said(place) for place in places]
    kept = without_doubles([each for each in found if each.text])
    if not kept:
        what = "has no marker with a name; set one where a picture begins, named after its prompt"
        raise source.refusal(what)
    facts = facts_of(timeline)
    fps = rational(facts.get("fps")) or usual_rate(places)
    if any(each.facts for each in kept):
        film = ours(kept, facts, fps)
    else:
        film = of_others(kept, finder.span(timeline.tracks)[1], fps)
    lost = [*film.lost, *sentences(found, kept, finder)]
    settings = {"output.fps": whole_or_text(fps), **film.settings} if fps else film.settings
    return Imported(film.keyframes, film.timeline, settings, lost, film.lost_at)


def opened(finder: MarkerFinder, source: Source) -> Any:
    """The timeline of a file.

    Raises:
        ConfigError: it holds none.
    """
    if not recognises(source):  # what Python finds too deep could end the library's process
        raise source.refusal("is no JSON of OpenTimelineIO that can be read")
    if levels(source.data) > MOST_LEVELS:
        raise source.refusal(f"is nested more than {MOST_LEVELS} levels deep")
    try:
        found = finder.otio.core.deserialize_json_from_string(source.text)
    except Exception as error:  # data of any shape: the library raises many kinds
        reason = " ".join(str(error).split())[:200]
        raise source.refusal(f"can't be read as OpenTimelineIO: {reason}") from None
    if not isinstance(found, finder.otio.schema.Timeline) or found.tracks is None:
        kind = str(source.data.get(SCHEMA))[:60] if isinstance(source.data, dict) else "nothing"
        raise source.refusal(f"holds {kind!r} and no timeline; export the timeline", key=SCHEMA)
    return found


def levels(data: object) -> int:
    """How deep lists and mappings are nested in each other."""
    deep, level = 0, [data]
    while level and deep <= MOST_LEVELS:
        deep += 1
        held = [value for value in level if isinstance(value, dict | list)]
        level = [
            one for value in held for one in (value.values() if isinstance(value, dict) else value)
        ]
    return deep


def said(place: PlacedMarker) -> NamedMarker:
    """A marker as plain data. Its comment counts where its name is one that an editor gave it."""
    marker = place.marker
    comment = getattr(marker, "comment", "") or ""
    name = marker.name or ""
    text = name if comment == "" or not NUMBERED.fullmatch(name.strip()) else comment
    facts = facts_of(marker)
    return NamedMarker(place.begin, place.end, name if facts else plain_line(text), facts)


def facts_of(holder: Any) -> dict[str, Any]:
    """The facts that render wrote into an object's metadata; none if it wrote nothing."""
    if METADATA not in holder.metadata:
        return {}
    written = json.loads(holder.to_json_string())["metadata"][METADATA]
    return written if isinstance(written, dict) else {}


def without_doubles(found: Sequence[NamedMarker]) -> list[NamedMarker]:
    """The markers in order, the first of those at one time."""
    kept: dict[Fraction, NamedMarker] = {}
    for each in found:
        kept.setdefault(each.at, each)
    return list(kept.values())


def usual_rate(places: Sequence[PlacedMarker]) -> Fraction | None:
    """The rate in which most markers count, if pictures can have it."""
    rates = Counter(exact_rate(place.marker.marked_range.start_time.rate) for place in places)
    ((rate, _),) = rates.most_common(1)
    return rate if 1 < rate <= 1000 else None


def ours(found: Sequence[NamedMarker], facts: dict[str, Any], fps: Fraction | None) -> Imported:
    """The film of markers that render exported, where others may be among them."""
    return film_of_ours(found, facts, lambda time: written(time, fps))


def of_others(found: Sequence[NamedMarker], length: Fraction, fps: Fraction | None) -> Imported:
    """The film of markers that another program made. It is as long as its timeline."""
    regions = [Region(each.begin, each.end, each.text) for each in found]
    film = film_of_regions(regions, {}, lambda time: written(time, fps))
    if regions[-1].is_point and length > regions[-1].end:
        timeline = {"duration": written(length, fps), "end": "open"}
        return Imported(film.keyframes, timeline, film.settings, film.lost, film.lost_at)
    return film


def written(time: Fraction, fps: Fraction | None) -> int | float | str:
    """A time in frames where it falls on one, else in seconds."""
    if fps is None or (time * fps).denominator != 1:
        return seconds(time)
    return frames((time * fps).numerator)


def whole_or_text(rate: Fraction) -> int | str:
    """A rate as people write it."""
    return rate.numerator if rate.denominator == 1 else f"{rate.numerator}/{rate.denominator}"


def sentences(
    found: Sequence[NamedMarker], kept: Sequence[NamedMarker], finder: MarkerFinder
) -> list[str]:
    """Sentences about what could not be carried over."""
    unnamed = sum(not each.text for each in found)
    counts = {
        "markers without a name": unnamed,
        "markers at the time of another one": len(found) - unnamed - len(kept),
        "markers in parts of clips that are cut away": finder.cut,
    }
    lost = [f"{what}: {count}" for what, count in counts.items() if count]
    if finder.warped:
        lost.append("speeds of clips: markers in them are where they would be at the usual speed")
    return lost


OTIO = Importer("a timeline of OpenTimelineIO", recognises, read)
