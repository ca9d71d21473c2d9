"""A single picture of another tool as a film of one keyframe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from render.config.fields import MAX_SIDE
from render.config.values import MAX_SEED
from render.importers.imported import Imported

MOST_STEPS = 1000
MOST_GUIDANCE = 100
SIDE_OF_A_BLOCK = 8
WITH_KARRAS = ("dpmpp_2m", "euler", "lms", "heun", "unipc")
"""Schedulers whose classes have Karras' sigmas as an option."""


@dataclass(frozen=True)
class Picture:
    """A picture's settings as its file says them: texts and numbers that nobody checked yet.

    Attributes:
        prompt: a text, or texts with their weights.
        scheduler: a name of one of render's.
        karras: whether the sigmas are those of Karras et al. (2022).
        lost: sentences about what has no word here.
    """

    prompt: str | Mapping[str, float] = ""
    negative: str = ""
    seed: object = None
    steps: object = None
    guidance: object = None
    width: object = None
    height: object = None
    scheduler: str | None = None
    karras: bool = False
    lost: list[str] = field(default_factory=list)

    def film(self) -> Imported:
        """The film of one keyframe."""
        keyframe: dict[str, Any] = {"at": 0, "prompt": self.prompt}
        if (seed := self.whole("seed", self.seed, 0, MAX_SEED)) is not None:
            keyframe["seed"] = seed
        settings = {
            **self.sampling(),
            "output.width": self.side("width", self.width),
            "output.height": self.side("height", self.height),
        }
        self.lost.append("the very picture: a seed gives other noise in other programs")
        kept = {key: value for key, value in settings.items() if value is not None}
        return Imported([keyframe], {}, kept, self.lost)

    def sampling(self) -> dict[str, Any]:
        """The settings of how the picture is made; the scheduler first, whose keys follow it."""
        karras = True if self.karras and self.scheduler in WITH_KARRAS else None
        if self.karras and not karras and self.scheduler:
            self.lost.append(f"Karras' sigmas, which the scheduler {self.scheduler} has not")
        return {
            "scheduler": self.scheduler,
            "scheduler.steps": self.whole("steps", self.steps, 1, MOST_STEPS),
            "scheduler.use_karras_sigmas": karras,
            "sampling.guidance": self.scale(),
            "sampling.negative": self.negative or None,
        }

    def side(self, name: str, value: object) -> int | None:
        """A side of the picture in pixels."""
        found = self.whole(name, value, SIDE_OF_A_BLOCK, MAX_SIDE)
        if found is None or found % SIDE_OF_A_BLOCK == 0:
            return found
        rounded = found - found % SIDE_OF_A_BLOCK
        self.lost.append(f"the {name} of {found}: sides are multiples of 8 here, so {rounded}")
        return rounded

    def whole(self, name: str, value: object, least: int, most: int) -> int | None:
        """A whole number of the picture's; None, and a sentence, if it is none."""
        number = number_of(value)
        if number is not None and number == int(number) and least <= number <= most:
            return int(number)
        self.refuse(name, value)
        return None

    def scale(self) -> int | float | None:
        """The guidance scale."""
        number = number_of(self.guidance)
        if number is not None and 0 <= number <= MOST_GUIDANCE:
            return int(number) if number == int(number) else number
        self.refuse("guidance", self.guidance)
        return None

    def refuse(self, name: str, value: object) -> None:
        """Say that a value can't be used; one that is not there needs no words."""
        if value is not None:
            self.lost.append(f"{name}: {str(value)[:60]!r} is no number that can be used")


def number_of(value: object) -> int | float | None:
    """A number, or a text that is one; whole ones without loss."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = value if isinstance(value, int) else float(value)
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < 40:
            number = int(value)
        return number if math.isfinite(number) else None
    except (ValueError, OverflowError):
        return None
