"""The shape of a Compact network, known by the shapes of its weights. Without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class CompactShape:
    """The size of a network of compact.py.

    Attributes:
        factor: how much longer it makes the sides of a picture.
        features: channels between its convolutions.
        convolutions: of 3 × 3, one behind the other. Each looks a pixel farther.
    """

    factor: int
    features: int
    convolutions: int


def compact_shape(weights: Mapping[str, tuple[int, ...]]) -> CompactShape | None:
    """The shape of the network with these weights; None if they are not those of one.

    Args:
        weights: shapes by name.
    """
    last = max((int(name.split(".")[1]) for name in weights if is_of_body(name)), default=0)
    features = (weights.get("body.0.weight") or (0,))[0]
    channels = (weights.get(f"body.{last}.weight") or (0,))[0]
    shape = CompactShape(math.isqrt(channels // 3), features, last // 2 + 1)
    return shape if weights == weights_of(shape) and last else None


def is_of_body(name: str) -> bool:
    """Whether this is `body.N.weight`, N of at most three digits."""
    parts = name.split(".")
    number = parts[1] if len(parts) == 3 else ""
    return parts[0] == "body" and number.isascii() and number.isdigit() and len(number) <= 3


def weights_of(shape: CompactShape) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's weights by name."""
    sides = [3, *[shape.features] * (shape.convolutions - 1), 3 * shape.factor**2]
    found: dict[str, tuple[int, ...]] = {}
    for place, (before, after) in enumerate(pairwise(sides)):
        found[f"body.{2 * place}.weight"] = (after, before, 3, 3)
        found[f"body.{2 * place}.bias"] = (after,)
        if place < shape.convolutions - 1:
            found[f"body.{2 * place + 1}.weight"] = (after,)
    return found
