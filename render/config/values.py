"""Single values as people write them: numbers, times, texts, seeds, easings.

Each function takes what YAML or the command line gave and returns the value, or raises `mistake`
with a line that says what is wrong and what would be right.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from render.files.names import on_disk
from render.text import shared_letters, shortened

MAX_SEED = 2**63 - 1
MAX_WEIGHT = 1e9
MAX_LORA_WEIGHT = 100
COMMA = re.compile(r"[-+]?\d{1,9},\d{1,9}", re.ASCII)
EXACT = re.compile(r"[-+]?[\d.]{1,40}(?:e[-+]?\d{1,2})?(?:/\d{1,20})?", re.IGNORECASE | re.ASCII)
SHAPES = ("Sine", "Quad", "Cubic", "Quart", "Quint", "Expo", "Circ", "Back", "Elastic", "Bounce")
EASES = (
    *("linear", "smooth", "in", "out", "hold"),
    *("ease", "ease-in", "ease-out", "ease-in-out"),
    *(f"ease{way}{shape}" for shape in SHAPES for way in ("In", "Out", "InOut")),
)
"""Our own, those of CSS, and those of easings.net."""


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error line: the nearest right name, or all of them when none is near."""
    close = near_name(name, known)
    return f"; did you mean {close!r}?" if close else f"; known: {', '.join(map(str, known))}"


def near_name(name: str, known: Sequence[str], likeness: float = 0.6) -> str | None:
    """The name that is most like another one, if any is like it at all; whether letters are
    capital does not count, and of names that are equally like the one that begins alike wins."""
    written = str(name).casefold()
    spelled = {str(k).casefold(): str(k) for k in reversed(known)}
    close = difflib.get_close_matches(written, spelled, n=5, cutoff=likeness)

    def closeness(other: str) -> tuple[float, int]:
        alike = difflib.SequenceMatcher(None, other, written).ratio()
        return alike, shared_letters(other, written)

    return spelled[max(close, key=closeness)] if close else None


def mistake(message: str) -> PydanticCustomError:
    """A mistake in our own words. Braces are pydantic's template syntax, so they are kept out."""
    return PydanticCustomError("render", "{text}", {"text": message})


def exact(value: object) -> Fraction:
    """A number as a person wrote it, as a rational: 0.1 is 1/10 and "30000/1001" is NTSC's rate.

    Digits are few: 1e99999999 would be a rational of a hundred million.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise mistake(f"{shown(value)} is not a number")
    check_point(value)
    try:
        written = str(value).strip()
        return Fraction(written if EXACT.fullmatch(written) else "")
    except (ValueError, ZeroDivisionError):
        raise mistake(f"{shown(value)} is not a finite number of a sensible size") from None


def number(value: object) -> float:
    """A finite float; whole numbers are welcome, text and yes/no are not."""
    check_point(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mistake(f"{shown(value)} is not a number")
    if not abs(value) <= sys.float_info.max:
        raise mistake(f"{shown(value)} is not a finite number")
    return float(value)


def check_point(value: object) -> None:
    """Name a comma that was meant as a decimal point."""
    if isinstance(value, str) and COMMA.fullmatch(value.strip()):
        raise mistake(f"a decimal point is a dot: {value.strip().replace(',', '.')}")


def easing(value: object) -> object:
    """A named easing, or the four numbers of a cubic Bezier as in CSS."""
    if isinstance(value, str):
        if value not in EASES:
            raise mistake(f"unknown easing {shown(value)}{nearest(value, EASES)}")
        return value
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise mistake(f"an easing is one of {', '.join(EASES)}, or four numbers [x1, y1, x2, y2]")
    numbers = tuple(number(part) for part in value)
    if not (0 <= numbers[0] <= 1 and 0 <= numbers[2] <= 1):
        raise mistake("x1 and x2 of a cubic Bezier lie between 0 and 1")
    return numbers


def pace(value: object) -> object:
    """`time`, `even`, or shares of a segment's time to shares of the way to the next keyframe."""
    if value in ("time", "even"):
        return value
    if not isinstance(value, dict) or not value:
        how = "or shares of the segment's time and of the way, {0.2: 0.5, 0.6: 0.7}"
        raise mistake(f"a pace is time, even, {how}; not {shown(value)}")
    pairs = sorted((share(time), share(place)) for time, place in value.items())
    for which in (0, 1):
        shares = [0.0, *(pair[which] for pair in pairs), 1.0]
        if any(after <= before for before, after in pairwise(shares)):
            raise mistake("times and places of a pace lie between 0 and 1 and both rise")
    return dict(pairs)


def share(value: object) -> float:
    """A share of a whole; keys of YAML may be text."""
    try:
        return number(float(value) if isinstance(value, str) else value)
    except ValueError:
        raise mistake(f"{shown(value)} is no share of a whole, 0 to 1") from None


