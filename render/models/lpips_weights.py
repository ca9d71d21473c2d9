"""The file of LPIPS's weights that a person gives: what has to be in it. Without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from render.errors import ConfigError, Mistake
from render.models.single_file import FLOATS, shapes_in, types_in

KEY = "measure.lpips"
TRUNK, HEAD = "features.", "lin{}.model.1.weight"
"""How names of weights begin, as torchvision's AlexNet has them, and those of the lpips package."""


@dataclass(frozen=True, slots=True)
class TrunkLayer:
    """One convolution of the trunk.

    Attributes:
        place: its number among torchvision's layers.
        channels: that it makes, of `before`.
        pooled: whether 3 × 3 pixels become one before it, every second.
    """

    place: int
    before: int
    channels: int
    side: int
    stride: int = 1
    padding: int = 1
    pooled: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its weights."""
        return self.channels, self.before, self.side, self.side


LAYERS = (
    TrunkLayer(0, 3, 64, 11, 4, 2),
    TrunkLayer(3, 64, 192, 5, 1, 2, pooled=True),
    TrunkLayer(6, 192, 384, 3, pooled=True),
    TrunkLayer(8, 384, 256, 3),
    TrunkLayer(10, 256, 256, 3),
)


def wanted() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names of all weights with their shapes."""
    for number, layer in enumerate(LAYERS):
        yield f"{TRUNK}{layer.place}.weight", layer.shape
        yield f"{TRUNK}{layer.place}.bias", (layer.channels,)
        yield HEAD.format(number), (1, layer.channels, 1, 1)


def mistakes_in_lpips(file: Path) -> Iterator[Mistake]:
    """Why a file is none of LPIPS's weights."""
    try:
        shapes = shapes_in(file, KEY)
    except ConfigError as error:
        yield from error.mistakes
        return
    types = types_in(file, KEY)
    for name, shape in wanted():
        if types.get(name, "F32") not in FLOATS:
            yield Mistake(KEY, f"{file}: {name} holds {types[name]}, not {', '.join(FLOATS)}")
            return
        if shapes.get(name) != shape:
            found = "is missing" if name not in shapes else f"is {shapes[name]}, not {shape}"
            what = f"{file} has not the weights of LPIPS with AlexNet: {name} {found}"
            yield Mistake(KEY, f"{what}; docs/measure.md says how to make it")
            return
