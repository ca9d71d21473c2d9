"""The named values of a key of the config, as its type has them: for completion in a shell."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from render.config.schema import RunConfig
from render.extensions import BLENDS, ENGINES, INBETWEENS, names

PARTS = {
    "compute.engine": ENGINES, "output.inbetween": INBETWEENS, "sampling.blend": BLENDS,
}  # fmt: skip
"""Keys whose values are names of parts, by the parts' group."""
MORE = {"output.inbetween": ("none",)}


def values_of(key: str) -> list[str]:
    """`key=value` for each value of a key that has a few with names."""
    name = key.lstrip("+")
    if name in PARTS:
        return [f"{key}={value}" for value in (*names(PARTS[name]), *MORE.get(name, ()))]
    kind: Any = RunConfig
    for part in key.lstrip("+").split("."):
        fields = kind.model_fields if is_model(kind) else {}
        if part not in fields:
            return []
        kind = fields[part].annotation
    return [f"{key}={value}" for value in named_values(kind)]


def is_model(kind: Any) -> bool:
    """Whether this is a group of keys."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def named_values(kind: Any) -> list[str]:
    """The named values of a type."""
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    if get_origin(kind) in (Union, UnionType):
        return [value for each in get_args(kind) for value in named_values(each)]
    return []
