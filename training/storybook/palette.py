"""The colours of storybook pictures: what an hour, a weather and a biome look like.

Everything is mixed, so that the light of any hour and the land of any season has its colours.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.storybook.scene import Scene

Kind = TypeVar("Kind", "Light", "Land")
Colour = tuple[float, float, float]
"""Red, green, blue, each 0..255."""


@dataclass(frozen=True)
class Light:
    """A sky from its top to the horizon, and what it does to the land below."""

    top: Colour
    upper: Colour
    lower: Colour
    horizon: Colour
    light: Colour  # multiplies the land's colours; 255 is all
    shade: Colour  # what the shaded side of things takes on
    cloud: Colour
    cloud_shade: Colour
    sun: Colour
    glow: Colour  # round the sun or the moon
    lamp: float  # share of the windows that are lit
    stars: float
    glow_strength: float
    air: float  # share of the sky's colour that everything takes on


@dataclass(frozen=True)
class Land:
    """The colours of a biome, from far to near."""

    mountain: Colour
    mountain_shade: Colour
    far: Colour
    middle: Colour
    near: Colour
    path: Colour
    bush: Colour
    leaf: Colour
    leaf_shade: Colour
    pine: Colour
    flower: Colour
    sand: Colour
    glow: float  # share of white light that the ground keeps at any hour


WHITE: Colour = (255, 255, 255)
LAMP: Colour = (255, 218, 112)
WATER: Colour = (58, 146, 214)
WATER_LIGHT: Colour = (160, 218, 244)
WOOD: Colour = (122, 82, 58)
WOOD_DARK: Colour = (84, 56, 48)
SNOW: Colour = (250, 253, 255)
GLASS: Colour = (84, 122, 168)
FLAG: Colour = (238, 66, 62)
PLASTERS: tuple[Colour, ...] = (
    (255, 243, 218), (250, 228, 196), (238, 240, 240), (250, 218, 200), (228, 236, 222),
)  # fmt: skip
HOUSE_ROOFS: tuple[Colour, ...] = (
    (222, 84, 58), (240, 138, 62), (204, 66, 78), (190, 98, 66), (226, 106, 88),
)  # fmt: skip
CASTLE_ROOFS: tuple[Colour, ...] = (
    (118, 88, 190), (62, 108, 196), (210, 74, 92), (42, 142, 152), (226, 122, 62),
)  # fmt: skip
STONES: tuple[Colour, ...] = (
    (232, 224, 222), (238, 222, 200), (216, 222, 234), (240, 214, 210), (206, 200, 204),
)  # fmt: skip
TOWERS: tuple[Colour, ...] = (
    (112, 170, 214), (142, 200, 222), (186, 194, 214), (92, 136, 194), (218, 182, 176),
    (232, 208, 172), (126, 150, 190), (166, 214, 208),
)  # fmt: skip
AWNINGS: tuple[Colour, ...] = ((230, 72, 70), (62, 128, 204), (244, 176, 60), (70, 160, 110))

# dawn, day, sunset, night
HOURS: tuple[Light, ...] = (
    Light(
        (112, 124, 208), (196, 152, 208), (252, 182, 178), (255, 232, 186),
        (252, 226, 226), (150, 120, 170), (255, 238, 232), (240, 188, 204),
        (255, 248, 214), (255, 226, 180), 0.15, 0.05, 0.75, 0.03,
    ),
    Light(
        (54, 136, 226), (96, 176, 240), (158, 214, 248), (232, 246, 250),
        (255, 255, 255), (110, 130, 190), (255, 255, 255), (212, 230, 246),
        (255, 243, 168), (255, 250, 220), 0.0, 0.0, 0.5, 0.0,
    ),
    Light(
        (66, 46, 122), (160, 66, 128), (240, 104, 92), (255, 204, 104),
        (250, 192, 164), (96, 50, 110), (255, 186, 142), (222, 122, 128),
        (255, 240, 170), (255, 206, 110), 0.7, 0.1, 0.85, 0.03,
    ),
    Light(
        (8, 12, 44), (17, 27, 76), (34, 54, 118), (82, 112, 178),
        (108, 136, 204), (16, 22, 66), (84, 100, 160), (58, 74, 134),
        (252, 248, 222), (150, 176, 236), 1.0, 1.0, 0.55, 0.2,
    ),
)  # fmt: skip

GREY = Light(  # a rainy day
    (112, 128, 150), (136, 152, 170), (166, 180, 192), (202, 212, 216),
    (208, 216, 224), (90, 100, 130), (196, 204, 214), (146, 156, 172),
    (232, 232, 220), (220, 224, 226), 0.35, 0.0, 0.2, 0.06,
)  # fmt: skip

GREEN = Land(
    (136, 156, 200), (96, 114, 170), (170, 214, 136), (126, 194, 96), (72, 150, 78),
    (240, 220, 166), (58, 132, 72), (88, 172, 84), (44, 118, 74), (40, 112, 84),
    (255, 226, 120), (246, 226, 170), 0.0,
)  # fmt: skip
LANDS: dict[str, Land] = {
    "snow": Land(
        (166, 186, 222), (118, 140, 194), (222, 234, 248), (242, 248, 254), (212, 228, 246),
        (196, 208, 226), (170, 194, 214), (196, 216, 228), (120, 152, 176), (74, 124, 128),
        (220, 236, 250), (214, 222, 236), 0.42,
    ),
    "desert": Land(
        (222, 138, 98), (178, 92, 80), (250, 222, 158), (244, 198, 118), (226, 162, 88),
        (252, 232, 182), (136, 150, 84), (118, 166, 88), (74, 124, 78), (82, 130, 82),
        (240, 110, 110), (252, 228, 172), 0.0,
    ),
    "autumn": Land(
        (156, 144, 178), (114, 104, 148), (236, 202, 112), (222, 166, 74), (176, 108, 56),
        (248, 226, 170), (186, 84, 44), (238, 122, 46), (190, 70, 44), (92, 122, 76),
        (226, 70, 50), (240, 216, 164), 0.0,
    ),
    "blossom": Land(
        (154, 164, 212), (112, 122, 182), (190, 226, 150), (152, 212, 116), (96, 176, 92),
        (246, 228, 184), (240, 158, 190), (252, 188, 212), (230, 122, 170), (70, 150, 96),
        (255, 150, 196), (248, 230, 182), 0.0,
    ),
}  # fmt: skip


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a `share` of `b`."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def _flat(kind: Light | Land) -> list[float]:
    """All numbers of a light or land in a row."""
    values = (getattr(kind, field.name) for field in fields(kind))
    return [n for value in values for n in (value if isinstance(value, tuple) else (value,))]


def _kind_of(cls: type[Kind], numbers: list[float]) -> Kind:
    """The light or land of a row of numbers."""
    values: list[Any] = []
    rest = iter(numbers)
    for field in fields(cls):
        one = field.type in (float, "float")
        values.append(next(rest) if one else (next(rest), next(rest), next(rest)))
    return cls(*values)


_HOUR_ROWS = np.array([_flat(light) for light in HOURS])
_LAND_ROWS = np.array([_flat(land) for land in (GREEN, *LANDS.values())])


@lru_cache(256)
def _tint(seed: int) -> tuple[Colour, Colour]:
    """How a seed's sky and land lean in colour: shares of red, green and blue near 1."""
    rng = np.random.default_rng([seed, 99])
    warm, bright = rng.uniform(-0.09, 0.09, 2), rng.uniform(-0.07, 0.05, 2)
    hue = rng.uniform(-0.1, 0.1)
    sky = (1 + warm[0] + bright[0], 1 + bright[0] + 0.5 * hue, 1 - warm[0] + bright[0])
    land = (1 + warm[1] + bright[1] + hue, 1 + bright[1], 1 - warm[1] + bright[1] - hue)
    return sky, land


