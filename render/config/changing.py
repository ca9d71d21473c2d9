"""Values that change over time as people write them: a number, an expression, points, or the sound.

guidance: 7.5
guidance: 7 + 2 * sin(2 * pi * t / 4)
guidance: {points: [{at: 0, value: 5, ease: smooth}, {at: 2, value: 9}]}
guidance: {audio: low, from: 5, to: 9, attack: 0.01, release: 0.2}
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from render.config.expression import CONSTANTS, OF_TIME, Expression, expression
from render.config.fields import FilePath, Frozen, Number
from render.config.moments import BANDS, Moment, moment
from render.config.values import (
    MAX_WEIGHT,
    check_point,
    easing,
    lora_weight,
    lora_weights,
    mistake,
    nearest,
    number,
    shown,
    text,
    texts,
)

BAND = re.compile(r"(?:([A-Za-z_]\w{0,40})\.)?([A-Za-z]+)", re.ASCII)
NAME = re.compile(r"[A-Za-z_]\w{0,40}", re.ASCII)
MOST_GUIDANCE = 100
OTHER_NAMES = {
    "time": "t", "seconds": "t", "s": "t", "f": "frame", "frames": "frame", "beats": "beat",
    "bars": "bar", "bass": "low", "kick": "low", "hats": "high", "volume": "all", "level": "all",
}  # fmt: skip
"""Names that people try, and ours."""
HOW = (
    "a number, an expression (7 + 2 * sin(t)), points ({points: [{at: 0, value: 5}, …]}) or a "
    "sound ({audio: low, from: 5, to: 9}) belongs here"
)

Seconds = Annotated[Number, Field(ge=0, le=60)]
When = Annotated[Moment, BeforeValidator(moment)]
Ease = Annotated[str | tuple[float, float, float, float], BeforeValidator(easing)]


class TimedValue(Frozen):
    """A value at a time; `ease` shapes the way to the next."""

    at: When
    value: Number
    ease: Ease = "linear"


class Points(Frozen):
    """Values at times; before the first and behind the last they stay."""

    points: Annotated[tuple[TimedValue, ...], Field(min_length=1, max_length=100_000)]


class Envelope(Frozen):
    """A value that follows how loud a band of the film's sound is.

    Attributes:
        audio: the band, `low`; of a file that has a name, `drums.low`.
        low, high: the values in silence and where it is loudest (`from` and `to`).
        attack, release: seconds in which it follows a sound that begins, and one that ends.
    """

    audio: str
    low: Number = Field(default=0.0, alias="from")
    high: Number = Field(default=1.0, alias="to")
    attack: Seconds = 0.01
    release: Seconds = 0.2

    @field_validator("audio", mode="before")
    @classmethod
    def is_a_band(cls, value: object) -> object:
        """`low`, or `drums.low`."""
        band_of(value)
        return value


def band_of(value: object) -> tuple[str, str]:
    """The name of a sound, empty for the film's only or first one, and its band."""
    found = BAND.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise mistake(f"{shown(value)} is no band; known: {', '.join(BANDS)}")
    if found[2] not in BANDS:
        raise mistake(f"{shown(found[2])} is no band{nearest(found[2], BANDS)}")
    return found[1] or "", found[2]


Changing = float | Expression | Points | Envelope


def changing(check: Callable[[object], float]) -> Callable[[object], object]:
    """The reader of a value that may change, by the check of a number that stays."""

    def read(value: object) -> object:
        if isinstance(value, dict):
            return of_mapping(value)
        if isinstance(value, str):
            check_point(value)
            return known_names(expression(value))
        if isinstance(value, list | tuple):
            raise mistake(f"{shown(value)} is no value; {HOW}")
        return check(value)

    return read


def of_mapping(value: dict[str, Any]) -> object:
    """Points or an envelope."""
    if "points" in value:
        return of_kind(Points, value)
    if "audio" in value:
        if "from" in value and "to" not in value:
            raise mistake("to: is missing; it is the value where the sound is loudest")
        return of_kind(Envelope, value)
    raise mistake(f"{shown(value)} is no value; {HOW}")


def of_kind(kind: type[Points] | type[Envelope], value: dict[str, Any]) -> Points | Envelope:
    """Keys with values as the object that they describe; the mistake is the first of them."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        keys = ", ".join(field.alias or name for name, field in kind.model_fields.items())
        known = {
            "extra_forbidden": f"unknown key; known: {keys}",
            "missing": "is missing",
            "model_type": "keys with values belong here, {at: 0, value: 5}",
        }
        what = known.get(first["type"], first["msg"][:1].lower() + first["msg"][1:])
        raise mistake(f"{where}: {what}") from None


def known_names(read: Expression) -> Expression:
    """An expression in which every name may mean something."""
    for name in read.uses:
        sound, _, band = name.rpartition(".")
        if band not in BANDS and (sound or name not in OF_TIME):
            known = [*OF_TIME, *BANDS, *CONSTANTS]
            meant = OTHER_NAMES.get(name.lower())
            hint = f"; did you mean {meant!r}?" if meant else nearest(name, known)
            raise mistake(f"no name {shown(name)}{hint}")
    return read


def within(low: float, high: float) -> Callable[[object], float]:
    """The check of a number in a range."""

    def check(value: object) -> float:
        found = number(value)
        if not low <= found <= high or not math.isfinite(found):
            raise mistake(f"{found:g} is not between {low:g} and {high:g}")
        return found

    return check


def prompt(value: object) -> object:
    """A prompt: a text, or texts with weights, some of which may change."""
    if not isinstance(value, dict):
        return texts(value)
    moving = {key: each for key, each in value.items() if isinstance(each, str | dict)}
    still = {key: each for key, each in value.items() if key not in moving}
    if not moving:
        return texts(value)
    read = changing(within(0, MAX_WEIGHT))
    return {text(key): read(value[key]) for key in (*still, *moving)}


def loras(value: object) -> object:
    """Weights of LoRAs by their names, some of which may change."""
    given = value if isinstance(value, dict) else {}
    moving = {key: each for key, each in given.items() if isinstance(each, str | dict)}
    rest = {key: each for key, each in given.items() if key not in moving}
    still = lora_weights(rest if moving else value)
    read = changing(lora_weight)
    return still | {text(str(key)): read(each) for key, each in moving.items()}


GuidanceOverTime = Annotated[Any, BeforeValidator(changing(within(0, MOST_GUIDANCE)))]
StrengthOverTime = Annotated[Any, BeforeValidator(changing(within(0, 1)))]
PromptOverTime = Annotated[dict[str, Any], BeforeValidator(prompt)]
LorasOverTime = Annotated[dict[str, Any], BeforeValidator(loras)]


class Curves(Frozen):
    """Values that hold for the whole film, whatever its keyframes are."""

    guidance: GuidanceOverTime | None = None
    strength: StrengthOverTime | None = None
    lora: LorasOverTime | None = None


def sounds(value: object) -> object:
    """The film's sound, or several by their names; the first is the one that is heard."""
    if not isinstance(value, dict):
        return {"": value}
    if not value:
        raise mistake("no sound is named here; give a file, or {drums: FILE, …}")
    for name in value:
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in BANDS:
            raise mistake(f"{shown(name)} can't name a sound; use letters, digits and _")
    return value


Sounds = Annotated[dict[str, FilePath], BeforeValidator(sounds)]
