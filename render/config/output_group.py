"""`output/`: the group of the config for the frames' size and rate, and the video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictInt, field_validator

from render.config.fields import MOST, Exact, FilePath, Frozen, Side, chosen
from render.config.values import file_path, mistake, shown
from render.extensions import FORMATS, INBETWEENS, is_known

NO_VIDEO = "frames"
"""The format that makes no video of the frames."""
NONE = "none"
"""No pictures in between, or none that are made larger."""
FACTORS = (2, 4)
FormatName = Annotated[str, chosen(FORMATS, NO_VIDEO)]


def is_made_yet(name: object) -> object:
    """The name that is kept for a network of this project, which is not there yet."""
    if name == "film" and not is_known(INBETWEENS, "film"):
        raise mistake("film is not there yet: its weights are still to be trained; use flow")
    return name


InbetweenName = Annotated[str, chosen(INBETWEENS, NONE), BeforeValidator(is_made_yet)]


def upscaling(value: object) -> object:
    """`none`, 2 or 4, or a file of weights."""
    if value in (None, NONE):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and value.strip().isdecimal():
        if int(value) not in FACTORS:
            raise mistake(f"{shown(int(value))} is no factor; give 2, 4, none, or a file")
        return int(value)
    if not isinstance(value, str | Path):
        raise mistake(f"2, 4, none or a .safetensors file belongs here, not {shown(value)}")
    return file_path(value)


Upscaling = Annotated[Literal["none", 2, 4] | Path | None, BeforeValidator(upscaling)]


class OutputConfig(Frozen):
    """`output/`: the frames' size and rate, and the video that is made of them."""

    format: FormatName = "mp4"
    fps: Exact = Fraction(12)
    rendered_fps: Exact | None = None
    inbetween: InbetweenName = NONE
    upscale: Upscaling = None
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

    @property
    def planned_fps(self) -> Fraction:
        """The rate of the frames that are rendered."""
        return self.fps if self.rendered_fps is None else self.rendered_fps

    @field_validator("fps", "rendered_fps")
    @classmethod
    def within_reach(cls, fps: Fraction | None) -> Fraction | None:
        """Between a slide show and the fastest screens."""
        if fps is not None and not Fraction(1, 100) <= fps <= 1000:
            raise mistake(f"{fps} frames a second; give 0.01 to 1000")
        return fps
