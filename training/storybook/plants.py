"""Trees, and everything else that grows or stands on the meadows."""

import numpy as np

from training.storybook.canvas import SIDE, Canvas
from training.storybook.composition import (
    Composition,
    Relief,
    grown,
    in_cell,
    on_grid,
    one_of,
    settled,
    snowed,
)
from training.storybook.palette import (
    SNOW,
    WOOD,
    WOOD_DARK,
    Land,
    land_of,
    mix,
)
from training.storybook.scene import Scene


def paint_pine(
    canvas: Canvas, land: Land, snow: float, x: float, foot: float, height: float, haze: float
) -> None:
    """A pine of three skirts."""
    half = height * 0.27
    canvas.box(
        x - height * 0.04,
        foot - height * 0.14,
        x + height * 0.04,
        foot,
        canvas.lit(WOOD_DARK, haze),
    )
    lit = canvas.lit(land.pine, haze, land.glow * 0.5)
    dark = canvas.dark(lit, 0.34)
    for bottom, top, wide in ((0.1, 0.56, 1.0), (0.34, 0.8, 0.78), (0.58, 1.0, 0.55)):
        y0, y1, w = foot - height * bottom, foot - height * top, half * wide
        canvas.polygon([(x - w, y0), (x, y1), (x + w, y0)], lit)
        away = -canvas.light_from
        canvas.polygon([(x, y1), (x + away * w, y0), (x + away * w * 0.1, y0)], dark)
        if snow > 0.02:
            s = 0.5 * snow
            cap = [(x - w * s, y1 + (y0 - y1) * s), (x, y1), (x + w * s, y1 + (y0 - y1) * s)]
            canvas.polygon([*cap, (x, y1 + (y0 - y1) * s * 0.7)], canvas.lit(SNOW, haze, 0.35))


def paint_round_tree(
    canvas: Canvas, land: Land, snow: float, x: float, foot: float, height: float, haze: float
) -> None:
    """A tree with a round crown of three tones."""
    radius = height * 0.34
    trunk = canvas.lit(WOOD, haze)
    w = height * 0.05
    canvas.polygon(
        [
            (x - w * 1.4, foot),
            (x - w * 0.8, foot - height * 0.5),
            (x + w * 0.8, foot - height * 0.5),
            (x + w * 1.4, foot),
        ],
        trunk,
    )
    lit = canvas.lit(land.leaf, haze, land.glow * 0.5)
    dark = canvas.dark(canvas.lit(land.leaf_shade, haze, land.glow * 0.4), 0.1)
    y, side = foot - height * 0.64, canvas.light_from
    for dx, dy, r in ((0, 0, 1.0), (-0.62, 0.3, 0.66), (0.62, 0.3, 0.66)):
        canvas.disc(x + dx * radius, y + dy * radius, r * radius, dark)
    for dx, dy, r in ((0.12, -0.14, 0.84), (-0.5, 0.16, 0.5), (0.62, 0.14, 0.5)):
        canvas.disc(x + side * dx * radius, y + dy * radius, r * radius, mix(dark, lit, 0.75))
    canvas.disc(
        x + side * 0.24 * radius,
        y - 0.36 * radius,
        0.5 * radius,
        mix(lit, canvas.light.horizon, 0.12),
    )
    if snow > 0.02:
        canvas.ellipse(
            x,
            y - radius * 0.62,
            radius * 0.72 * snow,
            radius * 0.34 * snow,
            canvas.lit(SNOW, haze, 0.35),
        )


def paint_forest(
    canvas: Canvas, scene: Scene, plan: Composition, relief: Relief, back: bool
) -> None:
    """Trees that come up one after another, far ones first; `back`: those behind the houses."""
    if scene.forest <= 0.01:
        return
    rng = plan.rng("forest")
    share_of_pines = rng.choice([0.1, 0.5, 0.9])
    land = land_of(snowed(scene, 0.8))
    spots = _tree_spots(plan, relief, rng)
    kinds = rng.random(len(spots))
    sizes = [one_of(share, 0.85, 1.0, 1.15) for share in rng.random(len(spots))]
    for i, (x, foot, height, haze) in enumerate(spots):
        start = 0.66 * i / len(spots)
        tall = height * sizes[i] * grown(scene.forest, start, start + 0.34)
        if tall < 2 or back != (height < 27):
            continue
        kind = paint_pine if kinds[i] < share_of_pines else paint_round_tree
        kind(canvas, land, scene.snow, x, foot, tall * (1.12 if kind is paint_pine else 1.0), haze)


