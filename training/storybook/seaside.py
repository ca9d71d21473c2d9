"""Lighthouse, boats and harbour."""

import numpy as np

from training.storybook.canvas import SIDE, Canvas
from training.storybook.composition import Composition, Relief, grown, on_grid
from training.storybook.masonry import window_colour
from training.storybook.palette import (
    LAMP,
    SNOW,
    WHITE,
    WOOD,
    WOOD_DARK,
    Colour,
    mix,
)
from training.storybook.scene import Scene
from training.storybook.water import river_course, water_colours

RED: Colour = (226, 70, 64)


def paint_lighthouse(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """A striped lighthouse on a rock in the sea, with its beam by night."""
    grow = scene.lighthouse * scene.sea
    if grow <= 0.01:
        return
    rng = plan.rng("lighthouse")
    x, foot = on_grid(plan.from_inland(rng.uniform(0.76, 0.88))), plan.below(rng.uniform(20, 28))
    foot = on_grid(foot)
    rise = grown(grow, 0.1, 1.0)
    rock = canvas.lit((142, 132, 140), 0.06)
    wide = 25 * grown(grow, 0, 0.4)
    outline = [
        (x - wide, foot + 5),
        (x - wide * 0.7, foot - 5),
        (x - wide * 0.25, foot - 9),
        (x + wide * 0.35, foot - 8),
        (x + wide * 0.75, foot - 3),
        (x + wide, foot + 5),
    ]
    canvas.shaded(outline, rock, canvas.dark(rock, 0.35))
    height, top = 56 * rise, foot - 7 - 56 * rise
    low, high = 7.6, 4.7
    for i in range(6):
        lower, upper = i / 6, (i + 1) / 6
        a, b = low + (high - low) * lower, low + (high - low) * upper
        y0, y1 = foot - 7 - height * lower, foot - 7 - height * upper
        colour = canvas.lit(RED if i % 2 else (255, 250, 244), 0.02)
        canvas.polygon([(x - a, y0), (x - b, y1), (x + b, y1), (x + a, y0)], colour)
        away = -canvas.light_from
        canvas.polygon(
            [
                (x + away * a, y0),
                (x + away * b, y1),
                (x + away * b * 0.3, y1),
                (x + away * a * 0.3, y0),
            ],
            canvas.dark(colour, 0.3),
        )
    canvas.box(x - 6.4, top - 1.4, x + 6.4, top + 1, canvas.lit(WOOD_DARK))
    canvas.box(
        x - 3.8,
        top - 9,
        x + 3.8,
        top - 1.4,
        mix(canvas.lit((188, 220, 240)), LAMP, min(1.0, 0.35 + canvas.light.lamp)),
    )
    canvas.polygon([(x - 5.4, top - 8.6), (x, top - 15), (x + 5.4, top - 8.6)], canvas.lit(RED))
    beam = canvas.light.lamp * rise
    for side in (-1, 1):
        canvas.wash(
            [(x, top - 6.4), (x + side * 150, top - 26), (x + side * 150, top + 12), (x, top - 4)],
            (255, 240, 176),
            0.24 * beam,
        )
    canvas.glow(x, top - 5, 22, 22, (255, 240, 176), 0.7 * beam)


def paint_sea_boats(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """Sailing boats far out and near the shore."""
    rng = plan.rng("boat")
    looks = rng.random((3, 4))
    spots = (
        (0.52 + 0.2 * looks[0, 3], 10.0, 0.62),
        (0.74 + 0.2 * looks[1, 3], 19.0, 0.86),
        (0.86 + 0.08 * looks[2, 3], 45.0, 1.2),
    )
    for i, (inland, down, size) in enumerate(spots):
        grow = grown(scene.boat * scene.sea, 0.12 * i, 0.12 * i + 0.6)
        at = (on_grid(plan.from_inland(inland)), on_grid(plan.below(down)))
        _boat(canvas, scene, *at, size * grow, looks[i])


def paint_boats(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A sailing boat on the lake and one on the river."""
    looks = plan.rng("boat").random((5, 4))[3:]
    at = (on_grid(plan.lake_x + 24 * (looks[0, 3] - 0.5)), on_grid(plan.below(90) + 2))
    _boat(canvas, scene, *at, grown(scene.boat * scene.lake, 0, 0.8), looks[0])
    share = 0.72
    x, _ = river_course(plan, relief)(share)
    top = relief.at("middle", plan.river_x)
    grow = 0.72 * grown(scene.boat * scene.river, 0, 0.8)
    _boat(canvas, scene, x, top + (SIDE - top) * share**1.25, grow, looks[1])


def _boat(canvas: Canvas, scene: Scene, x: float, y: float, size: float, looks: np.ndarray) -> None:
    """A hull, a mast, two sails and their reflection."""
    if size < 0.1:
        return
    side = 1 if looks[0] < 0.5 else -1
    hull = canvas.lit((WOOD, RED, (60, 104, 170))[int(looks[1] * 3)])
    cloth = canvas.lit(((255, 252, 244), (255, 236, 206), (252, 214, 200))[int(looks[2] * 3)])
    deep, _, _ = water_colours(canvas, scene)
    canvas.wash(
        [
            (x - 10 * size, y + 1),
            (x + 10 * size, y + 1),
            (x + 3 * size, y + 9 * size),
            (x - 3 * size, y + 9 * size),
        ],
        mix(cloth, deep, 0.3),
        0.35,
    )
    canvas.box(x - 0.6 * size, y - 27 * size, x + 0.6 * size, y - 2, canvas.lit(WOOD_DARK))
    canvas.polygon(
        [
            (x + side * 1.2 * size, y - 26 * size),
            (x + side * 12 * size, y - 6 * size),
            (x + side * 1.2 * size, y - 5.5 * size),
        ],
        cloth,
    )
    canvas.polygon(
        [
            (x - side * 1.2 * size, y - 22 * size),
            (x - side * 9 * size, y - 6 * size),
            (x - side * 1.2 * size, y - 5.5 * size),
        ],
        canvas.dark(cloth, 0.2),
    )
    canvas.polygon(
        [
            (x - 12 * size, y - 4.4 * size),
            (x + 13 * size, y - 4.4 * size),
            (x + 8.5 * size, y + 1.6 * size),
            (x - 8 * size, y + 1.6 * size),
        ],
        hull,
    )
    canvas.box(x - 11.6 * size, y - 4.4 * size, x + 12 * size, y - 3 * size, mix(hull, WHITE, 0.45))


def paint_harbour(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A warehouse on the shore and a pier with moored boats."""
    grow = scene.harbour * scene.sea
    if grow <= 0.01:
        return
    rng = plan.rng("harbour")
    side = plan.sea_side
    x0 = plan.from_inland(rng.uniform(0.63, 0.68))
    y = relief.at("middle", x0) - 1
    length = 74 * grown(grow, 0.25, 1.0)
    plank, post = canvas.lit(WOOD, 0.02), canvas.lit(WOOD_DARK)
    looks = rng.random((2, 4))
    for i, dx in enumerate((30.0, 58.0)):
        if length > dx:
            _boat(
                canvas,
                scene,
                x0 + side * dx,
                y - 4,
                0.62 * grown(grow, 0.5 + 0.2 * i, 0.8 + 0.2 * i),
                looks[i],
            )
    for dx in np.arange(6, 76, 11.5):
        if dx < length:
            at = x0 + side * dx
            canvas.box(at - 1.1, y - 5, at + 1.1, y + 11, post)
    left, right = sorted((x0 - side * 8, x0 + side * length))
    canvas.box(left, y - 0.8, right, y + 3.2, plank)
    canvas.box(left, y + 2.2, right, y + 3.6, canvas.dark(plank, 0.4))
    _warehouse(canvas, scene, x0 - side * 20, y + 6, grown(grow, 0, 0.6), rng)


def _warehouse(
    canvas: Canvas, scene: Scene, x: float, foot: float, grow: float, rng: np.random.Generator
) -> None:
    wall, half = 17 * grow, 17.0
    face = canvas.lit((196, 110, 88), 0.02)
    if grow < 0.05:
        return
    canvas.box(x - half, foot - wall, x + half, foot, face)
    top = foot - wall
    roof = canvas.lit((108, 96, 128), 0.02)
    canvas.polygon(
        [
            (x - half - 2, top),
            (x - half + 5, top - 9 * grow),
            (x + half - 5, top - 9 * grow),
            (x + half + 2, top),
        ],
        roof,
    )
    if scene.snow > 0.05:
        canvas.polygon(
            [
                (x - half + 1, top - 4),
                (x - half + 5, top - 10),
                (x + half - 5, top - 10),
                (x + half - 1, top - 4),
            ],
            canvas.lit(SNOW, 0, 0.35),
        )
    for dx in (-11, 11):
        canvas.box(
            x + dx - 2.4,
            foot - 12 * grow,
            x + dx + 2.4,
            foot - 6 * grow,
            window_colour(canvas, 0.4),
        )
    canvas.box(x - 4, foot - 11 * grow, x + 4, foot, canvas.lit(WOOD_DARK))
    for i in range(3):
        at = x + (half + 5) * (1 if rng.random() < 0.5 else -1) + 7 * (i - 1)
        canvas.box(at - 3, foot + 1 - 5.6 * grow, at + 3, foot + 1, canvas.lit((206, 160, 104)))
