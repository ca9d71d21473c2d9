"""The painter: a flat-shaded storybook picture of a Scene, the same for the same seed and size.

Parts are painted from far to near; each has random numbers of its own, so that two scenes with one
seed share all they have in common.
"""

import numpy as np
from numpy.typing import NDArray

from training.storybook.buildings import paint_castle, paint_city, paint_cityscape, paint_town
from training.storybook.canvas import SIDE, Canvas, Point
from training.storybook.palette import (
    FLAG,
    LANDS,
    PLASTER,
    SKIES,
    SNOW,
    WATER,
    WATER_LIGHT,
    WOOD,
    Colour,
    Land,
    mix,
)
from training.storybook.scene import Scene

Curve = NDArray[np.float64]

HORIZON = 68.0
PARTS = ("sky", "mountains", "hills", "place", "water", "forest", "meadow")


def paint(scene: Scene, size: int = 128) -> NDArray[np.uint8]:
    """The picture of `scene`, (size, size, 3)."""
    canvas = Canvas(size, SKIES[scene.time])
    rngs = {part: np.random.default_rng([scene.seed, i]) for i, part in enumerate(PARTS)}
    _sky(canvas, scene, rngs["sky"])
    if scene.place == "cityscape":
        paint_cityscape(canvas, rngs["place"])
        return canvas.pixels()
    land = LANDS[scene.biome]
    _mountains(canvas, scene, land, rngs["mountains"])
    _country(canvas, scene, land, rngs)
    return canvas.pixels()


