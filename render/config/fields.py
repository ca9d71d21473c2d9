"""Types of the config's single values, each with its rules, and the base of its groups."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from render.config.values import exact, file_path, mistake, nearest, number, shown, text
from render.extensions import is_known, names

Dtype = Literal["auto", "float32", "float16", "bfloat16"]

MAX_SIDE = 16_384
MOST = 1024  # frames a call, threads


Exact = Annotated[Fraction, BeforeValidator(exact)]
Text = Annotated[str, BeforeValidator(text)]
Number = Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)]
Steps = Annotated[StrictInt, Field(ge=1, le=1000)]
Side = Annotated[StrictInt, Field(ge=8, le=MAX_SIDE)]
GuidanceScale = Annotated[Number, Field(ge=0, le=100)]
Part = Annotated[Number, Field(ge=0, le=1)]
Strength = Part
FilePath = Annotated[Path, BeforeValidator(file_path)]


def chosen(group: str, *more: str) -> BeforeValidator:
    """Check the name of a part: one of ours, of another package (extensions.py), or of `more`."""

    def check(name: object) -> object:
        if not isinstance(name, str) or not (name in more or is_known(group, name)):
            raise mistake(f"{shown(name)} is not known{nearest(str(name), (*names(group), *more))}")
        return name

    return BeforeValidator(check)


class Frozen(BaseModel):
    """Unknown keys are mistakes; values never change after they are read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
