"""Pictures in between: the ways to make what lies between two rendered frames.

A new way is one `Inbetween`. Ours are listed in extensions.py; another package names its own under
the entry points `render.inbetweens`. Nothing is imported or read before a film is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from render import extensions
from render.extensions import Registry
from render.video.linear_light import RgbPicture, in_codes, in_light

Between = Callable[[RgbPicture, RgbPicture, Sequence[float]], Sequence[RgbPicture]]
"""Two pictures and places above 0 and below 1 on the way from the first to the second, to the
picture at each place. All are uint8 of one shape, (height, width, 3), sRGB."""


@dataclass(frozen=True, slots=True)
class Inbetween:
    """A way to make pictures in between."""

    opened: Callable[[str], Between]
    """The device (`cpu`, `cuda`, `cuda:1`, `mps`) to the function; asked once for a film."""
    version: int = 1
    """Raised by hand when the same pictures would give others; part of their identity."""
    module: str = ""
    """A module that it needs, if that is not among what render itself needs."""
    package: str = ""
    """The package to install for it."""
    weights: Path | None = None
    """A file of weights, whose content is part of the pictures' identity."""


def dissolved(before: RgbPicture, after: RgbPicture, places: Sequence[float]) -> list[RgbPicture]:
    """Each place's mean of the two pictures, in linear light."""
    first, last = in_light(before), in_light(after)
    return [in_codes((1 - place) * first + place * last) for place in places]


DISSOLVE = Inbetween(lambda device: dissolved)
"""The one picture fades and the other comes."""
INBETWEENS = Registry(extensions.INBETWEENS, Inbetween)
"""By the names that `output.inbetween` gives."""
