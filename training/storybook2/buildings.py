"""Houses, castles and towers: each of them rises from the ground as its amount grows."""

from dataclasses import dataclass

import numpy as np

from training.storybook2.canvas import SIDE, Canvas
from training.storybook2.composition import Composition, Relief, grown
from training.storybook2.palette import (
    CASTLE_ROOFS,
    FLAG,
    GLASS,
    HOUSE_ROOFS,
    LAMP,
    PLASTERS,
    SNOW,
    STONES,
    TOWERS,
    WHITE,
    WOOD,
    WOOD_DARK,
    Colour,
    mix,
)
from training.storybook2.scene import Scene


def window_colour(canvas: Canvas, threshold: float, glass: Colour = GLASS) -> Colour:
    """A window's colour: lamps are lit one after another as it gets dark."""
    lit = grown(canvas.light.lamp, 0.8 * threshold, 0.8 * threshold + 0.2)
    return mix(canvas.lit(glass), LAMP, lit)


# -- castle ---------------------------------------------------------------------------------------


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
    x, foot = plan.castle_x, relief.at("middle", plan.castle_x) + 9
    size = min(rng.uniform(0.92, 1.14), (foot - 20) / 122)  # below the upper edge
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
    lean = rng.uniform(-10, 10)
    back = [
        _Tower(
            lean + dx * size, w * size, h * size * rng.uniform(0.88, 1.14), r * size, s,
            rng.random(),
        )
        for dx, w, h, r, s in (
            (-24, 6.5, 46, 22, 0.3), (23, 7, 50, 24, 0.38), (-11, 8.5, 62, 26, 0.5),
            (9, 7.5, 54, 25, 0.44), (0, 10.5, 76, 34, 0.56),
        )
    ]  # fmt: skip
    front = [
        _Tower(side * 40 * size, 8.5 * size, h * size, 23 * size, s, rng.random())
        for side, h, s in ((-1, rng.uniform(30, 44), 0.12), (1, rng.uniform(30, 44), 0.2))
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
                _arched(
                    canvas,
                    x - w * 0.2 * away,
                    top + down,
                    1.9,
                    6.6,
                    window_colour(canvas, tower.window * 0.8, (74, 78, 112)),
                )
    _cone(canvas, scene, x, top, w * 1.34, tower.roof * grown(rise, 0.35, 1.0), roof)
    if rise > 0.8 and tower.roof > 22:
        _flag(canvas, x, top - tower.roof, grown(rise, 0.8, 1.0))


def _cone(
    canvas: Canvas, scene: Scene, x: float, foot: float, half: float, height: float, colour: Colour
) -> None:
    """A pointed roof with a shaded side and snow on its tip."""
    if height < 1:
        return
    lit, away = canvas.lit(colour, 0.03), -canvas.light_from
    canvas.polygon([(x - half, foot), (x, foot - height), (x + half, foot)], lit)
    shade = canvas.dark(lit, 0.36)
    canvas.polygon(
        [(x, foot - height), (x + away * half, foot), (x + away * half * 0.1, foot)], shade
    )
    if scene.snow > 0.02:
        s = 0.62 * scene.snow
        y = foot - height * (1 - s)
        zig = [
            (x + half * s, y),
            (x + half * s * 0.3, y - height * 0.09),
            (x - half * s * 0.3, y + 1),
        ]
        canvas.polygon([(x, foot - height), *zig, (x - half * s, y)], canvas.lit(SNOW, 0.0, 0.35))


def _flag(canvas: Canvas, x: float, y: float, grow: float) -> None:
    canvas.box(x - 0.6, y - 10 * grow, x + 0.6, y + 2, canvas.lit(WOOD_DARK))
    if grow > 0.4:
        length = 11 * grow
        top = y - 10 * grow
        canvas.polygon([(x, top), (x + length, top + 2.6), (x, top + 5.6)], canvas.lit(FLAG))


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
    _arched(canvas, x, foot - 19 * grow, 7.4 * grow, 19 * grow, canvas.dark(canvas.lit(stone), 0.5))
    _arched(canvas, x, foot - 16 * grow, 5.4 * grow, 16 * grow, canvas.lit(WOOD_DARK))
    canvas.box(x - 0.6, foot - 13 * grow, x + 0.6, foot, canvas.lit(WOOD))


def _arched(
    canvas: Canvas, x: float, top: float, half: float, height: float, colour: Colour
) -> None:
    canvas.ellipse(x, top + half, half, half, colour)
    canvas.box(x - half, top + half, x + half, top + height, colour)


# -- town -----------------------------------------------------------------------------------------


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
        foot = relief.at("middle", x) + down
        looks = rng.random(6)
        start = 0.62 * order[i] / len(spots)
        grow = grown(scene.town, start, start + 0.38)
        if grow > 0.02:
            roof = HOUSE_ROOFS[int(roofs[int(looks[5] * 3)])]
            if i == 1:
                _church(canvas, scene, x, foot, 1.0 * grow, looks, roof)
            else:
                _house(canvas, scene, x, foot, (0.86 + 0.006 * down) * grow, looks, roof)


def _house_spots(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Places of houses relative to the town's middle, from back to front, well apart."""
    flip = 1 if rng.random() < 0.5 else -1
    back = [(flip * dx + rng.uniform(-4, 4), 11 + rng.uniform(-2, 5)) for dx in (-36, 4, 40)]
    front = [(flip * dx + rng.uniform(-4, 4), 42 + rng.uniform(-3, 5)) for dx in (-46, -4, 38)]
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
    _arched(
        canvas,
        at + side * w * 0.2,
        top + 5 * size,
        1.7 * size,
        6.5 * size,
        window_colour(canvas, looks[0]),
    )
    _cone(canvas, scene, at, top + 1, w * 1.3, 24 * size, mix(roof, (92, 88, 140), 0.55))
    canvas.box(at - 0.6, top - 29 * size, at + 0.6, top - 22 * size, canvas.lit((244, 204, 96)))
    canvas.box(
        at - 2 * size,
        top - 27.4 * size,
        at + 2 * size,
        top - 26.2 * size,
        canvas.lit((244, 204, 96)),
    )


# -- modern towers --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """A modern tower; `pitch` is the size of a window with its frame."""

    x: float
    half: float
    height: float
    pitch: float
    colour: Colour
    crown: int  # 0 flat, 1 stepped, 2 spire, 3 slanted, 4 dome
    haze: float
    seed: int


def _block(canvas: Canvas, scene: Scene, block: _Block, foot: float, rise: float) -> None:
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


def _windows(canvas: Canvas, block: _Block, foot: float, top: float) -> None:
    """Rows of windows, which rise with their tower."""
    pitch, x, w = block.pitch, block.x, block.half
    if not pitch:  # too far away for more than a shimmer of storeys
        shimmer = mix(canvas.lit(block.colour, block.haze), canvas.light.horizon, 0.3)
        lamps = mix(shimmer, LAMP, 0.55 * canvas.light.lamp)
        for y in np.arange(top + 4, foot, 7.0):
            canvas.box(x - 0.7 * w, y, x + 0.7 * w, y + 2.6, lamps)
        return
    columns = max(1, int((2 * w - 1) / pitch))
    left = x - columns * pitch / 2
    rows = int(block.height / pitch / 1.25)
    chances = np.random.default_rng(block.seed).random((rows, columns))
    glass = canvas.dark(canvas.lit(mix(block.colour, GLASS, 0.72), block.haze), 0.12)
    bright = mix(canvas.lit(mix(block.colour, WHITE, 0.62), block.haze), canvas.light.upper, 0.25)
    lamp = mix(LAMP, canvas.light.horizon, block.haze * 0.5)
    share = 0.72 * canvas.light.lamp
    for row in range(rows):
        y = top + 2.4 + row * pitch * 1.25
        if y + pitch > foot:
            break
        for column in range(columns):
            chance = chances[row, column]
            colour = lamp if chance < share else (bright if chance > 0.8 else glass)
            at = left + column * pitch
            canvas.box(at + 0.18 * pitch, y, at + 0.82 * pitch, y + 0.82 * pitch, colour)


def _crown(
    canvas: Canvas, scene: Scene, block: _Block, top: float, lit: Colour, dark: Colour
) -> None:
    """What stands on a tower's roof."""
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
            pitch, crown, seed = (
                rng.choice([4.6, 5.4]),
                int(rng.integers(5)),
                int(rng.integers(1 << 30)),
            )
            half, start = rng.uniform(7.0, 9.0), 0.5 * rng.random()
            if back != (i % 2 == 0):
                continue
            x = middle + share * count * wide / 2
            foot = relief.at("middle", x) + 8  # behind the hill
            block = _Block(
                x, half, height * (1.14 if back else 0.78), pitch,
                TOWERS[int(kinds[i % len(kinds)])], crown, 0.3 if back else 0.06, seed,
            )  # fmt: skip
            _block(canvas, scene, block, foot, grown(scene.city, start, start + 0.5))
    if canvas.light.lamp > 0.3:
        canvas.glow(middle, plan.horizon, 100, 56, LAMP, 0.2 * canvas.light.lamp * scene.city)


def paint_sprawl(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """Towers from edge to edge in three tiers that grow and darken towards the viewer."""
    if scene.sprawl <= 0.01:
        return
    rng = plan.rng("sprawl")
    gap = rng.uniform(46, 210)  # where one looks through to the distance
    kinds = rng.permutation(len(TOWERS))
    tiers = (
        (12, 7.8, 70.0, 0.58, 0.0, plan.horizon + 18, 0.0),
        (8, 11.6, 96.0, 0.26, 6.6, plan.horizon + 54, 0.15),
        (6, 16.5, 100.0, 0.0, 9.2, min(226.0, plan.horizon + 94), 0.3),
    )
    for tier, (count, half, tall, haze, pitch, foot, start) in enumerate(tiers):
        slot = SIDE / count
        shift = rng.uniform(-0.5, 0.5) * slot
        for i in range(count + 1):
            x = i * slot + shift + rng.uniform(-0.08, 0.08) * slot
            open_ = np.exp(-(((x - gap) / (34 + 16 * tier)) ** 2))
            height = tall * rng.uniform(0.62, 1.18) * (1 - 0.62 * open_ * (0.4 + 0.3 * tier))
            crown, seed, delay = (
                int(rng.integers(5)),
                int(rng.integers(1 << 30)),
                0.24 * rng.random(),
            )
            size = half * rng.uniform(0.84, 1.06)
            colour = TOWERS[int(kinds[(i + 3 * tier) % len(kinds)])]
            rise = grown(scene.sprawl, start + delay * 0.8, start + delay * 0.8 + 0.4)
            block = _Block(x, size, height, pitch, colour, crown, haze, seed)
            _block(canvas, scene, block, foot, rise)
        ground = canvas.lit((120, 128, 156), haze + 0.1)
        cover = grown(scene.sprawl, start + 0.04, start + 0.42)
        if tier < 2 and cover > 0.02:
            canvas.box(0, SIDE - (SIDE - foot) * cover, SIDE, SIDE, ground)
            mist = mix(canvas.light.horizon, canvas.light.lower, 0.3)
            canvas.veil(mist, [(foot - 42, 0.0), (foot, 0.3 * cover), (foot + 2, 0.0)])
    _street(canvas, scene, plan, tiers[2][5], grown(scene.sprawl, 0.1, 0.55))


def _street(canvas: Canvas, scene: Scene, plan: Composition, top: float, grow: float) -> None:
    """A street along the lower edge, by its seed with trees, a canal or cars."""
    if grow <= 0.02:
        return
    rng = plan.rng("street")
    kind = int(rng.integers(3))
    top = SIDE - (SIDE - top + 3) * grow
    pave = canvas.lit((206, 208, 216), 0.0, 0.2 * scene.snow)
    canvas.box(0, top, SIDE, SIDE, pave)
    upper, lower = top + 8, SIDE - 5
    road = canvas.lit((84, 92, 120))
    if kind == 2:
        deep = mix(canvas.lit((58, 146, 214)), canvas.light.lower, 0.35)
        canvas.shaded(
            [(0, upper), (SIDE, upper), (SIDE, SIDE + 9), (0, SIDE + 9)],
            mix(deep, canvas.light.horizon, 0.3),
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
        middle, start = (upper + lower) / 2, rng.uniform(0, 26)
        for i in range(-1, 11):
            canvas.box(
                start + 26 * i,
                middle - 0.9,
                start + 26 * i + 13,
                middle + 0.9,
                canvas.lit((244, 240, 226)),
            )
        if kind == 1:
            _cars(canvas, rng, upper, lower)
    start = rng.uniform(4, 30)
    for i in range(7):
        x = start + 38 * i
        crown = canvas.lit(mix((74, 158, 92), (240, 246, 252), 0.75 * scene.snow))
        canvas.box(x - 1.1, top - 7, x + 1.1, top + 5, canvas.lit(WOOD))
        canvas.disc(x, top - 11, 8, canvas.dark(crown, 0.3))
        canvas.disc(x + canvas.light_from * 1.6, top - 12.4, 6.2, crown)


def _cars(canvas: Canvas, rng: np.random.Generator, upper: float, lower: float) -> None:
    for lane, foot in ((0, upper + (lower - upper) * 0.42), (1, lower - 2)):
        for i in range(3):
            x = rng.uniform(10, 70) + 84 * i
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
