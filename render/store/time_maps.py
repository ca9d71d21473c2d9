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
from render.files.ownership import make_way, unsaid
from render.files.received_json import read_memory
from render.timeline.pace import TimeMap

MAPS_NAME = "paces.json"
VERSION = 1  # raised by hand when equal probes would give another map


def remembered(store: Path) -> dict[str, TimeMap]:
    """The maps that earlier runs measured, by their segments' digests."""
    found = read_memory(store / MAPS_NAME)
    return {digest: made for digest, entry in found.items() if (made := as_map(entry))}


def as_map(entry: object) -> TimeMap | None:
    """A map from a file's entry; None if the entry is none."""
    if not isinstance(entry, dict) or entry.get("version") != VERSION:
        return None
    places, lengths = (rising(entry.get(name)) for name in ("places", "lengths"))
    return TimeMap(places, lengths) if places and len(places) == len(lengths) else None


def rising(values: object) -> tuple[float, ...]:
    """Numbers that rise from 0 to 1; () if the value is something else."""
    if not isinstance(values, list) or len(values) < 2:
        return ()
    if not all(type(value) in (int, float) for value in values):
        return ()
    rise = all(before < after for before, after in pairwise(values))
    return tuple(map(float, values)) if rise and (values[0], values[-1]) == (0, 1) else ()


def remember(store: Path, maps: Mapping[str, TimeMap]) -> None:
    """Keep maps for later runs; a place that can't be written only costs time.

    What is known already stays as it is: films were planned by it.
    """
    path = store / MAPS_NAME
    known = {**maps, **remembered(store)}
    entries = {
        digest: {"lengths": each.lengths, "places": each.places, "version": VERSION}
        for digest, each in sorted(known.items())
    }
    with suppress(OSError, DiskFull):
        make_folder(path.parent)
        make_way(path, unsaid)
        write_whole(path, json.dumps(entries, indent=1).encode())
