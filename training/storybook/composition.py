"""Where things stand in a picture: drawn from the seed alone, whatever is shown of them.

So two scenes with one seed share all places and shapes, and what differs between them grows.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.storybook.canvas import SIDE
from training.storybook.scene import Scene

Curve = NDArray[np.float64]

PARTS = (
    "places", "sky", "clouds", "stars", "birds", "mountains", "far", "middle", "near", "fields",
    "meadow", "country", "castle", "town", "city", "sprawl", "street", "river", "lake", "sea",
    "forest", "rain", "windmill", "lighthouse", "bridge", "ruins", "market", "harbour", "boat",
    "cars",
)  # fmt: skip
LAYOUTS, SHAPES = 16, 4
"""So many places of all things together, and so many shapes of each part apart. A seed has one of
each: few that a denoiser learns whole, in as good as countless pictures."""
STEP = 4
XS: Curve = np.arange(-STEP, SIDE + 2 * STEP, STEP)


@dataclass(frozen=True)
class Composition:
    """The places of a picture, in units of 1/256 of its side."""

    seed: int
    shapes: tuple[int, ...]  # the number of each part's, in the order of PARTS
    horizon: float
    sun_x: float
    sun_y: float  # at noon
    moon_x: float
    moon_y: float
    sea_side: float  # -1 left, 1 right
    castle_x: float
    town_x: float
    city_x: float
    mill_x: float
    ruins_x: float
    lake_x: float
    river_x: float
    river_end: float

    @property
    def depth(self) -> float:
        """How much of the picture lies below the horizon, where 1 is half of it."""
        return 2 * (1 - self.horizon / SIDE)

    def below(self, down: float) -> float:
        """The height of what lies `down` units below a horizon in the middle of the picture."""
        return self.horizon + down * self.depth

    def rng(self, part: str) -> np.random.Generator:
        """The random numbers of a part, the same whenever it is painted in its shape."""
        number = PARTS.index(part)
        return np.random.default_rng([self.shapes[number], number])

    def towards_sea(self, x: float | Curve) -> float | Curve:
        """How far to the sea's side a place is: 0 inland, 1 at the edge."""
        share = x / SIDE
        return share if self.sea_side > 0 else 1 - share

    def from_inland(self, share: float) -> float:
        """The place at this share of the way from the inland edge to the sea's."""
        return SIDE * (share if self.sea_side > 0 else 1 - share)


def compose(seed: int) -> Composition:
    """The composition of a seed."""
    chosen = np.random.default_rng([seed, 0])
    rng = np.random.default_rng([int(chosen.integers(LAYOUTS)), 0])
    shapes = tuple(map(int, chosen.integers(SHAPES, size=len(PARTS))))
    side = 1.0 if rng.random() < 0.5 else -1.0
    horizon = rng.uniform(92, 164)
    near, far = rng.uniform(0.24, 0.29), rng.uniform(0.59, 0.66)  # from the inland edge
    castle, town = (far, near) if rng.random() < 0.5 else (near, far)
    castle, town = (SIDE * (s if side > 0 else 1 - s) for s in (castle, town))
    taken = (castle, town)
    sun = _free(rng, 26, 230, (castle,), 44)
    moon = _free(rng, 30, 226, (castle, sun), 40)
    river = _free(rng, 24, 232, taken, 44)
    return Composition(
        seed=seed,
        shapes=shapes,
        horizon=on_grid(horizon),
        sun_x=on_grid(sun),
        sun_y=on_grid(rng.uniform(26, 48)),
        moon_x=on_grid(moon),
        moon_y=on_grid(rng.uniform(24, 42)),
        sea_side=side,
        castle_x=on_grid(castle),
        town_x=on_grid(town),
        city_x=on_grid(rng.uniform(80, 176)),
        mill_x=on_grid(_free(rng, 26, 230, taken, 54)),
        ruins_x=on_grid(_free(rng, 34, 222, (town, river), 50)),
        lake_x=on_grid(rng.uniform(70, 186)),
        river_x=on_grid(river),
        river_end=float(np.clip(river + rng.uniform(-70, 70), 20, 236)),
    )


