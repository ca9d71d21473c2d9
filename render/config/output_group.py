"""`output/`: the group of the config for the frames' size and rate, and the video."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, StrictInt, field_validator

from render.config.fields import MOST, Exact, FilePath, Frozen, Side, chosen
from render.config.values import mistake, shown
from render.extensions import FORMATS

NO_VIDEO = "frames"
"""The format that makes no video of the frames."""
FormatName = Annotated[str, chosen(FORMATS, NO_VIDEO)]


class OutputConfig(Frozen):
    """`output/`: the frames' size and rate, and the video that is made of them."""

    format: FormatName = "mp4"
    fps: Exact = Fraction(12)
    width: Side | None = None
    height: Side | None = None
    quality: Annotated[StrictInt, Field(ge=0, le=100)] = 80
    audio: FilePath | None = None
    chroma: Literal[420, 444] | None = None
    repeat: int | Literal["forever"] | None = None

    @field_validator("repeat", mode="before")
    @classmethod
    def is_a_count(cls, value: object) -> object:
        """How often it is shown, or `forever`."""
        whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
        if value is not None and value != "forever" and not whole:
            raise mistake(f"a whole number from 1 to {MOST} or forever, not {shown(value)}")
        return value

    @field_validator("fps")
    @classmethod
    def within_reach(cls, fps: Fraction) -> Fraction:
        """Between a slide show and the fastest screens."""
        if not Fraction(1, 100) <= fps <= 1000:
            raise mistake(f"{fps} frames a second; give 0.01 to 1000")
        return fps
