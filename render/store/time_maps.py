"""The time maps of segments of even pace, as the store remembers them. A map that is lost is
measured again, and is the same where its probes are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from render.errors import DiskFull
from render.files.atomic import make_folder, write_whole
from render.files.lock import adding_to
from render.files.ownership import make_way, unsaid
from render.files.received_json import read_memory, read_to_add
from render.timeline.pace import TimeMap

MAPS_NAME = "paces.json"
MOST_PLACES = 20_000  # of a map: thousands are measured, and every frame is placed by them
VERSION = 2  # raised by hand when equal probes would give another map


def remembered(store: Path) -> dict[str, TimeMap]:
    """The maps that earlier runs measured, by their segments' digests."""
    return maps_in(read_memory(store / MAPS_NAME))


def maps_in(found: Mapping[str, object]) -> dict[str, TimeMap]:
    """The maps among a file's entries."""
    return {digest: made for digest, entry in found.items() if (made := as_map(entry))}


def as_map(entry: object) -> TimeMap | None:
    """A map from a file's entry; None if the entry is none."""
    if not isinstance(entry, dict) or entry.get("version") != VERSION:
        return None
    places, lengths = (rising(entry.get(name)) for name in ("places", "lengths"))
    jumps = pairs(entry.get("jumps", []))
    if not places or len(places) != len(lengths) or jumps is None:
        return None
    return TimeMap(places, lengths, jumps)


def rising(values: object) -> tuple[float, ...]:
    """Numbers that rise from 0 to 1; () if the value is something else."""
    if not isinstance(values, list) or not 2 <= len(values) <= MOST_PLACES:
        return ()
    if not all(type(value) in (int, float) for value in values):
        return ()
    rise = all(before < after for before, after in pairwise(values))
    return tuple(map(float, values)) if rise and (values[0], values[-1]) == (0, 1) else ()


def pairs(values: object) -> tuple[tuple[float, float], ...] | None:
    """Pairs of numbers from 0 to 1, the second of each above the first; None if the value is
    something else."""
    if not isinstance(values, list) or len(values) > MOST_PLACES:
        return None
    found = []
    for pair in values:
        if not isinstance(pair, list) or len(pair) != 2:
            return None
        if (
            not all(type(value) in (int, float) for value in pair)
            or not 0 <= pair[0] < pair[1] <= 1
        ):
            return None
        found.append((float(pair[0]), float(pair[1])))
    return tuple(found)


def remember(store: Path, maps: Mapping[str, TimeMap]) -> None:
    """Keep maps for later runs; a place that can't be written only costs time.

    What is known already stays as it is: films were planned by it. So nothing is written while the
    file can't be read.
    """
    path = store / MAPS_NAME
    with suppress(OSError, DiskFull):
        make_folder(path.parent)
        with adding_to(path):
            known = {**maps, **maps_in(read_to_add(path))}
            make_way(path, unsaid)
            write_whole(path, json.dumps(entries(known), indent=1).encode())


def entries(maps: Mapping[str, TimeMap]) -> dict[str, object]:
    """Maps as their file has them."""
    return {
        digest: {
            **({"jumps": each.jumps} if each.jumps else {}),
            **{"lengths": each.lengths, "places": each.places, "version": VERSION},
        }
        for digest, each in sorted(maps.items())
    }
