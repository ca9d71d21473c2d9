"""Modern towers, and a skyline of them in the country."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.storybook.canvas import Canvas
from training.storybook.composition import GRID, Composition, Relief, grown, on_grid, settled
from training.storybook.palette import (
    GLASS,
    LAMP,
    SNOW,
    TOWERS,
    WHITE,
    Colour,
    mix,
)
from training.storybook.scene import Scene


@dataclass(frozen=True)
class Block:
    """A modern tower; one that is far away has no windows, only storeys."""

    x: float
    half: float
    height: float
    windows: bool
    colour: Colour
    crown: int  # 0 flat, 1 stepped, 2 spire, 3 slanted, 4 dome
    haze: float
    seed: int


def paint_block(canvas: Canvas, scene: Scene, block: Block, foot: float, rise: float) -> None:
    """A tower that has risen from the ground by a share of its height."""
    height = block.height * rise
    if height < 2:
        return
    x, w, top = block.x, block.half, foot - height
    lit = canvas.lit(block.colour, block.haze)
    pale = mix(lit, canvas.light.horizon, 0.22)
    away = -canvas.light_from
    dark = canvas.dark(lit, 0.42)
    _crown(canvas, scene, block, top, lit, dark)
    canvas.shaded([(x - w, top), (x + w, top), (x + w, foot), (x - w, foot)], pale, lit)
    flank = sorted((x + away * w, x + away * w * 0.5))
    canvas.box(flank[0], top, flank[1], foot, dark)
    _windows(canvas, block, foot, top)
    if scene.snow > 0.05:
        canvas.box(
            x - w, top - 1.8 * scene.snow, x + w, top + 0.6, canvas.lit(SNOW, block.haze, 0.35)
        )


def _windows(canvas: Canvas, block: Block, foot: float, top: float) -> None:
    """Rows of windows, which stay where they are and appear as their tower rises past them."""
    x, w = block.x, block.half
    if not block.windows:  # too far away for more than a shimmer of storeys
        shimmer = mix(canvas.lit(block.colour, block.haze), canvas.light.horizon, 0.3)
        lamps = mix(shimmer, LAMP, 0.55 * canvas.light.lamp)
        for y in _storeys(foot, top):
            canvas.box(x - 0.7 * w, max(y + 2.5, top + 2), x + 0.7 * w, y + 5.5, lamps)
        return
    chances = np.random.default_rng(block.seed).random((40, 8))  # by storey and column
    glass = canvas.dark(canvas.lit(mix(block.colour, GLASS, 0.72), block.haze), 0.12)
    bright = mix(canvas.lit(mix(block.colour, WHITE, 0.62), block.haze), canvas.light.upper, 0.25)
    lamp = mix(LAMP, canvas.light.horizon, block.haze * 0.5)
    share = 0.72 * canvas.light.lamp
    for y in _storeys(foot, top):
        for column in range(round(2 * w / GRID)):
            chance = chances[round(y / GRID) % 40, column % 8]
            colour = lamp if chance < share else (bright if chance > 0.8 else glass)
            at = x - w + column * GRID
            canvas.box(at + 1.5, max(y + 1.0, top + 2), at + 6.5, y + 7.0, colour)


def _storeys(foot: float, top: float) -> NDArray[np.float64]:
    """The upper edges of the storeys that are seen at least in part."""
    return np.asarray(np.arange(np.floor(top / GRID), np.floor(foot / GRID)) * GRID, np.float64)


def tower_on_grid(x: float, half: float) -> tuple[float, float]:
    """Middle and half width of a tower near there whose walls stand on the grid."""
    wide = GRID * max(2, round(2 * half / GRID))
    return on_grid(x - wide / 2) + wide / 2, wide / 2


def to_grid(height: float, foot: float) -> float:
    """A height near that one with which the roof is on the grid."""
    return max(GRID, foot - on_grid(foot - height))


def _crown(
    canvas: Canvas, scene: Scene, block: Block, top: float, lit: Colour, dark: Colour
) -> None:
    """Paint the crown on a tower's roof."""
    x, w, away = block.x, block.half, -canvas.light_from
    if block.crown == 1:
        canvas.box(x - 0.6 * w, top - 0.5 * w, x + 0.6 * w, top + 1, mix(lit, dark, 0.3))
        canvas.box(x - 0.3 * w, top - 0.9 * w, x + 0.3 * w, top + 1, lit)
    elif block.crown == 2:
        canvas.polygon(
            [(x - 0.5 * w, top), (x, top - 1.1 * w), (x + 0.5 * w, top)], mix(lit, dark, 0.4)
        )
        canvas.box(x - 0.5, top - 2.4 * w, x + 0.5, top, dark)
        if canvas.light.lamp > 0.6:
            canvas.disc(x, top - 2.4 * w, 1.1, (255, 90, 80))
    elif block.crown == 3:
        canvas.polygon(
            [(x + away * w, top + 0.5), (x - away * w, top + 0.5), (x - away * w, top - 0.9 * w)],
            lit,
        )
    elif block.crown == 4:
        canvas.ellipse(x, top + 0.5, 0.92 * w, 0.8 * w, mix(lit, canvas.light.horizon, 0.25))


def paint_city(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A skyline of towers in the middle ground, which climbs."""
    if scene.city <= 0.01:
        return
    rng = plan.rng("city")
    count = int(rng.integers(7, 9))
    kinds = rng.permutation(len(TOWERS))
    middle = float(np.clip(plan.city_x, 72, 184))
    at = rng.uniform(-0.25, 0.25)  # where the tallest stand
    wide = 17.5
    for back in (True, False):
        for i in range(count):
            share = (i + 0.5) / count * 2 - 1
            height = rng.uniform(0.72, 1.12) * (40 + 58 * np.exp(-(((share - at) / 0.5) ** 2)))
            crown, seed = int(rng.integers(5)), int(rng.integers(1 << 30))
            half, start = rng.choice([8.0, 8.0, 8.0, 12.0]), 0.5 * rng.random()
            if back != (i % 2 == 0):
                continue
            x, half = tower_on_grid(middle + share * count * wide / 2, half)
            foot = settled(relief.at("middle", x) + 8)  # behind the hill
            block = Block(
                x, half, to_grid(height * (1.14 if back else 0.78), foot), True,
                TOWERS[int(kinds[i % len(kinds)])], crown, 0.3 if back else 0.06, seed,
            )  # fmt: skip
            paint_block(canvas, scene, block, foot, grown(scene.city, start, start + 0.5))
    if canvas.light.lamp > 0.3:
        canvas.glow(middle, plan.horizon, 100, 56, LAMP, 0.2 * canvas.light.lamp * scene.city)
