"""Steps as LPIPS sees them, beside those by small copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from render.measurement.figures import rounded, without
from render.measurement.reading import Floats
from render.measurement.steps import gini, largest_over_median


@dataclass(frozen=True, slots=True)
class PerceivedFigures:
    """How smoothly frames follow each other by LPIPS. It is a squared distance, so all but the
    steps are of its roots: a way that is even to the eye has roots of one size.

    Attributes:
        steps: the LPIPS of each frame and the one before.
        path: the sum of the roots over the root of the direct one, in the worst segment; None where
            no keyframes differ.
    """

    steps: tuple[float, ...]
    gini: float
    largest_over_median: float | None
    path: float | None

    def as_data(self) -> dict[str, Any]:
        """The figures as JSON has them, with six digits."""
        data: dict[str, Any] = rounded(asdict(self))
        return data


class Watched:
    """Features that come one frame after the other.

    Args:
        ends: frames at which keyframes stand; the first and the last one are ends anyway.
    """

    def __init__(self, ends: Sequence[int] = ()) -> None:
        self.ends, self.count = {0, *ends}, 0
        self.steps: list[float] = []
        self.directs: list[tuple[int, int, float]] = []
        self.before: Floats | None = None
        self.first: tuple[int, Floats] | None = None

    def add(self, features: Floats) -> None:
        """The next frame's."""
        if self.before is not None:
            self.steps.append(squared_distance(self.before, features))
        if self.count in self.ends:
            self.close(features)
        self.before, self.count = features, self.count + 1

    def close(self, features: Floats) -> None:
        """A segment ends with these, and the next one begins."""
        here = len(self.steps)
        if self.first is not None and here > self.first[0]:
            self.directs.append((self.first[0], here, squared_distance(self.first[1], features)))
        self.first = here, features

    def figures(self, wanted: Sequence[int] = ()) -> PerceivedFigures:
        """The figures of all frames.

        Args:
            wanted: frames that the timeline itself has jump or rest.
        """
        if self.before is not None and self.first is not None:
            self.close(self.before)
        roots = np.sqrt(np.array(self.steps))
        moves = without(roots, wanted)
        paths = [
            float(roots[first:last].sum() / direct**0.5)
            for first, last, direct in self.directs
            if direct > 0
        ]
        return PerceivedFigures(
            tuple(self.steps), gini(moves), largest_over_median(moves), max(paths, default=None)
        )


def squared_distance(one: Floats, other: Floats) -> float:
    """The sum of the squared differences."""
    difference = one.astype(np.float32) - other
    return float(difference @ difference)
