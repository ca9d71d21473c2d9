"""The content of a storybook picture, as numbers that can change little by little.

A `Scene` is made of amounts between 0 and 1: a castle of .5 is half built, a river of .3 is a
brook. Two scenes with one seed have one composition, so `interpolate` between them is a film of
things growing. A `Description` is made of closed choices, as words are; `scene_of` is its picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar, get_args

import numpy as np

T = TypeVar("T")
Place = Literal["none", "town", "castle", "town_castle", "city", "cityscape"]
Time = Literal["dawn", "day", "sunset", "night"]
Biome = Literal["green", "snow", "desert", "autumn", "blossom"]
Water = Literal["none", "river", "lake", "sea"]
Weather = Literal["clear", "rain", "fog", "rainbow"]
Thing = Literal["birds", "boat", "windmill", "lighthouse", "bridge", "ruins", "market", "harbour"]

PLACES: tuple[Place, ...] = get_args(Place)
TIMES: tuple[Time, ...] = get_args(Time)
BIOMES: tuple[Biome, ...] = get_args(Biome)
WATERS: tuple[Water, ...] = get_args(Water)
WEATHERS: tuple[Weather, ...] = get_args(Weather)
THINGS: tuple[Thing, ...] = get_args(Thing)

ATTRIBUTES: dict[str, tuple[object, ...]] = {
    "place": PLACES,
    "time": TIMES,
    "biome": BIOMES,
    "water": WATERS,
    "forest": (False, True),
    "weather": WEATHERS,
    **dict.fromkeys(THINGS, (False, True)),
}
UNKNOWN = -100  # the class of an attribute that a picture cannot show

PLACE_ODDS = (0.17, 0.17, 0.16, 0.18, 0.16, 0.16)
TIME_ODDS = (0.17, 0.42, 0.19, 0.22)
BIOME_ODDS = (0.42, 0.17, 0.14, 0.15, 0.12)
WATER_ODDS = (0.46, 0.18, 0.17, 0.19)
WEATHER_ODDS = (0.70, 0.10, 0.10, 0.10)
FOREST_ODDS = 0.35
THING_ODDS = 0.42  # scenes with one small thing; of these, a third have a second one
PLAIN_ODDS = 0.20  # scenes with nothing but a place: what short prompts ask for

NEEDS: Mapping[Thing, tuple[Water, ...]] = {
    "boat": ("sea", "lake", "river"),
    "lighthouse": ("sea",),
    "bridge": ("river",),
    "harbour": ("sea",),
}
"""The waters of which a thing needs one; where none is said, the first is meant."""


@dataclass(frozen=True)
class Scene:
    """One picture. Amounts are 0 to 1; `seed` decides the composition and nothing else."""

    hour: float = 1.0  # dawn 0, day 1, sunset 2, night 3, and round again
    town: float = 0.0
    castle: float = 0.0
    city: float = 0.0
    sprawl: float = 0.0  # a city that fills the picture
    snow: float = 0.0
    desert: float = 0.0
    autumn: float = 0.0
    blossom: float = 0.0
    river: float = 0.0
    lake: float = 0.0
    sea: float = 0.0
    forest: float = 0.0
    rain: float = 0.0
    fog: float = 0.0
    rainbow: float = 0.0
    birds: float = 0.0
    boat: float = 0.0
    windmill: float = 0.0
    lighthouse: float = 0.0
    bridge: float = 0.0
    ruins: float = 0.0
    market: float = 0.0
    harbour: float = 0.0
    seed: int = 0


AMOUNTS = tuple(f.name for f in fields(Scene) if f.name not in ("hour", "seed"))


@dataclass(frozen=True)
class Description:
    """The content of a picture in closed choices, each with the default that an unsaid word
    means."""

    place: Place = "none"
    time: Time = "day"
    biome: Biome = "green"
    water: Water = "none"
    forest: bool = False
    weather: Weather = "clear"
    things: frozenset[Thing] = frozenset()


def scene_of(described: Description, seed: int) -> Scene:
    """The scene in which all that is described is there in full."""
    shown: set[str] = {described.biome, described.water, described.weather, *described.things}
    shown |= {"town", "castle"} if described.place == "town_castle" else {described.place}
    shown |= {"forest"} if described.forest else set()
    shown |= {"sprawl"} if described.place == "cityscape" else set()
    full = {name: 1.0 for name in AMOUNTS if name in shown}
    return Scene(hour=float(TIMES.index(described.time)), seed=seed, **full)


def interpolate(a: Scene, b: Scene, t: float) -> Scene:
    """The scene at `t` on the way from `a` (0) to `b` (1), in the composition of `a`.

    Amounts change evenly. Hours go the shorter way round; of two ways as long, the one by sunset
    between day and night, and by day between dawn and sunset, so that the way back is the same.
    """
    amounts = {n: (1 - t) * getattr(a, n) + t * getattr(b, n) for n in AMOUNTS}
    return replace(a, hour=_hour_between(a.hour, b.hour, t), **amounts)


def _hour_between(start: float, end: float, t: float) -> float:
    way = end - start
    if abs(way) > len(TIMES) / 2:  # by midnight
        way -= np.copysign(len(TIMES), way)
    return float((start + t * way) % len(TIMES))


def sample_description(rng: np.random.Generator) -> Description:
    """A random description of the training distribution."""
    place = _choose(rng, PLACES, PLACE_ODDS)
    if rng.random() < PLAIN_ODDS:
        return Description(place)
    time, weather = _choose(rng, TIMES, TIME_ODDS), _choose(rng, WEATHERS, WEATHER_ODDS)
    if weather == "rainbow" and time == "night":
        weather = "clear"
    if place == "cityscape":  # houses from edge to edge leave no room for anything else
        birds = frozenset[Thing]({"birds"}) if rng.random() < 0.15 else frozenset[Thing]()
        return Description(place, time, weather=weather, things=birds)
    biome, water = _choose(rng, BIOMES, BIOME_ODDS), _choose(rng, WATERS, WATER_ODDS)
    forest = biome != "desert" and bool(rng.random() < FOREST_ODDS)
    things, water = _sample_things(rng, place, water)
    return Description(place, time, biome, water, forest, weather, things)


def _sample_things(
    rng: np.random.Generator, place: Place, water: Water
) -> tuple[frozenset[Thing], Water]:
    """Up to two small things, and the water they need."""
    things: set[Thing] = set()
    odds = THING_ODDS
    while rng.random() < odds and len(things) < 2:
        odds = 1 / 3
        thing = THINGS[int(rng.integers(len(THINGS)))]
        if thing == "market" and "town" not in place:
            continue
        needed = NEEDS.get(thing)
        if needed and water not in needed:
            if water != "none":
                continue
            water = needed[0]
        things.add(thing)
    return frozenset(things), water


def classes_of(described: Description) -> list[int]:
    """The class number of each attribute; a cityscape hides what is out in the country."""
    hidden = {"biome", "water", "forest", *THINGS} - {"birds"}
    unseen = hidden if described.place == "cityscape" else set()
    return [
        UNKNOWN if name in unseen else choices.index(_value(described, name))
        for name, choices in ATTRIBUTES.items()
    ]


def _value(described: Description, attribute: str) -> object:
    if attribute in THINGS:
        return attribute in described.things
    return getattr(described, attribute)


def _choose(rng: np.random.Generator, choices: tuple[T, ...], odds: tuple[float, ...]) -> T:
    return choices[int(rng.choice(len(choices), p=odds))]
