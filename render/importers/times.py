"""Times as an imported timeline has them."""

from __future__ import annotations

from fractions import Fraction


def seconds(time: Fraction) -> int | float | str:
    """Seconds as a timeline's file has them, without loss: a number if it is a short one, else a
    rational as `"1001/30000"`."""
    if time.denominator == 1:
        return time.numerator
    short = round(float(time), 6)
    return short if Fraction(str(short)) == time else f"{time.numerator}/{time.denominator}"


def frames(number: int) -> str | int:
    """A time as a number of frames: `"36f"`."""
    return f"{number}f" if number else 0