def tinted(colour: Colour, tint: Colour) -> Colour:
    """A colour leaning as its seed does."""
    red, green, blue = (
        min(255.0, value * share) for value, share in zip(colour, tint, strict=True)
    )
    return (red, green, blue)


def light_of(scene: Scene) -> Light:
    """The light at the scene's hour and in its weather."""
    light, tint = _light(scene), _tint(scene.seed)[0]
    sky = {name: tinted(getattr(light, name), tint) for name in ("top", "upper", "lower")}
    return replace(light, **sky)  # type: ignore[arg-type]


def _light(scene: Scene) -> Light:
    before, share = int(scene.hour) % len(HOURS), scene.hour - int(scene.hour)
    after = (before + 1) % len(HOURS)
    row = (1 - share) * _HOUR_ROWS[before] + share * _HOUR_ROWS[after]
    grey = max(0.78 * scene.rain, 0.34 * scene.fog)
    if grey:
        row = (1 - grey) * row + grey * _dulled(_kind_of(Light, row.tolist()))
    return _kind_of(Light, row.tolist())


def _dulled(clear: Light) -> NDArray[np.float64]:
    """The numbers of a grey sky at the hour of a clear one."""
    dim = 0.15 + 0.85 * np.array(clear.light) / 255
    rows = [
        np.ravel(np.array(getattr(GREY, f.name)) * (1 if f.type in (float, "float") else dim))
        for f in fields(GREY)
    ]
    dull = _kind_of(Light, np.concatenate(rows).tolist())
    light = tinted(clear.light, (0.86, 0.86, 0.86))
    return np.array(_flat(replace(dull, light=light, lamp=max(clear.lamp, GREY.lamp))))


def land_of(scene: Scene) -> Land:
    """The land in the scene's season and climate."""
    return _land(tuple(getattr(scene, name) for name in LANDS), scene.seed)


@lru_cache(64)
def _land(shares: tuple[float, ...], seed: int) -> Land:
    rest = max(0.0, 1 - sum(shares))
    weights = np.array([rest, *shares]) / (rest + sum(shares))
    land, tint = _kind_of(Land, (weights @ _LAND_ROWS).tolist()), _tint(seed)[1]
    ground = {name: tinted(getattr(land, name), tint) for name in ("far", "middle", "near", "leaf")}
    return replace(land, **ground)  # type: ignore[arg-type]
