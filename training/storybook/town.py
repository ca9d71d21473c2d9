"""A town, whose houses are built one after another."""

import numpy as np

from training.storybook.canvas import Canvas
from training.storybook.composition import Composition, Relief, grown, on_grid, one_of, settled
from training.storybook.masonry import arched, cone, window_colour
from training.storybook.palette import (
    HOUSE_ROOFS,
    LAMP,
    PLASTERS,
    SNOW,
    WOOD,
    WOOD_DARK,
    Colour,
    mix,
)
from training.storybook.scene import Scene


def paint_town(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Half a dozen houses and a church, which are built one after another."""
    if scene.town <= 0.01:
        return
    rng = plan.rng("town")
    spots = _house_spots(rng)
    order = rng.permutation(len(spots))
    roofs = rng.permutation(len(HOUSE_ROOFS))[:3]
    for i, (dx, down) in enumerate(spots):
        x = plan.town_x + dx
        foot = settled(relief.at("middle", x) + down * plan.depth)
        looks = np.array([one_of(share, 0.0, 0.5, 0.99) for share in rng.random(6)])
        start = 0.62 * order[i] / len(spots)
        grow = grown(scene.town, start, start + 0.38)
        if grow > 0.02:
            roof = HOUSE_ROOFS[int(roofs[int(looks[5] * 3)])]
            if i == 1:
                _church(canvas, scene, x, foot, 1.0 * grow, looks, roof)
            else:
                _house(canvas, scene, x, foot, (0.9 if down < 30 else 1.1) * grow, looks, roof)


def _house_spots(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Places of houses relative to the town's middle, from back to front, well apart."""
    flip = 1 if rng.random() < 0.5 else -1
    back = [
        (on_grid(flip * dx + rng.uniform(-4, 4)), 11 + rng.uniform(-2, 5)) for dx in (-36, 4, 40)
    ]
    front = [
        (on_grid(flip * dx + rng.uniform(-4, 4)), 42 + rng.uniform(-3, 5)) for dx in (-46, -4, 38)
    ]
    return [*back, *front]


def _house(
    canvas: Canvas,
    scene: Scene,
    x: float,
    foot: float,
    size: float,
    looks: np.ndarray,
    roof: Colour,
) -> None:
    """A house with its gable to the viewer and its long side away from the light."""
    w, wall, long = 9.5 * size, (13 + 4 * looks[0]) * size, (11 + 7 * looks[1]) * size
    peak = (11.5 + 2.5 * looks[2]) * size
    plaster = PLASTERS[int(looks[3] * len(PLASTERS))]
    face = canvas.lit(plaster, 0.02)
    flank = canvas.dark(canvas.lit(plaster), 0.3)
    away = -canvas.light_from
    left, right, top = x - w, x + w, foot - wall
    end = x + away * (w + long)
    inner, outer = sorted((x + away * w, end))
    canvas.box(inner, top, outer, foot, flank)
    canvas.polygon([(left, foot), (left, top), (x, top - peak), (right, top), (right, foot)], face)
    slope = canvas.lit(roof)
    over = 2.2 * size
    ridge = x + away * long
    side = [
        (x, top - peak - 1),
        (ridge, top - peak - 1),
        (end + away * over * 0.6, top + over),
        (x + away * (w + over), top + over),
    ]
    canvas.polygon(side, slope)
    edge = canvas.dark(slope, 0.4)
    for s in (-1, 1):
        canvas.polygon(
            [
                (x, top - peak - 1.6),
                (x, top - peak + 1.6 * size),
                (x + s * w, top + 1.6 * size),
                (x + s * (w + over), top + over),
                (x + s * (w + over), top),
            ],
            edge,
        )
    if looks[4] > 0.35:
        _chimney(canvas, x + away * long * 0.62, top - peak, size)
    _snow_on_roof(canvas, scene, side, size)
    beam = canvas.lit(WOOD, 0.0)
    if looks[2] > 0.5:
        canvas.box(left, top + 0.4, right, top + 1.9 * size, beam)
    canvas.box(x - 2.3 * size, foot - 9 * size, x + 2.3 * size, foot, canvas.lit(WOOD_DARK))
    glow = window_colour(canvas, 0.7 * looks[1])
    for dx in (-6.2, 6.2):
        _pane(canvas, x + dx * size, foot - 9.5 * size, 1.9 * size, 4.6 * size, glow)
    _pane(canvas, x, top - peak * 0.42, 1.8 * size, 4 * size, window_colour(canvas, looks[0]))
    for k in range(2 if long > 12 * size else 1):
        at = x + away * (w + long * (0.3 + 0.42 * k))
        _pane(
            canvas, at, foot - 9.5 * size, 1.8 * size, 4.6 * size, window_colour(canvas, looks[4])
        )
    if canvas.light.lamp > 0.4:
        canvas.glow(x, foot - 6 * size, 20 * size, 16 * size, LAMP, 0.3 * canvas.light.lamp)


def _pane(canvas: Canvas, x: float, y: float, half: float, height: float, colour: Colour) -> None:
    canvas.box(x - half, y, x + half, y + height, colour)


def _chimney(canvas: Canvas, x: float, y: float, size: float) -> None:
    canvas.box(
        x - 1.8 * size, y - 5 * size, x + 1.8 * size, y + 4 * size, canvas.lit((188, 104, 86))
    )
    canvas.box(x - 2.4 * size, y - 6 * size, x + 2.4 * size, y - 4.4 * size, canvas.lit(WOOD_DARK))


def _snow_on_roof(
    canvas: Canvas, scene: Scene, slope: list[tuple[float, float]], size: float
) -> None:
    """Snow that covers a roof from its ridge down."""
    if scene.snow <= 0.02:
        return
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = slope
    s = 0.8 * scene.snow
    low = [(x1 + (x2 - x1) * s, y1 + (y2 - y1) * s), (x0 + (x3 - x0) * s, y0 + (y3 - y0) * s)]
    canvas.polygon([(x0, y0 - 1.2 * size), (x1, y1 - 1.2 * size), *low], canvas.lit(SNOW, 0, 0.35))


def _church(
    canvas: Canvas,
    scene: Scene,
    x: float,
    foot: float,
    size: float,
    looks: np.ndarray,
    roof: Colour,
) -> None:
    """A church: a house with a spire."""
    _house(canvas, scene, x, foot, 0.95 * size, looks * 0.5, roof)
    side = canvas.light_from
    at, w, top = x + side * 12 * size, 5.6 * size, foot - 34 * size
    face = canvas.lit(PLASTERS[2], 0.02)
    canvas.box(at - w, top, at + w, foot, face)
    dark = sorted((at - side * w, at - side * w * 0.3))
    canvas.box(dark[0], top, dark[1], foot, canvas.dark(face, 0.34))
    arched(
        canvas,
        at + side * w * 0.2,
        top + 5 * size,
        1.7 * size,
        6.5 * size,
        window_colour(canvas, looks[0]),
    )
    cone(canvas, scene, at, top + 1, w * 1.3, 24 * size, mix(roof, (92, 88, 140), 0.55))
    canvas.box(at - 0.6, top - 29 * size, at + 0.6, top - 22 * size, canvas.lit((244, 204, 96)))
    canvas.box(
        at - 2 * size,
        top - 27.4 * size,
        at + 2 * size,
        top - 26.2 * size,
        canvas.lit((244, 204, 96)),
    )
