"""The content of a storybook picture: a Scene of closed choices, sampled from a seed.

Every attribute has a fixed default. A caption that leaves an attribute out means the default, so
that a prompt decides the picture and the noise only its composition.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

T = TypeVar("T")
Place = Literal["none", "town", "castle", "town_castle", "city", "cityscape"]
Time = Literal["day", "dawn", "sunset", "night"]
Biome = Literal["green", "snow", "desert", "autumn"]
Water = Literal["none", "river", "lake", "sea"]

PLACES: tuple[Place, ...] = get_args(Place)
TIMES: tuple[Time, ...] = get_args(Time)
BIOMES: tuple[Biome, ...] = get_args(Biome)
WATERS: tuple[Water, ...] = get_args(Water)

ATTRIBUTES: dict[str, tuple[object, ...]] = {
    "place": PLACES,
    "time": TIMES,
    "biome": BIOMES,
    "water": WATERS,
    "forest": (False, True),
}
UNKNOWN = -100  # the class of an attribute that a picture cannot show

PLACE_ODDS = (0.17, 0.17, 0.15, 0.18, 0.17, 0.16)
TIME_ODDS = (0.40, 0.18, 0.20, 0.22)
BIOME_ODDS = (0.46, 0.20, 0.15, 0.19)
WATER_ODDS = (0.49, 0.17, 0.17, 0.17)
FOREST_ODDS = 0.35
PLAIN_ODDS = 0.25  # scenes with nothing but a place: what short prompts ask for


@dataclass(frozen=True)
class Scene:
    """The attributes of one picture; `seed` decides everything that has no name."""

    place: Place = "none"
    time: Time = "day"
    biome: Biome = "green"
    water: Water = "none"
    forest: bool = False
    seed: int = 0


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random scene of the training distribution."""
    place = _choose(rng, PLACES, PLACE_ODDS)
    seed = int(rng.integers(1 << 31))
    if rng.random() < PLAIN_ODDS:
        return Scene(place=place, seed=seed)
    time = _choose(rng, TIMES, TIME_ODDS)
    if place == "cityscape":  # houses from edge to edge leave no room for anything else
        return Scene(place=place, time=time, seed=seed)
    biome = _choose(rng, BIOMES, BIOME_ODDS)
    water = _choose(rng, WATERS, WATER_ODDS)
    forest = biome != "desert" and bool(rng.random() < FOREST_ODDS)
    return Scene(place, time, biome, water, forest, seed)


def classes_of(scene: Scene) -> list[int]:
    """The class number of each attribute; a cityscape hides biome, water and forest."""
    shown = ("place", "time") if scene.place == "cityscape" else tuple(ATTRIBUTES)
    return [
        choices.index(getattr(scene, attribute)) if attribute in shown else UNKNOWN
        for attribute, choices in ATTRIBUTES.items()
    ]


def _choose(rng: np.random.Generator, choices: tuple[T, ...], odds: tuple[float, ...]) -> T:
    return choices[int(rng.choice(len(choices), p=odds))]
