"""Windmill, bridge, ruins and market."""

import math

import numpy as np

from training.storybook.canvas import SIDE, Canvas
from training.storybook.composition import Composition, Relief, grown, one_of, settled
from training.storybook.masonry import window_colour
from training.storybook.palette import (
    AWNINGS,
    HOUSE_ROOFS,
    LAMP,
    PLASTERS,
    SNOW,
    WHITE,
    WOOD,
    WOOD_DARK,
    Colour,
    mix,
)
from training.storybook.scene import Scene
from training.storybook.water import river_course


def paint_windmill(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A windmill on a hill; its sails are set last."""
    if scene.windmill <= 0.01:
        return
    rng = plan.rng("windmill")
    turn, size = one_of(rng.random(), 0.3, 0.8, 1.3), one_of(rng.random(), 0.95, 1.15)
    x, foot = plan.mill_x, settled(relief.at("middle", plan.mill_x) + 7)
    height = 44 * size * grown(scene.windmill, 0, 0.7)
    low, high, top = 11.5 * size, 7.2 * size, foot - height
    wall = canvas.lit(PLASTERS[0], 0.03)
    canvas.polygon([(x - low, foot), (x - high, top), (x + high, top), (x + low, foot)], wall)
    away = -canvas.light_from
    shade = canvas.dark(wall, 0.34)
    canvas.polygon(
        [
            (x + away * low, foot),
            (x + away * high, top),
            (x + away * high * 0.2, top),
            (x + away * low * 0.3, foot),
        ],
        shade,
    )
    cap = canvas.lit(HOUSE_ROOFS[int(rng.integers(5))], 0.02)
    canvas.polygon(
        [
            (x - high * 1.25, top + 1),
            (x, top - 13 * size * min(1.0, height / 20)),
            (x + high * 1.25, top + 1),
        ],
        cap,
    )
    if scene.snow > 0.05:
        canvas.polygon(
            [(x - high * 0.8, top - 4), (x, top - 13 * size), (x + high * 0.8, top - 4)],
            canvas.lit(SNOW, 0, 0.35),
        )
    for down in (12, 25):
        if top + down + 6 < foot - 9:
            canvas.box(x - 2, top + down, x + 2, top + down + 5.5, window_colour(canvas, 0.3))
    canvas.box(x - 3, foot - 9 * min(1.0, height / 30), x + 3, foot, canvas.lit(WOOD_DARK))
    reach = 29 * size * grown(scene.windmill, 0.5, 1.0)
    hub = (x, top - 1)
    for i in range(4):
        _sail(canvas, hub, turn + i * math.pi / 2, reach)
    canvas.disc(*hub, 2, canvas.lit(WOOD_DARK))


def _sail(canvas: Canvas, hub: tuple[float, float], angle: float, reach: float) -> None:
    if reach < 3:
        return
    ux, uy = math.cos(angle), math.sin(angle)
    vx, vy = -uy, ux

    def at(along: float, across: float) -> tuple[float, float]:
        return (
            hub[0] + ux * along * reach + vx * across,
            hub[1] + uy * along * reach + vy * across,
        )

    canvas.polygon(
        [at(0.22, 0.6), at(1.0, 0.6), at(1.0, 6.4), at(0.22, 5.0)], canvas.lit((252, 246, 230))
    )
    canvas.line([at(0, 0), at(1.02, 0)], canvas.lit(WOOD_DARK), 1.5)
    for along in (0.45, 0.7):
        canvas.line([at(along, 0.6), at(along, 5.6)], canvas.lit((196, 168, 136)), 0.8)


def paint_bridge(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A stone bridge whose arch closes over the river."""
    grow = scene.bridge * scene.river
    if grow <= 0.01:
        return
    share = 0.55
    x, half = river_course(plan, relief)(share)
    top = relief.at("middle", plan.river_x) + 1
    y = top + (SIDE + 2 - top) * share**1.25
    span, reach = half + 5.0, half + 27.0
    stone = canvas.lit((216, 206, 200), 0.01)
    dark = canvas.dark(stone, 0.4)
    high = 15.0
    for side in (-1, 1):
        built = grown(grow, 0.0, 1.0)
        turns = np.linspace(0, math.pi / 2 * built, 12)
        arch = [(x + side * span * math.cos(a), y + 4 - (high - 3) * math.sin(a)) for a in turns]
        tip = arch[-1][0]
        upper = [
            (px, y - high - 2 - 5.5 * max(0.0, 1 - ((px - x) / reach) ** 2))
            for px in np.linspace(tip, x + side * reach, 10)
        ]
        body = [*arch, *upper, (x + side * reach, y + 4)]
        canvas.shaded(body, stone, canvas.dark(stone, 0.25))
        canvas.line(upper, mix(stone, WHITE, 0.35), 2.4)
        canvas.line(arch, dark, 1.6)


def paint_ruins(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Broken columns and an arch on the near meadow."""
    if scene.ruins <= 0.01:
        return
    rng = plan.rng("ruins")
    x, foot = plan.ruins_x, settled(relief.at("near", plan.ruins_x) + 9)
    stone = canvas.lit((226, 218, 200), 0.0)
    moss = canvas.lit((108, 150, 88))
    for i, (dx, tall) in enumerate(((-32, 26), (-20, 40), (20, 40), (33, 18))):
        height = (
            tall
            * (1.0 if i in (1, 2) else one_of(rng.random(), 0.8, 1.2))
            * grown(scene.ruins, 0.1 * i, 0.1 * i + 0.6)
        )
        _column(canvas, x + dx, foot, height, stone, i in (1, 2))
    rise = grown(scene.ruins, 0.55, 1.0)
    if rise > 0.02:
        turns = np.linspace(math.pi, math.pi * (1 - 0.78 * rise), 14)
        outer = [(x + 24.5 * math.cos(a), foot - 39 - 20 * math.sin(a)) for a in turns]
        inner = [(x + 16.5 * math.cos(a), foot - 39 - 12 * math.sin(a)) for a in turns[::-1]]
        canvas.polygon([*outer, *inner], mix(stone, canvas.light.horizon, 0.08))
        canvas.line(inner, canvas.dark(stone, 0.4), 1.4)
    for dx in (-8, 2, 11):
        size = one_of(rng.random(), 3.5, 5.5) * grown(scene.ruins, 0, 0.5)
        canvas.box(
            x + dx - size, foot + 3 - size, x + dx + size, foot + 4, canvas.dark(stone, 0.15)
        )
    for dx in (-20, 20):
        canvas.ellipse(x + dx, foot - 30, 4.4, 5.5 * scene.ruins, moss)


def _column(
    canvas: Canvas, x: float, foot: float, height: float, stone: Colour, whole: bool
) -> None:
    if height < 2:
        return
    w, away = 4.2, -canvas.light_from
    broken = 0 if whole else 4
    top = foot - height
    canvas.polygon(
        [
            (x - w, foot),
            (x - w, top),
            (x, top + broken * 0.3),
            (x + w, top + broken),
            (x + w, foot),
        ],
        stone,
    )
    canvas.polygon(
        [
            (x + away * w, foot),
            (x + away * w, top + 2),
            (x + away * w * 0.2, top + 2),
            (x + away * w * 0.2, foot),
        ],
        canvas.dark(stone, 0.34),
    )
    canvas.box(x - w - 1.8, foot - 3, x + w + 1.8, foot, canvas.dark(stone, 0.12))
    if whole:
        canvas.box(x - w - 1.8, top - 1, x + w + 1.8, top + 2.4, mix(stone, WHITE, 0.2))


def paint_market(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Stalls with striped awnings before the houses, and a string of flags."""
    grow = scene.market
    if grow <= 0.01:
        return
    rng = plan.rng("market")
    colours = rng.permutation(len(AWNINGS))
    places = [plan.town_x + dx for dx in (-32.0, 0.0, 32.0)]
    foot = settled(max(relief.at("middle", x) for x in places) + 67 * plan.depth)
    for i, x in enumerate(places):
        rise = grown(grow, 0.22 * i, 0.22 * i + 0.56)
        if rise > 0.02:
            _stall(canvas, x, foot + 3 * (i % 2), rise, AWNINGS[int(colours[i])])
    hung = grown(grow, 0.6, 1.0)
    if hung > 0.05:
        xs = np.linspace(places[0] - 8, places[0] - 8 + 80 * hung, 11)
        sag = 7 * np.sin(np.linspace(0, math.pi, 11))
        line = [*zip(xs, foot - 34 + sag, strict=True)]
        canvas.line(line, canvas.lit(WOOD_DARK), 0.8)
        for i, (x, y) in enumerate(line):
            colour = canvas.lit(AWNINGS[i % 4])
            canvas.polygon([(x - 2.6, y), (x + 2.6, y), (x, y + 5.6)], colour)


def _stall(canvas: Canvas, x: float, foot: float, rise: float, colour: Colour) -> None:
    half, height = 12.5, 22 * rise
    top = foot - height
    canvas.box(x - half + 1, top, x - half + 2.6, foot, canvas.lit(WOOD_DARK))
    canvas.box(x + half - 2.6, top, x + half - 1, foot, canvas.lit(WOOD_DARK))
    canvas.box(x - half + 1, foot - 9 * rise, x + half - 1, foot - 1, canvas.lit(WOOD))
    for i in range(5):
        fruit = ((240, 90, 70), (250, 190, 70), (130, 180, 80))[i % 3]
        canvas.disc(x - 8 + 4 * i, foot - 10 * rise, 2.3, canvas.lit(fruit))
    for i in range(6):
        a, b = -1 + i / 3, -1 + (i + 1) / 3
        stripe = canvas.lit(colour if i % 2 == 0 else (255, 250, 240))
        canvas.polygon(
            [
                (x + a * half * 0.78, top - 5 * rise),
                (x + b * half * 0.78, top - 5 * rise),
                (x + b * half * 1.12, top + 5.4 * rise),
                (x + a * half * 1.12, top + 5.4 * rise),
            ],
            stripe,
        )
    if canvas.light.lamp > 0.4:
        canvas.glow(x, foot - 10, 18, 14, LAMP, 0.4 * canvas.light.lamp * rise)