def _free(
    rng: np.random.Generator, low: float, high: float, taken: tuple[float, ...], room: float
) -> float:
    """A random place, of several the first with enough room, else the one with most."""
    places = rng.uniform(low, high, 12)
    rooms = np.abs(places[:, None] - np.array(taken)).min(1)
    wide = np.flatnonzero(rooms > room)
    return float(places[wide[0] if len(wide) else rooms.argmax()])


@dataclass(frozen=True)
class Relief:
    """The lines of the land, from far to near, as heights at XS."""

    far: Curve
    middle: Curve
    near: Curve

    def at(self, layer: str, x: float) -> float:
        """The height of a layer's line at `x`."""
        line = getattr(self, layer)
        place = min(len(line) - 1.001, max(0.0, (x + STEP) / STEP))
        left = int(place)
        return float(line[left] + (line[left + 1] - line[left]) * (place - left))


def relief_of(plan: Composition, scene: Scene) -> Relief:
    """The land's lines; where the sea comes in, the land on its side gives way."""
    shore = smooth((np.asarray(plan.towards_sea(XS)) - 0.46) / 0.44) * scene.sea
    far = plan.horizon + 4 + _waves(plan.rng("far"), (3, 9), (1, 3.2)) * (1 - 0.8 * scene.sea)
    rng = plan.rng("middle")
    bump = rng.uniform(6, 18) * np.exp(-(((XS - plan.castle_x) / rng.uniform(38, 60)) ** 2))
    middle = plan.below(21) + _waves(rng, (3, 8), (0.6, 2.0)) - bump + 50 * plan.depth * shore
    rng = plan.rng("near")
    near = plan.below(rng.uniform(62, 80)) + _waves(rng, (4, 13), (0.4, 1.5))
    near += 20 * plan.depth * shore
    sunk = 34 * grown(scene.sprawl, 0.5, 0.96)  # behind a cityscape
    return Relief(far + sunk, middle + sunk, near)


def _waves(
    rng: np.random.Generator, heights: tuple[float, float], rates: tuple[float, float]
) -> Curve:
    line, height = np.zeros_like(XS), rng.uniform(*heights)
    for share in (1.0, 0.6, 0.35):
        rate, phase = rng.uniform(*rates) / share**0.5, rng.uniform(0, 2 * np.pi)
        line += share * height * np.sin(2 * np.pi * rate * XS / SIDE + phase)
    return line


GRID = 8.0
"""Things stand on a grid of so many units, which is that of the latents.

A shape that may stand anywhere within a latent is as many shapes to a denoiser, of which it learns
one after another. Nobody sees the grid: what stands where still differs from seed to seed.
"""


def on_grid(place: float) -> float:
    """The nearest line of the grid."""
    return GRID * round(place / GRID)


def in_cell(place: float) -> float:
    """The middle of the grid's cell."""
    return GRID * (int(place // GRID) + 0.5)


def settled(place: float) -> float:
    """Nearly always the nearest line of the grid, and in between a short way to the next: for what
    moves while scenes change, and should not leap."""
    line = math.floor(place / GRID)
    share = place / GRID - line
    return GRID * (line + grown(share, 0.35, 0.65))


def one_of(share: float, *choices: float) -> float:
    """One of several values by a random number in 0 to 1: few sizes are learnt sooner than any."""
    return choices[min(len(choices) - 1, int(share * len(choices)))]


def smooth(share: Curve) -> Curve:
    """A soft step from 0 to 1."""
    inside = np.clip(share, 0, 1)
    return inside * inside * (3 - 2 * inside)


def grown(amount: float, start: float, end: float) -> float:
    """How much of one of many things is there, when it grows between two amounts of all."""
    share = min(1.0, max(0.0, (amount - start) / (end - start)))
    return share * share * (3 - 2 * share)


def snowed(scene: Scene, layer: float) -> Scene:
    """The scene as snow has come down to a layer: 0 the mountains, 1 the foreground."""
    return replace(scene, snow=grown(scene.snow, 0.45 * layer, 0.5 + 0.5 * layer))
