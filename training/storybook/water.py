"""Sea, river and lake, which come and go with their amounts."""

from collections.abc import Callable

import numpy as np

from training.storybook.canvas import SIDE, Canvas, Point
from training.storybook.composition import XS, Composition, Relief, snowed
from training.storybook.palette import (
    WATER,
    WATER_LIGHT,
    WOOD_DARK,
    Colour,
    Land,
    land_of,
    mix,
)
from training.storybook.scene import Scene


def water_colours(canvas: Canvas, scene: Scene) -> tuple[Colour, Colour, Colour]:
    """The deep, the mirroring and the glittering water of this light."""
    light = canvas.light
    deep = mix(canvas.lit(mix(WATER, (126, 176, 206), 0.4 * scene.snow)), light.upper, 0.42)
    far = mix(mix(light.horizon, light.lower, 0.6), canvas.lit(WATER_LIGHT), 0.4)
    glitter = mix(mix(canvas.lit(WATER_LIGHT), light.glow, 0.5), (255, 255, 255), 0.25)
    return deep, far, glitter


def paint_sea(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Water from the horizon to the shore, which it floods."""
    if scene.sea <= 0.01:
        return
    deep, far, glitter = water_colours(canvas, scene)
    top, bottom = plan.horizon + 4, SIDE
    surface = [(0.0, top), (SIDE, top), (SIDE, top + 96), (0.0, top + 96)]
    if scene.sea < 0.999:  # it rises from the lowest place of the land
        top = top + (1 - scene.sea) * 16
        surface = [(0.0, top), (SIDE, top), (SIDE, bottom), (0.0, bottom)]
    canvas.shaded(surface, far, deep)
    rng = plan.rng("sea")
    shining = plan.moon_x if canvas.light.stars > 0.5 else plan.sun_x
    for i in range(34):
        near = rng.random() ** 1.3
        y = top + 3 + 74 * near
        x = rng.uniform(0, SIDE) if i % 2 else shining + rng.normal() * (6 + 16 * near)
        half = (4 + 11 * near) * rng.uniform(0.6, 1.2)
        points = [
            (x - half, y),
            (x, y - 0.4 - 0.8 * near),
            (x + half, y),
            (x, y + 0.4 + 0.8 * near),
        ]
        canvas.polygon(points, mix(glitter, far, rng.random() * 0.5))
    _beach(canvas, scene, plan, relief, glitter)


def _beach(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief, foam: Colour) -> None:
    """Sand along the shore, and the foam of the last wave."""
    land = land_of(snowed(scene, 0.7))
    for lift, colour in ((7.0, foam), (4.6, canvas.lit(land.sand, 0.05, land.glow))):
        line = relief.middle - lift * scene.sea
        canvas.polygon([*zip(XS, line, strict=True), (SIDE + 8, SIDE), (-8, SIDE)], colour)


def river_course(plan: Composition, relief: Relief) -> Callable[[float], tuple[float, float]]:
    """The river's middle and half its full width at a share of its way to the viewer."""
    rng = plan.rng("river")
    bends, phase = rng.uniform(0.9, 1.6), rng.uniform(0, 2 * np.pi)
    swing = rng.uniform(12, 24)

    def course(share: float) -> tuple[float, float]:
        x = plan.river_x + (plan.river_end - plan.river_x) * share**1.4
        x += swing * (0.25 + share) * np.sin(2 * np.pi * bends * share**0.7 + phase)
        return float(x), 2.0 + 17.0 * share**1.35

    return course


def paint_river(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A river from the hills to the lower edge, as wide as its amount says."""
    if scene.river <= 0.01:
        return
    course = river_course(plan, relief)
    deep, far, glitter = water_colours(canvas, scene)
    land = land_of(snowed(scene, 0.8))
    top = relief.at("middle", course(0.0)[0]) + 1
    shares = np.linspace(0, 1, 26)
    ys = top + (SIDE + 2 - top) * shares**1.25
    bank = mix(canvas.lit(land.sand, 0.05, land.glow), canvas.lit(land.near, 0, land.glow), 0.35)
    for extra, upper, lower in ((1.4, bank, bank), (0.0, far, deep)):
        widths = [course(s)[1] * scene.river + extra * (0.5 + s) for s in shares]
        left = [(course(s)[0] - w, y) for s, w, y in zip(shares, widths, ys, strict=True)]
        right = [(course(s)[0] + w, y) for s, w, y in zip(shares, widths, ys, strict=True)]
        canvas.shaded([*left, *right[::-1]], upper, lower)
    for i, share in enumerate(np.linspace(0.25, 0.96, 9)):
        x, half = course(float(share))
        y = top + (SIDE - top) * share**1.25
        x += half * scene.river * (-0.4 if i % 2 else 0.3)
        reach = half * 0.4 * scene.river
        canvas.polygon([(x - reach, y), (x, y - 0.9), (x + reach, y), (x, y + 0.9)], glitter)


def paint_lake(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """A lake before the viewer, with reeds."""
    rng = plan.rng("lake")
    x, y = plan.lake_x, plan.below(90)
    rx, ry = rng.uniform(54, 72), rng.uniform(15, 19)
    edge = 1 + 0.09 * np.sin(np.linspace(0, 4 * np.pi, 41)[:-1] + rng.uniform(0, 6))
    if scene.lake <= 0.01:
        return
    grow = 0.25 + 0.75 * scene.lake
    grow *= min(1.0, scene.lake * 6)
    turns = np.linspace(0, 2 * np.pi, 41)[:-1]
    deep, far, glitter = water_colours(canvas, scene)
    land = land_of(snowed(scene, 0.9))
    for scale, drop, top, low in (
        (1.05, 1.4, canvas.lit(land.sand, 0, land.glow), canvas.lit(land.sand, 0, land.glow)),
        (1.0, 0.0, far, deep),
    ):
        canvas.shaded(
            [
                (x + rx * scale * grow * e * np.cos(a), y + drop + ry * scale * grow * np.sin(a))
                for e, a in zip(edge, turns, strict=True)
            ],
            top,
            low,
        )
    for i in range(7):
        dx, dy = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.7)
        half = (7 + 6 * rng.random()) * grow
        at = (x + dx * rx * grow, y + dy * ry * grow)
        points = [(at[0] - half, at[1]), (at[0], at[1] - 0.9), (at[0] + half, at[1])]
        canvas.polygon([*points, (at[0], at[1] + 0.9)], mix(glitter, far, 0.2 * (i % 3)))
    _reeds(canvas, land, (x - rx * grow * 0.86, y + ry * grow * 0.52), rng, grow)
    _reeds(canvas, land, (x + rx * grow * 0.84, y + ry * grow * 0.56), rng, grow)


def _reeds(canvas: Canvas, land: Land, at: Point, rng: np.random.Generator, grow: float) -> None:
    stalk = canvas.dark(canvas.lit(mix(land.bush, (96, 140, 70), 0.5)), 0.1)
    for _ in range(6):
        dx, height, lean = rng.uniform(-9, 9), rng.uniform(11, 19) * grow, rng.uniform(-2.5, 2.5)
        x, y = at[0] + dx, at[1] + rng.uniform(-1, 2.5)
        canvas.polygon([(x - 0.7, y), (x + 0.7, y), (x + lean + 0.3, y - height)], stalk)
        top = (x + lean, y - height)
        canvas.ellipse(top[0], top[1], 1.15, 3.1 * grow, canvas.lit(WOOD_DARK))
