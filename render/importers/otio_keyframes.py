"""Markers that render itself exported, as the keyframes that they were made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from render.importers.imported import Imported
from render.importers.regions import TimeFormat

NEAR = Fraction(1, 1_000_000)  # seconds
NOTHING = (None, "")
"""Values that are no settings."""


@dataclass(frozen=True, slots=True)
class NamedMarker:
    """A marker as plain data.

    Attributes:
        begin, end: in seconds.
        text: its name or its comment.
        facts: those that render wrote into it; empty if another program made it.
    """

    begin: Fraction
    end: Fraction
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> Fraction:
        """When the keyframe is. A marker that nobody moved has the time that render gave it, also
        where an editor rounded it."""
        written = rational(self.facts.get("at"))
        return self.begin if written is None or abs(written - self.begin) > NEAR else written

    @property
    def prompt(self) -> object:
        """Its texts with their weights, or its name if somebody gave it another one."""
        known = weighted(self.facts.get("prompts"))
        return known if known is not None and self.facts.get("name") == self.text else self.text


def film_of_ours(
    found: Sequence[NamedMarker], film: Mapping[str, Any], written: TimeFormat
) -> Imported:
    """The film whose export has these markers.

    Args:
        film: facts about it.
        written: how times are written.
    """
    usual = {key: usual_value(found, of) for key, of in FALLING_BACK.items()}
    keyframes: list[dict[str, Any]] = []
    before: dict[str, object] = dict(usual)
    for each in found:
        whole = keyframe_of(each, written)
        keyframes.append(
            {key: value for key, value in whole.items() if key == "at" or before.get(key) != value}
        )
        before |= {key: whole[key] for key in ("prompt", "seed") if key in whole}
    settings = {f"sampling.{key}": value for key, value in usual.items() if value not in NOTHING}
    sentences = {place: [*lost(each.facts)] for place, each in enumerate(found)}
    lost_at = {place: each for place, each in sentences.items() if each}
    return Imported(keyframes, length_of(found, film, written), settings, (), lost_at)


def keyframe_of(said: NamedMarker, written: TimeFormat) -> dict[str, Any]:
    """A keyframe with all that its marker says."""
    ease = easing_of(said.facts.get("ease"))
    values = {
        "seed": seeds_of(said.facts),
        "negative": negative_of(said.facts),
        "guidance": guidance_of(said.facts),
        "ease": None if ease == "linear" else ease,
        "pace": pace_of(said.facts.get("pace")),
    }
    keyframe = {"at": written(max(said.at, Fraction(0))), "prompt": said.prompt}
    return keyframe | {key: value for key, value in values.items() if value is not None}


def length_of(
    found: Sequence[NamedMarker], film: Mapping[str, Any], written: TimeFormat
) -> dict[str, Any]:
    """The keys of a timeline that say how long it is."""
    end = rational(film.get("end"))
    timeline: dict[str, Any] = {}
    if film.get("loop") is True:
        timeline["loop"] = True
    if end is not None and end > found[-1].at:
        timeline["duration"] = written(end)
    if film.get("open") is True:
        timeline["end"] = "open"
    return timeline


def lost(facts: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about what a marker says and a timeline alone can't."""
    loras = weights(facts.get("loras"))
    if loras:
        names = ", ".join(f"{name}: {weight:g}" for name, weight in loras.items())
        yield f"lora: {{{names}}}, for which model.loras has to name the files"
    if facts.get("images"):
        yield "the picture to start from; give it as image and strength"


def usual_value(found: Sequence[NamedMarker], of: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The value that most markers have, which can be a setting."""
    ((value, _),) = Counter(of(each.facts) for each in found if each.facts).most_common(1)
    return value


def guidance_of(facts: Mapping[str, Any]) -> float | None:
    """The guidance scale."""
    value = facts.get("guidance")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else value


def negative_of(facts: Mapping[str, Any]) -> str | None:
    """The negative prompt."""
    return next(iter(weights(facts.get("negatives"))), None)


def seeds_of(facts: Mapping[str, Any]) -> object:
    """A seed, or seeds with their weights; None if it says none."""
    found = weights(facts.get("seeds"))
    if not found or not all(seed.isascii() and seed.isdecimal() for seed in found):
        return None
    numbers = {int(seed): weight for seed, weight in found.items() if len(seed) < 30}
    return next(iter(numbers)) if len(numbers) == 1 else numbers


def easing_of(written: object) -> object:
    """An easing by its name, or the four numbers of `(0.1, 0.2, 0.3, 1.0)`."""
    if not isinstance(written, str) or not written.startswith("("):
        return written if isinstance(written, str) else None
    try:
        return [float(number) for number in written.strip("()").split(",")]
    except ValueError:
        return None


def pace_of(written: object) -> object:
    """A pace by its name, or the mapping of one that was written by hand."""
    if isinstance(written, str):
        return None if written == "time" else written
    pairs = written if isinstance(written, list) else []
    return {
        pair[0]: pair[1]
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in pair)
    } or None


def weighted(value: object) -> object:
    """A text, or texts with their weights; None if these are none."""
    found = weights(value)
    return next(iter(found)) if len(found) == 1 else found or None


def weights(value: object) -> dict[str, float]:
    """The texts of `[[text, weight], …]` with their weights; none if it is something else."""
    pairs = value if isinstance(value, list) else []
    return {
        pair[0]: pair[1]
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
        if isinstance(pair[1], int | float) and not isinstance(pair[1], bool)
    }


def rational(written: object) -> Fraction | None:
    """A number as `45/32`; None if it is none."""
    if not isinstance(written, str) or len(written) > 60 or "e" in written.lower():
        return None
    try:
        return Fraction(written)
    except (ValueError, ZeroDivisionError):
        return None


FALLING_BACK = {"guidance": guidance_of, "negative": negative_of}
"""Values that fall back to `sampling`, by their keys."""
