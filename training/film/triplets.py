"""Triplets for training: two pictures and the one at a place between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.film.motion import moving
from training.storybook.examples import Pixels, example
from training.storybook.painter import SIZE, paint

WEIGHTS = "film.safetensors"
FIRST_SEED = 3_700_000
SHORTEST, LONGEST = 0.03, 0.5  # of the way from one scene to another
PLACES = (1 / 5, 1 / 4, 1 / 3, 2 / 5, 3 / 5, 2 / 3, 3 / 4, 4 / 5)  # that films ask for, but for 1/2

Shots = NDArray[np.uint8]
"""A film's pictures, (N, H, W, 3)."""


@dataclass(frozen=True)
class Triplet:
    """Two pictures (H, W, 3) and the one between them at a place above 0 and below 1."""

    before: Pixels
    middle: Pixels
    after: Pixels
    place: float

    def crop(self, rng: np.random.Generator, side: int) -> "Triplet":
        """A square of all three, at the same corner; turned over and back to front by chance."""
        height, width = self.before.shape[:2]
        mirrored = rng.random() < 0.5
        top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        rows, columns = slice(top, top + side), slice(left, left + side)
        before, middle, after = (
            each[rows, columns][:, :: -1 if mirrored else 1]
            for each in (self.before, self.middle, self.after)
        )
        if rng.random() < 0.5:
            return Triplet(after, middle, before, 1 - self.place)
        return Triplet(before, middle, after, self.place)


def place_of(rng: np.random.Generator) -> float:
    """Half-way as often as not."""
    return 0.5 if rng.random() < 0.5 else float(rng.choice(PLACES))


def changing(number: int) -> Triplet:
    """A scene that changes: three moments of a painted morph."""
    rng = np.random.default_rng([FIRST_SEED, number])
    morph = example(number, FIRST_SEED)
    length = float(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST))))
    start, place = float(rng.uniform(0, 1 - length)), place_of(rng)
    moments = (start, start + place * length, start + length)
    before, middle, after = (paint(replace(morph, t=t).scene, SIZE) for t in moments)
    return Triplet(before, middle, after, place)


def panned(number: int) -> Triplet:
    """A painted picture under a camera that moves, with something that moves before it."""
    rng = np.random.default_rng([FIRST_SEED + 1, number])
    ground, thing = (paint(example(2 * number + i, FIRST_SEED).scene, SIZE) for i in range(2))
    place = place_of(rng)
    before, middle, after = moving(ground, thing, (0.0, place, 1.0), rng)
    return Triplet(before, middle, after, place)


def filmed(films: Sequence[Shots], number: int, widest: int = 4) -> Triplet:
    """Three pictures of a film, of which the outer ones are 2 to `widest` pictures apart."""
    rng = np.random.default_rng([FIRST_SEED + 2, number])
    shots = films[int(rng.integers(len(films)))]
    apart = int(rng.integers(2, widest + 1))
    first = int(rng.integers(0, len(shots) - apart))
    inner = int(rng.integers(1, apart))
    return Triplet(shots[first], shots[first + inner], shots[first + apart], inner / apart)
