"""Hills from far to near, with fields, and the paths over them."""

import numpy as np

from training.storybook.canvas import SIDE, Canvas, Point
from training.storybook.composition import XS, Composition, Curve, Relief, grown, snowed
from training.storybook.palette import (
    Colour,
    Land,
    land_of,
    mix,
)
from training.storybook.scene import Scene


def paint_far(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """The far hills, with the haze before them."""
    land = land_of(snowed(scene, 0.3))
    top = canvas.lit(land.far, 0.44, land.glow)
    _hill(canvas, relief.far, top, canvas.lit(land.middle, 0.2, land.glow), relief.middle.max() + 8)
    _bands(canvas, relief.far, plan.rng("far"), canvas.lit(land.middle, 0.4, land.glow), 3, 9)


def paint_middle(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """The hills on which houses stand."""
    land = land_of(snowed(scene, 0.65))
    top = canvas.lit(mix(land.far, land.middle, 0.55), 0.12, land.glow)
    _hill(canvas, relief.middle, top, canvas.lit(land.near, 0.06, land.glow), relief.near.max() + 8)
    _fields(canvas, land, relief, plan.rng("fields"), 1 - max(scene.desert, 0.7 * scene.snow))
    _bands(
        canvas, relief.middle, plan.rng("middle"), canvas.lit(land.middle, 0.05, land.glow), 4, 14
    )


def paint_near(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """The hill at the viewer's feet."""
    land = land_of(snowed(scene, 1.0))
    top = canvas.lit(mix(land.middle, land.near, 0.35), 0.0, land.glow)
    low = canvas.dark(canvas.lit(land.near, 0.0, land.glow), 0.16)
    _hill(canvas, relief.near, top, low, SIDE)
    _bands(canvas, relief.near, plan.rng("near"), canvas.lit(land.near, 0.0, land.glow), 4, 17)


def _hill(canvas: Canvas, line: Curve, top: Colour, low: Colour, hidden: float) -> None:
    """A hill with light along its edge; below `hidden` nearer ones cover it."""
    points = [*zip(XS, line, strict=True)]
    canvas.shaded([*points, (SIDE + 8, hidden), (-8, hidden)], top, low, until=SIDE)
    canvas.line(points, mix(top, canvas.light.horizon, 0.3), 1.4)


def _fields(
    canvas: Canvas, land: Land, relief: Relief, rng: np.random.Generator, tilled: float
) -> None:
    """A patchwork of fields on the middle hills, on some seeds."""
    count, tilt = int(rng.integers(0, 4)), rng.uniform(-0.9, 0.9)
    crops = (mix(land.path, land.far, 0.3), mix(land.near, land.middle, 0.2), land.far)
    for i in range(3):
        x, wide = 84 * i + rng.uniform(-20, 40), rng.uniform(44, 74)
        down, deep, kind = rng.uniform(9, 20), rng.uniform(12, 18), int(rng.integers(3))
        if i >= count:
            continue
        colour = canvas.lit(crops[kind], 0.08, land.glow)
        canvas.wash(_strip(relief, x, wide, down, down + deep, tilt), colour, 0.55 * tilled)
        for row in range(4):
            upper = down + deep * (row + 0.3) / 4
            strip = _strip(relief, x, wide, upper, upper + 0.1 * deep, tilt)
            canvas.wash(strip, canvas.dark(colour, 0.2), 0.5 * tilled)


def _strip(
    relief: Relief, x: float, wide: float, upper: float, lower: float, tilt: float
) -> list[Point]:
    """A strip of the middle hill between two depths below its line, leaning by `tilt`."""
    xs = np.linspace(x, x + wide, 6)
    top = [(float(at + tilt * upper), relief.at("middle", at) + upper) for at in xs]
    low = [(float(at + tilt * lower), relief.at("middle", at) + lower) for at in xs]
    return [*top, *low[::-1]]


def _bands(
    canvas: Canvas, line: Curve, rng: np.random.Generator, colour: Colour, count: int, gap: float
) -> None:
    """Soft strokes of the brush that follow a hill."""
    for i in range(count):
        start, length = rng.uniform(-40, 200), rng.uniform(70, 170)
        inside = (start < XS) & (start + length > XS)
        xs = XS[inside]
        if len(xs) < 3:
            continue
        bow = np.sin(np.pi * (xs - start) / length)
        upper = line[inside] + gap * (i + 0.7) - 1.6 * bow
        lower = upper + (2.4 + 0.9 * i) * bow
        outline = [*zip(xs, upper, strict=True), *zip(xs[::-1], lower[::-1], strict=True)]
        canvas.wash(outline, colour, 0.42)


def paint_paths(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Paths from the lower edge to the town and to the castle's gate."""
    rng = plan.rng("places")
    bends = rng.uniform(-70, 70, 2)
    for goal, amount, depth, bend in (
        (plan.castle_x, scene.castle, 11.0, bends[0]),
        (plan.town_x, scene.town, 32.0, bends[1]),
    ):
        if amount > 0.02:
            at = (goal, relief.at("middle", goal) + depth)
            _path(canvas, scene, at, float(np.clip(goal + bend, 30, 226)), grown(amount, 0, 0.6))


def _path(canvas: Canvas, scene: Scene, goal: Point, start: float, grow: float) -> None:
    land = land_of(snowed(scene, 0.9))
    shares = np.linspace(0, 1, 16)
    xs = start + (goal[0] - start) * shares + 13 * np.sin(shares * 2 * np.pi * 0.9)
    ys = SIDE + 2 + (goal[1] - SIDE) * shares**0.8
    half = (1.5 + 8 * (1 - shares) ** 1.5) * grow
    left, right = [*zip(xs - half, ys, strict=True)], [*zip(xs + half, ys, strict=True)]
    colour = canvas.lit(land.path, 0.05, land.glow)
    far = mix(colour, canvas.light.horizon, 0.15)
    canvas.shaded([*left, *right[::-1]], far, canvas.dark(colour, 0.1))