def _tree_spots(
    plan: Composition, relief: Relief, rng: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """(x, foot, height, haze) of trees from far to near; none before a house or castle."""
    spots = []
    for x in map(on_grid, np.linspace(4, 252, 19) + rng.uniform(-6, 6, 19)):
        room = min(abs(x - plan.castle_x) - 46, abs(x - plan.town_x) - 44)
        down = rng.uniform(0, 13)
        if room > 0:
            foot = settled(relief.at("middle", x) + 3 + down)
            tall = one_of(down / 13, 18, 22)
            spots.append((x, foot, tall, 0.2 - 0.008 * down))
    near = []
    for i in range(9):
        x = on_grid(rng.uniform(4, 78) if i % 2 else SIDE - rng.uniform(4, 78))
        foot = settled(relief.at("near", x) + rng.uniform(4, 44))
        near.append((x, foot, on_grid(32 + 0.42 * (foot - plan.horizon - 66)), 0.0))
    return [*sorted(spots, key=lambda s: s[1]), *sorted(near, key=lambda s: s[1])]


def paint_meadow(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Bushes, flowers, grass and, in the desert, cacti."""
    rng = plan.rng("meadow")
    land = land_of(snowed(scene, 0.9))
    tuft = canvas.dark(canvas.lit(land.near, 0, land.glow), 0.22)
    bright = canvas.lit(mix(land.flower, land.near, 0.6 * scene.snow), 0, land.glow)
    for _ in range(26):
        x = in_cell(rng.uniform(0, SIDE))
        deep = rng.random()
        y = settled(relief.at("near", x) + 6 + deep * (SIDE - relief.at("near", x)))
        size = one_of(deep, 4.0, 6.0)
        kind = rng.random()
        if kind < 0.55:
            for lean in (-0.7, 0.0, 0.7):
                canvas.polygon(
                    [(x - 1.0, y), (x + 1.0, y), (x + lean * size, y - size * 1.25)], tuft
                )
        elif scene.desert < 0.6:
            petal = size * 0.46 * (1 - scene.desert)
            stem = canvas.dark(canvas.lit(land.bush), 0.1)
            canvas.box(x - 0.45, y - size, x + 0.45, y, stem)
            canvas.disc(x, y - size, petal, bright)
            canvas.disc(x, y - size, petal * 0.42, canvas.lit((255, 250, 220)))
    for i in range(6):
        x = on_grid(rng.uniform(0, SIDE))
        size = one_of(rng.random(), 6.0, 8.0)
        if i % 2:
            _bush(canvas, land, scene.snow, x, settled(relief.at("near", x) + 2.5), size)
        elif i < 5:
            foot = settled(relief.at("near", x) + rng.uniform(4, 20))
            _cactus(canvas, land, x, foot, 20 * scene.desert)


def paint_country(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Paint the things that no caption names: a lone tree, rocks, a fence, by the seed; in spring,
    blossom."""
    rng = plan.rng("country")
    land = land_of(snowed(scene, 0.8))
    fence, lone, rocks = rng.random(3)
    x = on_grid(plan.ruins_x + rng.uniform(-20, 20))
    size = one_of(rng.random(), 36.0, 44.0)
    if fence < 0.5:
        _fence(canvas, relief, on_grid(rng.uniform(-30, 150)), int(rng.integers(6, 10)))
    for i in range(3):
        at, big = on_grid(rng.uniform(0, SIDE)), one_of(rng.random(), 5.0, 8.0)
        if rocks < 0.6:
            foot = settled(relief.at("near", at) + rng.uniform(2, 12) + 3 * i)
            _rock(canvas, scene, at, foot, big)
    if lone < 0.55 and scene.desert < 0.98:
        tall = size * (1 - scene.desert)
        foot = settled(relief.at("near", x) + 6)
        paint_round_tree(canvas, land, scene.snow, x, foot, tall, 0.0)
    for i in range(5):
        at = on_grid(plan.lake_x + (-1) ** i * (30 + 26 * (i // 2)) + rng.uniform(-9, 9))
        tall = one_of(rng.random(), 26.0, 36.0) * grown(scene.blossom, 0.12 * i, 0.12 * i + 0.5)
        if tall > 2:
            foot = settled(relief.at("near", at) + 2 + 3 * i)
            paint_round_tree(canvas, land, scene.snow, at, foot, tall, 0.0)


def _fence(canvas: Canvas, relief: Relief, start: float, posts: int) -> None:
    wood, gap = canvas.lit(WOOD, 0.06), 16.0
    tops = [(start + gap * i, relief.at("near", start + gap * i) - 6) for i in range(posts)]
    for down in (1.5, 4.5):
        canvas.line([(x, y + down) for x, y in tops], wood, 1.3)
    for x, y in tops:
        canvas.box(x - 1, y - 1, x + 1, y + 9, wood)


def _rock(canvas: Canvas, scene: Scene, x: float, y: float, size: float) -> None:
    grey = canvas.lit(mix((164, 166, 178), (216, 150, 108), scene.desert))
    outline = [(-1.0, 0.0), (-0.8, -0.5), (-0.2, -0.9), (0.5, -0.75), (0.95, -0.25), (1.1, 0.0)]
    points = [(x + dx * size, y + dy * size) for dx, dy in outline]
    canvas.polygon(points, grey)
    side = 1 if canvas.light_from < 0 else -1
    dark = [
        (x + side * dx * size, y + dy * size) for dx, dy in ((0.1, -0.8), (1.0, 0.0), (0.2, 0.0))
    ]
    canvas.polygon(dark, canvas.dark(grey, 0.3))
    if scene.snow > 0.05:
        canvas.ellipse(
            x, y - 0.8 * size, 0.6 * size * scene.snow, 0.2 * size, canvas.lit(SNOW, 0, 0.35)
        )


def _bush(canvas: Canvas, land: Land, snow: float, x: float, y: float, size: float) -> None:
    lit = canvas.lit(land.bush, 0, land.glow * 0.5)
    dark = canvas.dark(lit, 0.3)
    for dx, dy, r in ((-0.7, 0, 0.62), (0.7, 0, 0.6), (0, -0.26, 0.8)):
        canvas.ellipse(x + dx * size, y + (dy - 0.3) * size, r * size, r * size * 0.8, dark)
    for dx, dy, r in ((-0.6, -0.3, 0.36), (0.1, -0.62, 0.5)):
        canvas.ellipse(
            x - canvas.light_from * dx * size, y + dy * size, r * size, r * size * 0.74, lit
        )
    if snow > 0.02:
        canvas.ellipse(
            x, y - 0.78 * size, 0.7 * size * snow, 0.24 * size * snow, canvas.lit(SNOW, 0, 0.35)
        )


def _cactus(canvas: Canvas, land: Land, x: float, foot: float, height: float) -> None:
    if height < 2:
        return
    lit = canvas.lit((92, 152, 92))
    w = height * 0.13
    for left, right, top, bottom in (
        (-w, w, 1.0, 0.0), (-4.2 * w, -2.6 * w, 0.72, 0.4), (2.6 * w, 4.2 * w, 0.86, 0.5),
    ):  # fmt: skip
        canvas.box(x + left, foot - height * top, x + right, foot - height * bottom, lit)
        canvas.disc(x + (left + right) / 2, foot - height * top, (right - left) / 2, lit)
    canvas.box(x - 4.2 * w, foot - height * 0.46, x, foot - height * 0.32, lit)
    canvas.box(x, foot - height * 0.56, x + 4.2 * w, foot - height * 0.42, lit)
    canvas.box(x + 0.3 * w, foot - height, x + w, foot, canvas.dark(lit, 0.3))