def _sky(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    sky = canvas.sky
    canvas.gradient((sky.top, sky.middle, sky.horizon), HORIZON + 8)
    side = 1 if rng.random() < 0.5 else -1
    x = 64 + side * rng.uniform(34, 46)
    if scene.time == "night":
        _moon_and_stars(canvas, rng, x, rng.uniform(17, 22))
    else:
        y = rng.uniform(17, 22) if scene.time == "day" else rng.uniform(44, 50)
        for radius, share in ((17, 0.22), (13, 0.45)):
            canvas.disc(x, y, radius, mix(canvas.colour_at(x, y), sky.celestial, share))
        canvas.disc(x, y, 9, sky.celestial)
    _cloud(canvas, 64 - side * rng.uniform(26, 40), rng.uniform(16, 22), rng.uniform(13, 16))
    _cloud(canvas, 64 + side * rng.uniform(0, 12), rng.uniform(30, 36), rng.uniform(10, 12))


def _moon_and_stars(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    for i in range(9):
        at = (i * 14 + 8 + rng.uniform(-4, 4), (8, 30, 18, 42)[i % 4] + rng.uniform(-4, 4))
        if abs(at[0] - x) > 14:
            _star(canvas, *at, rng.uniform(1.9, 2.7))
    canvas.disc(x, y, 13, mix(canvas.colour_at(x, y), canvas.sky.celestial, 0.14))
    canvas.disc(x, y, 9, canvas.sky.celestial)
    canvas.disc(x - 4, y - 2.5, 7.5, mix(canvas.sky.top, canvas.sky.middle, 0.6))


def _star(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A four-pointed star."""
    waist = radius * 0.34
    points = []
    for dx, dy in ((0, -1), (1, 0), (0, 1), (-1, 0)):
        points += [
            (x + dx * radius, y + dy * radius),
            (x + (dx - dy) * waist, y + (dy + dx) * waist),
        ]
    canvas.polygon(points, (255, 250, 214))


def _cloud(canvas: Canvas, x: float, y: float, width: float) -> None:
    puffs = ((-0.75, 0.0, 0.42), (-0.2, -0.28, 0.55), (0.4, -0.12, 0.5), (0.85, 0.05, 0.36))
    for colour, drop in ((canvas.sky.cloud_shade, 1.8), (canvas.sky.cloud, 0.0)):
        for dx, dy, radius in puffs:
            at = (x + dx * width, y + dy * width + drop)
            canvas.ellipse(*at, radius * width, radius * width * 0.72, colour)


def _mountains(canvas: Canvas, scene: Scene, land: Land, rng: np.random.Generator) -> None:
    """Three bold peaks, the middle one farthest; table mountains in the desert."""
    shift = rng.uniform(-10, 10)
    for x, height, haze in ((64, 34, 0.34), (22, 27, 0.12), (106, 29, 0.12)):
        peak = (x + shift + rng.uniform(-5, 5), HORIZON + 4 - height - rng.uniform(-2, 5))
        if scene.biome == "desert":
            _mesa(canvas, land, peak, haze)
        else:
            _peak(canvas, land, peak, haze)


def _peak(canvas: Canvas, land: Land, peak: Point, haze: float) -> None:
    x, y = peak
    foot = HORIZON + 8
    height = foot - y
    half = height * 0.86
    canvas.polygon([(x - half, foot), (x, y), (x + half, foot)], canvas.lit(land.mountain, haze))
    ridge = [(x, y), (x + 3, y + height * 0.4), (x - 3, y + height * 0.7), (x + 5, foot)]
    canvas.polygon([*ridge, (x + half, foot)], canvas.lit(land.mountain_shade, haze))
    cap = height * 0.36
    edge = [(x - cap * 0.86, y + cap), (x - cap * 0.4, y + cap * 0.72), (x, y + cap * 1.18)]
    dark = [(x + cap * 0.42, y + cap * 0.74), (x + cap * 0.86, y + cap)]
    canvas.polygon([(x, y), *edge, *dark], canvas.lit(SNOW, haze * 0.5))
    canvas.polygon([(x, y), edge[-1], *dark], canvas.lit((206, 220, 244), haze * 0.5))


def _mesa(canvas: Canvas, land: Land, peak: Point, haze: float) -> None:
    x, y = peak[0], peak[1] + 9
    foot = HORIZON + 8
    outline = [(x - 24, foot), (x - 15, y), (x + 13, y), (x + 24, foot)]
    canvas.polygon(outline, canvas.lit(land.mountain, haze))
    shade = [(x + 4, y), (x + 13, y), (x + 24, foot), (x + 2, foot)]
    canvas.polygon(shade, canvas.lit(land.mountain_shade, haze))
    band = canvas.lit(mix(land.mountain, (255, 220, 170), 0.4), haze)
    canvas.polygon([(x - 17, y + 6), (x + 4, y + 6), (x + 3.5, y + 10), (x - 18.5, y + 10)], band)


def _hill(canvas: Canvas, rng: np.random.Generator, y: float, swing: float, colour: Colour) -> None:
    """A hill line around `y` of one smooth wave and a half, filled to the bottom."""
    phase, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.4)
    xs = np.linspace(-2, 130, 45)
    ys = y + swing * np.sin(phase + xs / SIDE * 2 * np.pi * pace)
    outline = [(float(a), float(b)) for a, b in zip(xs, ys, strict=True)]
    canvas.polygon([(-2, 130), *outline, (130, 130)], colour)


def _country(
    canvas: Canvas, scene: Scene, land: Land, rngs: dict[str, np.random.Generator]
) -> None:
    """Hills from far to near with what stands on each."""
    hills, place = rngs["hills"], rngs["place"]
    snow = land.roof_snow
    x = 64 + place.uniform(-10, 10)
    side = 1 if place.random() < 0.5 else -1
    _hill(canvas, hills, HORIZON + 1, 2.5, canvas.lit(land.far, 0.22, land.glow))
    if scene.place == "city":
        paint_city(canvas, place, x, 84)
    if "castle" in scene.place:
        x = 64 + side * place.uniform(20, 26) if scene.place == "town_castle" else x
        canvas.ellipse(x, 96, 52, 22, canvas.lit(mix(land.far, land.middle, 0.5), 0.06, land.glow))
        paint_castle(canvas, place, x, 79, snow)
    if scene.forest:
        _far_trees(canvas, scene, land, rngs["forest"])
    _hill(canvas, hills, 83, 2.0, canvas.lit(land.middle, 0.0, land.glow))
    _hill(canvas, hills, 104, 2.5, canvas.lit(mix(land.middle, land.near, 0.75), 0.0, land.glow))
    if scene.water != "none":
        _water(canvas, scene, land, rngs["water"])
    if scene.place == "town":
        paint_town(canvas, place, x, 90, snow, small=False)
    if scene.place == "town_castle":
        paint_town(canvas, place, 64 - side * place.uniform(26, 30), 92, snow, small=True)
    if scene.water != "sea":
        _meadow(canvas, scene, land, rngs["meadow"])
    if scene.forest:
        _near_trees(canvas, scene, land, rngs["forest"])


def _water(canvas: Canvas, scene: Scene, land: Land, rng: np.random.Generator) -> None:
    blue, glint = canvas.lit(mix(WATER, canvas.sky.horizon, 0.12)), canvas.lit(WATER_LIGHT, 0.1)
    shore = canvas.lit(land.path)
    side = 1 if rng.random() < 0.5 else -1
    if scene.water == "river":
        _river(canvas, rng, side, (shore, blue, glint))
    elif scene.water == "lake":
        x, y = 64 + side * rng.uniform(8, 20), 111
        canvas.ellipse(x, y, 45, 12.5, shore)
        canvas.ellipse(x, y, 42, 10.5, blue)
        for dx, dy in ((-16, -3), (10, 1), (-6, 5)):
            canvas.box(x + dx, y + dy, x + dx + 15, y + dy + 1.6, glint)
    else:
        _hill(canvas, rng, 103, 1.5, shore)
        _hill(canvas, rng, 107, 1.2, blue)
        for i in range(5):
            left, top = i * 26 + rng.uniform(-6, 6), 112 + (i % 3) * 5.5
            canvas.box(left, top, left + 15, top + 1.6, glint)
        _boat(canvas, 64 + side * rng.uniform(12, 34), 116)


def _river(
    canvas: Canvas, rng: np.random.Generator, side: int, colours: tuple[Colour, Colour, Colour]
) -> None:
    """A winding river that widens from the middle hill to the lower edge."""
    shore, blue, glint = colours
    along = np.linspace(0, 1, 24)
    swing = rng.uniform(9, 13)
    middle = 64 + side * (6 + swing * np.sin(along * 5.6))
    width, ys = 3.0 + 17 * along**1.5, 86 + 44 * along
    strokes = ((shore, -1.0, 1.0, 2.2), (blue, -1.0, 1.0, 0.0), (glint, -0.5, -0.2, 0.0))
    for colour, left, right, rim in strokes:
        canvas.polygon(
            _ribbon(middle + left * width - rim, middle + right * width + rim, ys), colour
        )


def _ribbon(left: Curve, right: Curve, ys: Curve) -> list[Point]:
    """The outline between two curves over the same heights, each (N,)."""
    xs, heights = np.concatenate([left, right[::-1]]), np.concatenate([ys, ys[::-1]])
    return [(float(x), float(y)) for x, y in zip(xs, heights, strict=True)]


def _boat(canvas: Canvas, x: float, y: float) -> None:
    canvas.polygon(
        [(x - 9, y - 3), (x + 9, y - 3), (x + 5, y + 2), (x - 6, y + 2)], canvas.lit(WOOD)
    )
    canvas.box(x - 0.7, y - 19, x + 0.7, y - 3, canvas.lit(WOOD))
    canvas.polygon([(x + 1.2, y - 19), (x + 1.2, y - 5), (x + 10, y - 5)], canvas.lit(PLASTER))
    canvas.polygon([(x - 1.2, y - 17), (x - 1.2, y - 5), (x - 7, y - 5)], canvas.lit(FLAG))


def _far_trees(canvas: Canvas, scene: Scene, land: Land, rng: np.random.Generator) -> None:
    """A wood along the edge of the middle hill, open in the middle if something stands there."""
    for i in range(12):
        x = (i + 0.5) * 128 / 12 + rng.uniform(-2, 2)
        if scene.place == "none" or abs(x - 64) > 38:
            _tree(canvas, scene, land, (x, 86 + rng.uniform(-1, 1)), rng.uniform(15, 18), 0.14)


def _near_trees(canvas: Canvas, scene: Scene, land: Land, rng: np.random.Generator) -> None:
    """Large trees at both edges of the foreground."""
    for x, y, height in (
        (16, 108, 26),
        (112, 108, 26),
        (4, 121, 34),
        (124, 121, 34),
        (25, 124, 30),
        (103, 124, 30),
    ):
        at = (x + rng.uniform(-2.5, 2.5), y + rng.uniform(-1.5, 1.5))
        _tree(canvas, scene, land, at, height + rng.uniform(-2, 2), 0.0)


def _tree(
    canvas: Canvas, scene: Scene, land: Land, foot: Point, height: float, haze: float
) -> None:
    """A fir of three tiers; in autumn a round tree."""
    x, y = foot
    light, dark = canvas.lit(land.leaf, haze), canvas.lit(land.leaf_shade, haze)
    canvas.box(x - height * 0.06, y - height * 0.3, x + height * 0.06, y, canvas.lit(WOOD, haze))
    if scene.biome == "autumn":
        canvas.ellipse(x, y - height * 0.6, height * 0.32, height * 0.38, dark)
        canvas.ellipse(x - height * 0.06, y - height * 0.64, height * 0.24, height * 0.29, light)
        return
    for low, high, half in ((0.14, 0.62, 0.31), (0.42, 1.0, 0.24)):
        base, tip = y - height * low, y - height * high
        canvas.polygon([(x - height * half, base), (x, tip), (x + height * half, base)], light)
        canvas.polygon([(x, tip), (x + height * half, base), (x + height * 0.04, base)], dark)
    if land.roof_snow:
        top = y - height
        cap = [
            (x - height * 0.12, top + height * 0.27),
            (x, top),
            (x + height * 0.12, top + height * 0.27),
        ]
        canvas.polygon(cap, canvas.lit(SNOW, haze))


def _meadow(canvas: Canvas, scene: Scene, land: Land, rng: np.random.Generator) -> None:
    """The nearest ground: a dark hill with bushes, a path where there is no water."""
    if scene.water == "none":
        _path(canvas, land, rng)
    _bush(canvas, land, (rng.uniform(10, 22), 123), rng.uniform(7, 9))
    _bush(canvas, land, (rng.uniform(104, 118), 121), rng.uniform(7, 9))


def _path(canvas: Canvas, land: Land, rng: np.random.Generator) -> None:
    """A winding path from the middle hill to the viewer."""
    side = 1 if rng.random() < 0.5 else -1
    along = np.linspace(0, 1, 24)
    middle = 64 + side * (4 + rng.uniform(7, 10) * np.sin(along * 4.6))
    width, ys = 1.6 + 8 * along**1.4, 100 + 30 * along
    canvas.polygon(_ribbon(middle - width, middle + width, ys), canvas.lit(land.path))


def _bush(canvas: Canvas, land: Land, at: Point, width: float) -> None:
    x, y = at
    dark, light = canvas.lit(mix(land.bush, (10, 30, 50), 0.2)), canvas.lit(land.bush)
    canvas.ellipse(x, y, width, width * 0.6, dark)
    canvas.ellipse(x - width * 0.2, y - width * 0.14, width * 0.72, width * 0.44, light)
