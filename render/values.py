"""Single values as people write them: numbers, times, texts, seeds, easings.

Each function takes what YAML or the command line gave and returns the value, or raises `mistake`
with a line that says what is wrong and what would be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic_core import PydanticCustomError

MAX_SEED = 2**63 - 1
EASES = ("linear", "smooth", "in", "out", "hold")


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error line: the nearest right name, or all of them when none is near."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(map(str, known))}"


def mistake(message: str) -> PydanticCustomError:
    """A mistake with our own words. Braces are pydantic's template syntax, so they are kept out."""
    return PydanticCustomError("render", "{text}", {"text": message})


def exact(value: object) -> Fraction:
    """A number as a person wrote it, as a rational: 0.1 is 1/10 and "30000/1001" is NTSC's rate."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise mistake(f"{value!r} is not a number")
    try:
        return Fraction(str(value) if isinstance(value, float) else value)
    except (ValueError, ZeroDivisionError):
        raise mistake(f"{value!r} is not a finite number") from None


def number(value: object) -> float:
    """A finite float; whole numbers are welcome, text and yes/no are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mistake(f"{value!r} is not a number")
    return float(value)


def easing(value: object) -> object:
    """A named easing, or the four numbers of a cubic Bezier as in CSS."""
    if isinstance(value, str):
        if value not in EASES:
            raise mistake(f"unknown easing {value!r}{nearest(value, EASES)}")
        return value
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise mistake(f"an easing is one of {', '.join(EASES)}, or four numbers [x1, y1, x2, y2]")
    numbers = tuple(number(part) for part in value)
    if not (0 <= numbers[0] <= 1 and 0 <= numbers[2] <= 1):
        raise mistake("x1 and x2 of a cubic Bezier lie between 0 and 1")
    return numbers


def texts(value: object) -> object:
    """A prompt: one text, or texts with weights. YAML's unquoted yes/no are caught here."""
    if isinstance(value, str):
        return {value: 1.0}
    if isinstance(value, dict):
        for text in value:
            if not isinstance(text, str):
                raise mistake(not_text(text))
        return weights(value)
    raise mistake(not_text(value))


def seeds(value: object) -> object:
    """A seed: one whole number from 0, or seeds with weights."""
    if isinstance(value, dict):
        return weights({seed_number(seed): weight for seed, weight in value.items()})
    return {seed_number(value): 1.0}


def seed_number(value: object) -> int:
    """A whole number that torch takes as a seed; as a mapping's key it may be quoted."""
    if isinstance(value, str) and re.fullmatch(r"\d+", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise mistake(f"a seed is a whole number from 0, not {value!r}")
    if not 0 <= value <= MAX_SEED:
        raise mistake(f"seed {value} is not between 0 and {MAX_SEED}")
    return value


def weights(given: Mapping[Any, object]) -> dict[Any, float]:
    """Weights as written, checked: finite, none negative, not all zero."""
    checked = {key: number(weight) for key, weight in given.items()}
    if any(not weight < float("inf") or weight < 0 for weight in checked.values()):
        raise mistake("weights are finite and not negative; say what you do not want in `negative`")
    if not sum(checked.values()) > 0:
        raise mistake("weights are all zero; give at least one a weight above zero")
    return checked


def not_text(value: object) -> str:
    """What to say of a value that should be a text."""
    if isinstance(value, bool):
        return f"unquoted yes/no/on/off/true/false is {value} in YAML, not a text; put it in quotes"
    return f"{value!r} is not a text; put it in quotes"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as written: seconds, or frames of the output (`"36f"`)."""

    seconds: Fraction | None = None
    frames: Fraction | None = None


def moment(value: object) -> Moment:
    """`1.5` and `"1.5"` are seconds; `"36f"` is frames."""
    frames = isinstance(value, str) and value.strip().endswith("f")
    written = str(value).strip()[:-1] if frames else value
    try:
        amount = exact(written)
    except PydanticCustomError:
        raise mistake(f'{value!r} is not a time; write seconds (1.5) or frames ("36f")') from None
    if amount < 0:
        raise mistake(f"{value} is negative; a timeline begins at 0")
    return Moment(frames=amount) if frames else Moment(seconds=amount)
