"""`output/`: the group of the config for the frames' size and rate, and the video."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, field_validator

from render.config.fields import MOST, FilePath, Frozen, Side, chosen, not_known
from render.config.moments import rate
from render.config.values import file_path, mistake, shown
from render.extensions import FORMATS, INBETWEENS, is_known, names

NO_VIDEO = "frames"
"""The format that makes no video of the frames."""
NONE = "none"
"""No pictures in between, or none that are made larger."""
FACTORS = (2, 4)
FormatName = Annotated[str, chosen(FORMATS, NO_VIDEO)]


HASH = re.compile("[0-9a-f]{64}")
WEIGHTS_NAMES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".torchscript")


class Script(Frozen):
    """A TorchScript file: a program, which is run because it was asked for by its hash."""

    file: Path
    sha256: str


def inbetween(value: object) -> object:
    """A way's name, a file of weights, or a TorchScript file with its hash."""
    if isinstance(value, Mapping):
        return script(value)
    if isinstance(value, Path) or (isinstance(value, str) and is_file_name(value)):
        return file_path(value)
    if value == "film" and not is_known(INBETWEENS, "film"):
        raise mistake("film is not there yet: its weights are still to be trained; use flow")
    if not isinstance(value, str) or not (value == NONE or is_known(INBETWEENS, value)):
        known = not_known(str(value), (*names(INBETWEENS), NONE))
        raise mistake(f"{shown(value)} is not known{known}; or give a file of FILM's weights")
    return value


def is_file_name(written: str) -> bool:
    """Whether this is a file's name, and not that of a way."""
    return "/" in written or written.lower().endswith(WEIGHTS_NAMES)


def script(value: Mapping[object, object]) -> Script:
    """A TorchScript file, from `{file: FILE, sha256: HASH}`."""
    if set(value) != {"file", "sha256"}:
        keys = ", ".join(str(key) for key in value) or "nothing"
        raise mistake(f"{{file: FILE, sha256: HASH}} belongs here, with these two keys, not {keys}")
    sha256 = str(value["sha256"]).strip().lower()
    if not HASH.fullmatch(sha256):
        raise mistake(f"sha256 has 64 digits from 0 to f, and {shown(value['sha256'])} has not")
    return Script(file=file_path(value["file"]), sha256=sha256)


Inbetweening = Annotated[str | Path | Script, BeforeValidator(inbetween)]


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


Rate = Annotated[Fraction, BeforeValidator(rate)]


class OutputConfig(Frozen):
    """`output/`: the frames' size and rate, and the video that is made of them."""

    format: FormatName = "mp4"
    fps: Rate = Fraction(12)
    rendered_fps: Rate | None = None
    inbetween: Inbetweening = NONE
    upscale: Upscaling = None
    width: Side | None = None
    height: Side | None = None
    quality: Annotated[StrictInt, Field(ge=0, le=100)] = 80
    audio: FilePath | None = None
    chapters: StrictBool = False
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
