"""Analyses of sounds as JSON: in the store for every later run, and in a run's folder, from where
they go to another machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from render.config.moments import BANDS
from render.files.received_json import read_data
from render.hearing.analysis import VERSION
from render.timeline.heard import Heard

SOUNDS = "sounds"
"""The folder of analyses in a store: `DIGEST.json`."""
AUDIO_NAME = "audio.json"
"""The file of a run's analyses."""
MOST_BYTES = 200_000_000
PARTS = 1000  # a level is a whole number of these


def content_of(sounds: Iterable[Heard]) -> bytes:
    """The analyses of sounds, as a file holds them."""
    found = {heard.digest: entry(heard) for heard in sounds}
    text = json.dumps({"render": "audio", "version": VERSION, "sounds": found}, indent=0)
    return (text + "\n").encode()


def entry(heard: Heard) -> dict[str, Any]:
    """One sound as data; times in seconds, levels in thousandths."""
    return {
        "duration": float(heard.duration),
        "bpm": float(heard.bpm),
        "beats": [float(time) for time in heard.beats],
        "downbeats": [float(time) for time in heard.downbeats],
        "onsets": {band: [float(time) for time in times] for band, times in heard.onsets.items()},
        "levels": {
            band: " ".join(str(round(level * PARTS)) for level in levels)
            for band, levels in heard.levels.items()
        },
    }


def kept(file: Path) -> dict[str, Heard]:
    """The analyses in a file, by the sounds' digests. It may come from anyone: one that can't be
    used is left out."""
    try:
        content = read_data(file, MOST_BYTES)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return {}
    sounds = content.get("sounds")
    found = sounds.items() if isinstance(sounds, dict) else ()
    read = ((digest, as_heard(str(digest), value)) for digest, value in found)
    return {str(digest): heard for digest, heard in read if heard is not None}


def as_heard(digest: str, value: object) -> Heard | None:
    """A sound of a file's entry; None if it is none."""
    if not isinstance(value, dict):
        return None
    try:
        onsets, levels = bands(value["onsets"]), bands(value["levels"])
        return Heard(
            digest,
            Fraction(str(positive(value["duration"]))),
            rising(value["beats"]),
            Fraction(str(positive(value["bpm"]))),
            rising(value["downbeats"]),
            {band: rising(times) for band, times in onsets.items()},
            {band: shares(each) for band, each in levels.items()},
        )
    except (KeyError, TypeError, ValueError):
        return None


def bands(value: object) -> Mapping[str, object]:
    """A mapping with an entry for each band."""
    if not isinstance(value, dict) or set(value) != set(BANDS):
        raise ValueError("no bands")
    return value


def positive(value: object) -> float:
    """A number from 0 on."""
    if type(value) not in (int, float) or not 0 <= float(str(value)) < 1e6:
        raise ValueError("no number")
    return float(str(value))


def rising(value: object) -> tuple[Fraction, ...]:
    """Times in seconds, each later than the one before."""
    if not isinstance(value, list):
        raise ValueError("no list")
    times = tuple(Fraction(str(positive(each))) for each in value)
    if any(after <= before for before, after in pairwise(times)):
        raise ValueError("not in order")
    return times


def shares(value: object) -> tuple[float, ...]:
    """Levels from 0 to 1."""
    if not isinstance(value, str):
        raise ValueError("no levels")
    levels = tuple(int(each) / PARTS for each in value.split())
    if any(not 0 <= level <= 1 for level in levels):
        raise ValueError("no levels")
    return levels
