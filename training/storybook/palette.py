"""The colours of storybook pictures: what a time of day and a biome look like."""

from dataclasses import dataclass

from training.storybook.scene import Biome, Time

Colour = tuple[float, float, float]
"""Red, green, blue, each 0..255."""


@dataclass(frozen=True)
class Sky:
    """A sky from its top to the horizon, and what it does to the land below."""

    top: Colour
    middle: Colour
    horizon: Colour
    light: Colour  # multiplies the land's colours
    cloud: Colour
    cloud_shade: Colour
    window: Colour | None  # lit windows; None: the windows are glass
    celestial: Colour


@dataclass(frozen=True)
class Land:
    """The colours of a biome, from far to near."""

    mountain: Colour
    mountain_shade: Colour
    snowcap: bool
    far: Colour
    middle: Colour
    near: Colour
    path: Colour
    bush: Colour
    leaf: Colour
    leaf_shade: Colour
    roof_snow: bool
    glow: float = 0.0  # share of white light that the ground keeps at any time of day


LAMP: Colour = (255, 214, 92)

SKIES: dict[Time, Sky] = {
    "day": Sky(
        (64, 148, 232), (128, 196, 246), (222, 242, 252), (1.0, 1.0, 1.0),
        (255, 255, 255), (224, 238, 250), None, (255, 236, 130),
    ),
    "dawn": Sky(
        (142, 130, 206), (240, 168, 196), (255, 228, 180), (0.97, 0.86, 0.92),
        (255, 232, 232), (246, 204, 214), None, (255, 246, 206),
    ),
    "sunset": Sky(
        (92, 48, 122), (234, 88, 84), (255, 194, 84), (0.95, 0.70, 0.60),
        (255, 160, 122), (214, 104, 112), LAMP, (255, 232, 140),
    ),
    "night": Sky(
        (10, 14, 50), (26, 38, 96), (62, 82, 150), (0.42, 0.48, 0.74),
        (62, 76, 132), (44, 58, 112), LAMP, (250, 246, 214),
    ),
}  # fmt: skip

LANDS: dict[Biome, Land] = {
    "green": Land(
        (122, 140, 178), (92, 108, 154), True, (158, 206, 120), (112, 184, 84), (66, 142, 72),
        (236, 214, 158), (52, 122, 66), (58, 148, 78), (34, 106, 70), False,
    ),
    "snow": Land(
        (152, 172, 210), (114, 136, 186), True, (216, 230, 246), (238, 246, 253), (204, 222, 243),
        (190, 206, 228), (150, 182, 206), (92, 146, 140), (58, 106, 116), True, 0.45,
    ),
    "desert": Land(
        (206, 124, 88), (168, 90, 74), False, (244, 212, 144), (236, 186, 106), (216, 154, 80),
        (250, 226, 170), (120, 150, 76), (96, 156, 84), (62, 118, 74), False,
    ),
    "autumn": Land(
        (140, 128, 158), (108, 98, 136), True, (232, 190, 92), (220, 156, 62), (172, 98, 48),
        (246, 220, 160), (176, 74, 38), (232, 104, 40), (186, 66, 38), False,
    ),
}  # fmt: skip

WATER: Colour = (70, 156, 226)
WATER_LIGHT: Colour = (150, 208, 246)
STONE: Colour = (222, 214, 214)
STONE_SHADE: Colour = (170, 160, 182)
PLASTER: Colour = (252, 238, 208)
PLASTER_SHADE: Colour = (222, 194, 164)
WOOD: Colour = (112, 72, 52)
GLASS: Colour = (74, 104, 146)
FLAG: Colour = (236, 62, 58)
SNOW: Colour = (248, 252, 255)
HOUSE_ROOFS: tuple[tuple[Colour, Colour], ...] = (
    ((222, 78, 52), (176, 52, 52)),
    ((238, 128, 54), (194, 88, 50)),
    ((206, 62, 84), (156, 44, 78)),
)
CASTLE_ROOFS: tuple[tuple[Colour, Colour], ...] = (
    ((116, 84, 184), (80, 56, 142)),
    ((66, 104, 192), (46, 70, 146)),
    ((206, 70, 92), (154, 48, 84)),
)
TOWERS: tuple[tuple[Colour, Colour], ...] = (
    ((98, 158, 208), (66, 112, 170)),
    ((128, 190, 218), (86, 140, 186)),
    ((172, 180, 204), (124, 130, 168)),
    ((84, 128, 186), (58, 90, 146)),
    ((206, 168, 164), (158, 122, 132)),
)
"""Light and shaded side of the towers of a modern city."""


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a `share` of `b`."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )
