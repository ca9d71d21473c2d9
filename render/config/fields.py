"""Types of the config's single values, each with its rules, and the base of its groups."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from render.config.values import (
    exact,
    file_path,
    mistake,
    near_name,
    nearest,
    number,
    shown,
    text,
)
from render.extensions import BLENDS, is_known, names

Dtype = Literal["auto", "float32", "float16", "bfloat16"]

MAX_SIDE = 16_384
MOST = 1024  # frames a call, threads
SLIP = 0.75  # the likeness from which on a name is another one with a slip
INSTALLED = "; one of a package of yours has to be installed, again after a name was added to it"


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
    """Check the name of a part: built in, of another package (extensions.py), or in `more`."""

    def check(name: object) -> object:
        if not isinstance(name, str) or not (name in more or is_known(group, name)):
            raise mistake(
                f"{shown(name)} is not known{not_known(str(name), (*names(group), *more))}"
            )
        return name

    return BeforeValidator(check)


BlendName = Annotated[str, chosen(BLENDS)]


def not_known(name: str, known: Sequence[str]) -> str:
    """The end of a line about a part's name: all that are known, and for a name that is no slip of
    theirs how those of other packages become known."""
    near = nearest(name, known)
    listed = "" if near.startswith("; known") else f" Known: {', '.join(known)}"
    slip = near_name(name, known, SLIP)
    return f"{near}{listed}{'' if slip else INSTALLED}"


class Frozen(BaseModel):
    """Unknown keys are mistakes; values never change after they are read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
