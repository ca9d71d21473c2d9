"""A city that fills the picture, with what runs through it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.storybook.canvas import SIDE, Canvas
from training.storybook.composition import Composition, grown, on_grid
from training.storybook.palette import (
    HOUSE_ROOFS,
    LAMP,
    TOWERS,
    WHITE,
    WOOD,
    mix,
)
from training.storybook.scene import Scene
from training.storybook.towers import Block, paint_block, to_grid, tower_on_grid

AVENUE = 3


def paint_sprawl(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """Towers from edge to edge in three tiers that grow and darken towards the viewer."""
    if scene.sprawl <= 0.01:
        return
    rng, street = plan.rng("sprawl"), _Street.of(plan)
    gap = street.x if street.kind == AVENUE else rng.uniform(46, 210)  # where one sees far
    kinds = rng.permutation(len(TOWERS))
    tiers = (
        _Tier(12, 8, 70.0, 0.58, False, on_grid(plan.below(18)), 0.0),
        _Tier(8, 12, 96.0, 0.26, True, on_grid(plan.below(54)), 0.15),
        _Tier(6, 16, 100.0, 0.0, True, on_grid(plan.below(92)), 0.3),
    )
    for number, tier in enumerate(tiers):
        ground = canvas.lit((120, 128, 156), tier.haze + 0.1)
        if number == 2 and street.kind == AVENUE:
            _avenue(canvas, scene, plan, street.x)
        for block, rise in _tier_blocks(scene, rng, tier, kinds[number:], gap, street):
            paint_block(canvas, scene, block, tier.foot, rise)
        cover = grown(scene.sprawl, tier.start + 0.04, tier.start + 0.42)
        if number < 2 and cover > 0.02:
            canvas.box(0, SIDE - (SIDE - tier.foot) * cover, SIDE, SIDE, ground)
            mist = mix(canvas.light.horizon, canvas.light.lower, 0.3)
            foot = tier.foot
            canvas.veil(mist, [(foot - 42, 0.0), (foot, 0.3 * cover), (foot + 2, 0.0)])
    if street.kind != AVENUE:
        _street(canvas, scene, plan, tiers[2].foot, grown(scene.sprawl, 0.1, 0.55))


@dataclass(frozen=True)
class _Tier:
    """A row of towers: how many, half their width, height, haze, windows or none, foot, start."""

    count: int
    half: float
    tall: float
    haze: float
    windows: bool
    foot: float
    start: float


@dataclass(frozen=True)
class _Street:
    """The way through a city: by its kind a street, one with cars, a canal, or an avenue."""

    kind: int
    x: float  # where an avenue vanishes

    @classmethod
    def of(cls, plan: Composition) -> "_Street":
        rng = plan.rng("street")
        return cls(int(rng.integers(4)), on_grid(rng.uniform(84, 172)))


def _tier_blocks(
    scene: Scene,
    rng: np.random.Generator,
    tier: _Tier,
    kinds: NDArray[np.int64],
    gap: float,
    street: _Street,
) -> Iterator[tuple[Block, float]]:
    """The towers of a tier, each with how far it has risen; lower where one sees far."""
    slot = SIDE / tier.count
    shift = rng.uniform(-0.5, 0.5) * slot
    near = (tier.tall - 64) / 36  # 0 far, 1 near
    for i in range(tier.count + 1):
        x = i * slot + shift + rng.uniform(-0.08, 0.08) * slot
        valley = np.exp(-(((x - gap) / (34 + 32 * near)) ** 2)) * (0.25 + 0.37 * near)
        valley *= 0.4 if street.kind == AVENUE else 1.0
        height = to_grid(tier.tall * rng.uniform(0.62, 1.18) * (1 - valley), tier.foot)
        crown, seed = int(rng.integers(5)), int(rng.integers(1 << 30))
        start = tier.start + 0.19 * rng.random()
        room = (0, 17, 50)[round(2 * near)] if street.kind == AVENUE else 0
        if abs(x - gap) < room:
            continue
        colour = TOWERS[int(kinds[i % len(kinds)])]
        x, half = tower_on_grid(x, tier.half)
        block = Block(x, half, height, tier.windows, colour, crown, tier.haze, seed)
        yield block, grown(scene.sprawl, start, start + 0.4)


def _avenue(canvas: Canvas, scene: Scene, plan: Composition, x: float) -> None:
    """A tree-lined avenue that runs to the horizon."""
    grow = grown(scene.sprawl, 0.2, 0.7)
    if grow <= 0.02:
        return
    far, near = plan.below(20), SIDE + 4
    end = near - (near - far) * grow

    def wide(y: float, reach: float) -> float:
        return 3 + (reach - 3) * (y - far) / (near - far)

    for reach, colour in ((70.0, (206, 208, 216)), (52.0, (84, 92, 120))):
        top, lit = wide(end, reach), canvas.lit(colour, 0.04)
        points = [(x - top, end), (x + top, end), (x + reach, near), (x - reach, near)]
        canvas.shaded(points, mix(lit, canvas.light.horizon, 0.4), lit)
    for i in range(8):
        upper = far + (near - far) * (i / 8) ** 1.6
        lower = far + (near - far) * ((i + 0.5) / 8) ** 1.6
        if upper > end:
            a, b = 0.04 * wide(upper, 52), 0.04 * wide(lower, 52)
            dash = [(x - a, upper), (x + a, upper), (x + b, lower), (x - b, lower)]
            canvas.polygon(dash, canvas.lit((244, 240, 226)))
    for i in range(5):
        foot = far + (near - far) * (0.16 + 0.15 * i)
        if foot > end:
            size = 2.4 + 7.4 * (0.16 + 0.15 * i)
            for side in (-1, 1):
                _street_tree(canvas, scene, x + side * wide(foot, 62), foot, size)


def _street_tree(canvas: Canvas, scene: Scene, x: float, foot: float, size: float) -> None:
    crown = canvas.lit(mix((74, 158, 92), (240, 246, 252), 0.75 * scene.snow))
    canvas.box(x - 0.14 * size, foot - 1.4 * size, x + 0.14 * size, foot, canvas.lit(WOOD))
    canvas.disc(x, foot - 2.0 * size, size, canvas.dark(crown, 0.3))
    canvas.disc(x + canvas.light_from * 0.2 * size, foot - 2.16 * size, 0.78 * size, crown)


def _street(canvas: Canvas, scene: Scene, plan: Composition, top: float, grow: float) -> None:
    """A street along the lower edge with trees, by its kind with cars, or a canal."""
    if grow <= 0.02:
        return
    kind, rng = _Street.of(plan).kind, plan.rng("cars")
    top = SIDE - (SIDE - top + 3) * grow
    pave = canvas.lit((206, 208, 216), 0.0, 0.2 * scene.snow)
    canvas.box(0, top, SIDE, SIDE, pave)
    upper, lower = top + 8, SIDE - 5
    road = canvas.lit((84, 92, 120))
    if kind == 2:
        deep = mix(canvas.lit((58, 146, 214)), canvas.light.upper, 0.45)
        canvas.shaded(
            [(0, upper), (SIDE, upper), (SIDE, SIDE + 9), (0, SIDE + 9)],
            mix(deep, canvas.light.lower, 0.5),
            deep,
        )
        for _ in range(12):
            x, down, half = rng.uniform(0, SIDE), rng.random(), rng.uniform(6, 15)
            y = upper + 4 + down * (SIDE - 7 - upper)
            canvas.polygon(
                [(x - half, y), (x, y - 0.9), (x + half, y), (x, y + 0.9)], mix(deep, WHITE, 0.42)
            )
    else:
        canvas.box(0, upper, SIDE, lower, road)
        middle, start = (upper + lower) / 2, on_grid(rng.uniform(0, 26))
        for i in range(-1, 12):
            canvas.box(
                start + 24 * i,
                middle - 0.9,
                start + 24 * i + 12,
                middle + 0.9,
                canvas.lit((244, 240, 226)),
            )
        if kind == 1:
            _cars(canvas, rng, upper, lower)
    start = on_grid(rng.uniform(4, 30))
    for i in range(7):
        _street_tree(canvas, scene, start + 40 * i, top + 5, 8)


def _cars(canvas: Canvas, rng: np.random.Generator, upper: float, lower: float) -> None:
    for lane, foot in ((0, upper + (lower - upper) * 0.42), (1, lower - 2)):
        for i in range(3):
            x = on_grid(rng.uniform(10, 70) + 84 * i)
            body = (
                HOUSE_ROOFS[int(rng.integers(5))]
                if (i + lane) % 2
                else TOWERS[int(rng.integers(8))]
            )
            colour = canvas.lit(body)
            canvas.box(x - 5, foot - 9.5, x + 6, foot - 4, canvas.lit((190, 216, 236)))
            canvas.box(x - 9, foot - 6, x + 10, foot - 1.4, colour)
            for dx in (-5, 6):
                canvas.disc(x + dx, foot - 1.2, 2.1, canvas.lit((40, 42, 60)))
            if canvas.light.lamp > 0.5:
                canvas.glow(x + 13, foot - 3.5, 9, 5, LAMP, 0.6 * canvas.light.lamp)
