"""A castle, whose towers rise one after another."""

import math
from dataclasses import dataclass

import numpy as np

from training.storybook.canvas import Canvas
from training.storybook.composition import Composition, Relief, grown, on_grid, one_of, settled
from training.storybook.masonry import arched, cone, flag, window_colour
from training.storybook.palette import (
    CASTLE_ROOFS,
    LAMP,
    STONES,
    WOOD,
    WOOD_DARK,
    Colour,
    mix,
)
from training.storybook.scene import Scene


@dataclass(frozen=True)
class _Tower:
    x: float
    half: float
    height: float
    roof: float  # its height
    start: float  # of the castle's amount at which it begins to rise
    window: float


def paint_castle(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A castle whose towers rise one after another, the keep last."""
    if scene.castle <= 0.01:
        return
    rng = plan.rng("castle")
    stone = STONES[int(rng.integers(len(STONES)))]
    roof = CASTLE_ROOFS[int(rng.integers(len(CASTLE_ROOFS)))]
    x, foot = plan.castle_x, settled(relief.at("middle", plan.castle_x) + 9)
    size = one_of(rng.random(), 0.95, 1.1)
    size = min(size, math.floor((foot - 20) / 12.2) / 10)  # below the upper edge
    back, front = _castle_towers(rng, size)
    wall = 24 * size * grown(scene.castle, 0.0, 0.45)
    half = 40 * size
    for tower in back:
        _castle_tower(canvas, scene, tower, (x, foot), stone, roof)
    _wall(canvas, stone, x, foot, half, wall)
    for tower in front:
        _castle_tower(canvas, scene, tower, (x, foot), stone, roof)
    _gate(canvas, stone, roof, x, foot, size * grown(scene.castle, 0.05, 0.5))
    if canvas.light.lamp > 0.3:
        canvas.glow(x, foot - 20, 62, 50, LAMP, 0.16 * canvas.light.lamp * scene.castle)


def _castle_towers(rng: np.random.Generator, size: float) -> tuple[list[_Tower], list[_Tower]]:
    """The keep and what stands behind the wall, and the towers at its ends."""
    lean = on_grid(rng.uniform(-12, 12))
    back = [
        _Tower(
            lean + dx * size, w * size, h * size * one_of(rng.random(), 0.9, 1.0, 1.1), r * size, s,
            rng.random(),
        )
        for dx, w, h, r, s in (
            (-24, 6.5, 46, 22, 0.3), (23, 7, 50, 24, 0.38), (-11, 8.5, 62, 26, 0.5),
            (9, 7.5, 54, 25, 0.44), (0, 10.5, 76, 34, 0.56),
        )
    ]  # fmt: skip
    front = [
        _Tower(side * 40 * size, 8.5 * size, h * size, 23 * size, s, rng.random())
        for side, h, s in (
            (-1, one_of(rng.random(), 32, 40), 0.12),
            (1, one_of(rng.random(), 32, 40), 0.2),
        )
    ]
    count = int(rng.integers(3, 6))
    return back[5 - count :], front


def _castle_tower(
    canvas: Canvas,
    scene: Scene,
    tower: _Tower,
    at: tuple[float, float],
    stone: Colour,
    roof: Colour,
) -> None:
    """A tower with its roof, sunk into the ground as far as it has not grown."""
    rise = grown(scene.castle, tower.start, tower.start + 0.44)
    if rise <= 0.01:
        return
    x, foot = at[0] + tower.x, at[1]
    top = foot - tower.height * rise
    w, away = tower.half, -canvas.light_from
    lit = canvas.lit(stone, 0.05)
    dark = canvas.dark(canvas.lit(stone, 0.03), 0.42)
    canvas.shaded(
        [(x - w, top), (x + w, top), (x + w, foot), (x - w, foot)], lit, canvas.dark(lit, 0.14)
    )
    edge = sorted((x + away * w, x + away * w * 0.22))
    canvas.box(edge[0], top, edge[1], foot, dark)
    ledge = 1.18 * w
    canvas.box(x - ledge, top - 1, x + ledge, top + 3.4, mix(lit, dark, 0.35))
    if rise > 0.5:
        for down in (9.0, 24.0):
            if top + down + 8 < foot - 8:
                arched(
                    canvas,
                    x - w * 0.2 * away,
                    top + down,
                    1.9,
                    6.6,
                    window_colour(canvas, tower.window * 0.8, (74, 78, 112)),
                )
    cone(canvas, scene, x, top, w * 1.34, tower.roof * grown(rise, 0.35, 1.0), roof)
    if rise > 0.8 and tower.roof > 22:
        flag(canvas, x, top - tower.roof, grown(rise, 0.8, 1.0))


def _wall(canvas: Canvas, stone: Colour, x: float, foot: float, half: float, height: float) -> None:
    """The curtain wall with its battlements."""
    if height < 1:
        return
    lit = canvas.lit(stone, 0.02)
    top = foot - height
    outline = [(x - half, top), (x + half, top), (x + half, foot), (x - half, foot)]
    canvas.shaded(outline, lit, canvas.dark(lit, 0.22))
    step = 2 * half / 13
    for i in range(0, 13, 2):
        canvas.box(
            x - half + i * step, top - min(4.5, height / 3), x - half + (i + 1) * step, top + 1, lit
        )
    canvas.box(x - half, top + 5.2, x + half, top + 6.4, canvas.dark(lit, 0.25))


def _gate(canvas: Canvas, stone: Colour, roof: Colour, x: float, foot: float, grow: float) -> None:
    if grow < 0.05:
        return
    arched(canvas, x, foot - 19 * grow, 7.4 * grow, 19 * grow, canvas.dark(canvas.lit(stone), 0.5))
    arched(canvas, x, foot - 16 * grow, 5.4 * grow, 16 * grow, canvas.lit(WOOD_DARK))
    canvas.box(x - 0.6, foot - 13 * grow, x + 0.6, foot, canvas.lit(WOOD))