def text(value: object) -> str:
    """A text that can be written down: half a surrogate pair is none."""
    if not isinstance(value, str):
        raise mistake(not_text(value))
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise mistake(f"{shown(value)} is not Unicode text")
    return value


def texts(value: object) -> object:
    """A prompt: one text, or texts with weights. YAML's unquoted yes/no are caught here."""
    if isinstance(value, list | tuple) and value:
        raise mistake("several texts have weights: {A castle: 0.7, A forest: 0.3}")
    if not isinstance(value, dict):
        return {text(value): 1.0}
    if not value:
        raise mistake("no text stands here; write one, or texts with weights")
    return weights({text(key): weight for key, weight in value.items()})


def seeds(value: object) -> object:
    """A seed: one whole number from 0, or seeds with weights."""
    if isinstance(value, dict):
        numbers = [seed_number(seed) for seed in value]
        if not numbers or len(set(numbers)) < len(numbers):
            raise mistake(
                "a seed stands twice here; keep one" if numbers else "no seed stands here"
            )
        return weights(dict(zip(numbers, value.values(), strict=True)))
    if isinstance(value, list | tuple) and value:
        raise mistake("several seeds have weights: {1: 0.5, 2: 0.5}")
    return {seed_number(value): 1.0}


def lora_weight(value: object) -> float:
    """How much of a LoRA: 0 is none, 1 as it was trained, below 0 its opposite."""
    weight = number(value)
    if abs(weight) > MAX_LORA_WEIGHT:
        raise mistake(f"a LoRA's weight is -{MAX_LORA_WEIGHT} to {MAX_LORA_WEIGHT}, not {weight:g}")
    return weight


def lora_weights(value: object) -> dict[str, float]:
    """The weights of LoRAs by their names."""
    if not isinstance(value, dict):
        raise mistake(
            f"{shown(value)} stands where names of LoRAs with weights belong: {{paint: 0.6}}"
        )
    return {
        text(key if isinstance(key, str) else str(key)): lora_weight(w) for key, w in value.items()
    }


def seed_number(value: object) -> int:
    """A whole number that torch takes as a seed; as a mapping's key it may be quoted."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,30}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise mistake(f"a seed is a whole number from 0, not {shown(value)}")
    if not 0 <= value <= MAX_SEED:
        raise mistake(f"seed {shown(value)} is not between 0 and {MAX_SEED}")
    return value


def weights(given: Mapping[Any, object]) -> dict[Any, float]:
    """Weights as written, checked: none negative, none huge, not all zero."""
    checked = {key: number(weight) for key, weight in given.items()}
    if any(weight < 0 for weight in checked.values()):
        raise mistake("weights are not negative; say what you do not want in `negative`")
    if any(weight > MAX_WEIGHT for weight in checked.values()):
        raise mistake(f"a weight is at most {MAX_WEIGHT:,.0f}; only their ratios matter")
    if not sum(checked.values()) > 0:
        raise mistake("weights are all zero; give at least one a weight above zero")
    return checked


def not_text(value: object) -> str:
    """The message for a value that should be a text."""
    if isinstance(value, bool):
        return f"unquoted yes/no/on/off/true/false is {value} in YAML, not a text; put it in quotes"
    return f"{shown(value)} is not a text; put it in quotes"


def shown(value: object) -> str:
    """A value as an error repeats it: on one line and not at any length."""
    if isinstance(value, int) and abs(value) > 10**40:
        return "such a long number"
    return shortened(repr(value), 40)


ADDRESS = re.compile(r"[a-z][a-z0-9+-]*://", re.I)
OF_THE_HUB = re.compile(r"https://huggingface\.co/([\w.-]+/[\w.-]+)/?", re.ASCII)


def address_flaw(written: str) -> str:
    """The message for an address of the web where a path belongs."""
    if found := OF_THE_HUB.fullmatch(written):
        return f"{shown(written)} is no path; a model of the hub is model.repository={found[1]}"
    return f"{shown(written)} is no path; download the file and give its own"


def file_path(value: object) -> Path:
    """A path as written, with `~` for the home folder, in every key that holds one.

    A path that begins with the `~` of nobody is refused: a folder called `~` would be made.
    """
    written = str(value) if isinstance(value, Path) else text(value)
    if not written.strip() or "\0" in written:
        raise mistake(f"{shown(written)} is no path")
    if ADDRESS.match(written):
        raise mistake(address_flaw(written))
    try:
        return Path(on_disk(written)).expanduser()
    except RuntimeError:
        raise mistake(
            f"{shown(written)} begins with ~, but there is no such home folder; "
            f"write ./{shortened(written, 30)} if a file is called so"
        ) from None
