"""Houses, castles and towers: few, large and apart, so that a small model can draw them crisply."""

import numpy as np

from training.storybook.canvas import Canvas
from training.storybook.palette import (
    CASTLE_ROOFS,
    FLAG,
    GLASS,
    HOUSE_ROOFS,
    PLASTER,
    PLASTER_SHADE,
    SNOW,
    STONE,
    STONE_SHADE,
    TOWERS,
    WOOD,
    Colour,
    mix,
)

Roof = tuple[Colour, Colour]


def _window(canvas: Canvas, glass: Colour = GLASS) -> Colour:
    return canvas.sky.window or canvas.lit(glass)


def paint_house(canvas: Canvas, x: float, y: float, width: float, roof: Roof, snow: bool) -> None:
    """A house whose front stands on (x, y): a roof, a door, two windows, a chimney."""
    half, wall, ridge = width / 2, width * 0.56, width * 0.52
    top = y - wall
    canvas.box(x + half * 0.45, top - ridge * 0.95, x + half * 0.8, top, canvas.lit(WOOD))
    canvas.box(x - half, top, x + half, y, canvas.lit(PLASTER))
    canvas.box(x + half * 0.62, top, x + half, y, canvas.lit(PLASTER_SHADE))
    light, dark = roof
    eaves = half * 1.28
    canvas.polygon(
        [(x - eaves, top + 1), (x, top - ridge), (x + eaves, top + 1)], canvas.lit(light)
    )
    canvas.polygon(
        [(x, top - ridge), (x + eaves, top + 1), (x + half * 0.62, top + 1)], canvas.lit(dark)
    )
    if snow:
        cap = [(x - eaves * 0.55, top - ridge * 0.44), (x, top - ridge - 0.6)]
        canvas.polygon([*cap, (x + eaves * 0.55, top - ridge * 0.44)], canvas.lit(SNOW))
    canvas.box(x - half * 0.2, y - wall * 0.68, x + half * 0.2, y, canvas.lit(WOOD))
    for side in (-0.62, 0.62):
        left = x + side * half - half * 0.21
        canvas.box(left, top + wall * 0.24, left + half * 0.42, top + wall * 0.68, _window(canvas))


def paint_church(canvas: Canvas, x: float, y: float, snow: bool) -> None:
    """A slim church tower with a pointed roof, which distinguishes a town from scattered houses."""
    canvas.box(x - 4.5, y - 22, x + 4.5, y, canvas.lit(PLASTER))
    canvas.box(x + 1.5, y - 22, x + 4.5, y, canvas.lit(PLASTER_SHADE))
    light, dark = CASTLE_ROOFS[1]
    canvas.polygon([(x - 6, y - 21), (x, y - 37), (x + 6, y - 21)], canvas.lit(light))
    canvas.polygon([(x, y - 37), (x + 6, y - 21), (x + 1.5, y - 21)], canvas.lit(dark))
    if snow:
        canvas.polygon([(x - 3, y - 29), (x, y - 37.5), (x + 3, y - 29)], canvas.lit(SNOW))
    canvas.box(x - 1.8, y - 17, x + 1.8, y - 11, _window(canvas))


def paint_town(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, snow: bool, small: bool
) -> None:
    """Houses around (x, y) in two rows with gaps; a `small` town leaves room for a castle."""
    paint_church(canvas, x + rng.uniform(-3, 3), y - 7, snow)
    back, front = ((), (-18, 15)) if small else ((-27, 27), (-36, 0, 36))
    for row, (offsets, drop, width) in enumerate(((back, -6, 17.0), (front, 10, 20.0))):
        for i, offset in enumerate(offsets):
            roof = HOUSE_ROOFS[(i + row) % len(HOUSE_ROOFS)]
            at = (x + offset + rng.uniform(-1.5, 1.5), y + drop + rng.uniform(-1, 1))
            paint_house(canvas, *at, width, roof, snow)


def _castle_tower(
    canvas: Canvas,
    x: float,
    y: float,
    width: float,
    height: float,
    roof: Roof,
    flag: bool,
    snow: bool,
) -> None:
    half, top, point = width / 2, y - height, width * 1.25
    canvas.box(x - half, top, x + half, y, canvas.lit(STONE))
    canvas.box(x + half * 0.25, top, x + half, y, canvas.lit(STONE_SHADE))
    canvas.box(x - half * 1.25, top, x + half * 1.25, top + 3, canvas.lit(STONE))
    canvas.box(x + half * 0.25, top, x + half * 1.25, top + 3, canvas.lit(STONE_SHADE))
    if flag:
        canvas.box(x - 0.7, top - point - 8, x + 0.7, top - point + 2, canvas.lit(WOOD))
        canvas.polygon(
            [(x + 0.6, top - point - 8), (x + 9, top - point - 5), (x + 0.6, top - point - 2)],
            mix(FLAG, canvas.lit(FLAG), 0.6),
        )
    light, dark = roof
    canvas.polygon(
        [(x - half * 1.4, top), (x, top - point), (x + half * 1.4, top)], canvas.lit(light)
    )
    canvas.polygon(
        [(x, top - point), (x + half * 1.4, top), (x + half * 0.25, top)], canvas.lit(dark)
    )
    if snow:
        canvas.polygon(
            [
                (x - half * 0.7, top - point / 2),
                (x, top - point - 0.5),
                (x + half * 0.7, top - point / 2),
            ],
            canvas.lit(SNOW),
        )
    canvas.box(x - 2, top + 6, x + 1.6, top + 12, _window(canvas, (88, 84, 118)))


def paint_castle(canvas: Canvas, rng: np.random.Generator, x: float, y: float, snow: bool) -> None:
    """Five towers, the tallest in the middle with a flag, and a wall with a gate; 62 units wide."""
    roof = CASTLE_ROOFS[int(rng.integers(len(CASTLE_ROOFS)))]
    left, right = rng.uniform(36, 41, 2)
    _castle_tower(canvas, x - 14, y, 10, left, roof, False, snow)
    _castle_tower(canvas, x + 14, y, 10, right, roof, False, snow)
    _castle_tower(canvas, x, y, 14, rng.uniform(44, 49), roof, True, snow)
    canvas.box(x - 25, y - 17, x + 25, y + 3, canvas.lit(STONE))
    for i in range(6):
        merlon = x - 25 + i * 9.0
        canvas.box(merlon, y - 21, merlon + 5, y - 17, canvas.lit(STONE))
    canvas.box(x - 25, y - 2, x + 25, y + 3, canvas.lit(mix(STONE, STONE_SHADE, 0.6)))
    for side in (-25, 25):
        _castle_tower(canvas, x + side, y + 3, 12, 28 + rng.uniform(-2, 2), roof, False, snow)
    canvas.box(x - 5, y - 7, x + 5, y + 3, canvas.lit(WOOD))
    canvas.disc(x, y - 7, 5, canvas.lit(WOOD))


def paint_tower(
    canvas: Canvas, kind: int, left: float, foot: float, columns: int, height: float, haze: float
) -> None:
    """An office tower of some window columns, each 8 units wide; `kind` gives colour and top."""
    light, dark = TOWERS[kind % len(TOWERS)]
    light, dark = canvas.lit(light, haze), canvas.lit(dark, haze)
    top, right = foot - height, left + 8 * columns - 1
    middle, quarter = (left + right) / 2, 2 * columns
    kind = kind % 3
    if kind == 1:
        canvas.polygon([(left, top), (right, top - 2 * quarter), (right, top)], light)
    elif kind == 2:
        canvas.box(middle - 1, top - 12, middle + 1, top, dark)
        canvas.box(middle - quarter, top - 4, middle + quarter, top, dark)
    canvas.box(left, top, right, foot, light)
    canvas.box(right - 2, top, right, foot, dark)
    _tower_windows(canvas, left, top, foot, columns, haze)


def _tower_windows(
    canvas: Canvas, left: float, top: float, foot: float, columns: int, haze: float
) -> None:
    """Windows on a grid of 8 units that all towers share, so that it can be learnt crisply."""
    glass = mix(_window(canvas, (240, 250, 255)), canvas.sky.horizon, haze * 0.8)
    unlit = canvas.lit((74, 100, 152), haze)
    for row in range(int(np.ceil((top + 2) / 8)), int((foot - 4) // 8) + 1):
        for column in range(columns):
            lit = canvas.sky.window is None or (row * 2 + column + int(left) // 4) % 4 > 0
            x = left + 1 + column * 8
            canvas.box(x, row * 8, x + 4, row * 8 + 4, glass if lit else unlit)


def paint_city(canvas: Canvas, rng: np.random.Generator, x: float, foot: float) -> None:
    """A skyline of seven towers, tallest in the middle."""
    start, kind = 4 * round((x - 56) / 4), int(rng.integers(15))
    for i, usual in enumerate((24, 36, 44, 56, 48, 38, 26)):
        height = usual + 4 * int(rng.integers(-1, 2))
        paint_tower(canvas, kind + 2 * i, start + 16 * i, foot, 2, height, 0.05)


def paint_cityscape(canvas: Canvas, rng: np.random.Generator) -> None:
    """Towers from edge to edge in three tiers that grow and darken towards the viewer."""
    far = canvas.lit(TOWERS[0][1], 0.66)
    for i in range(11):
        height = 30 + 8 * ((i * 5) % 4) + rng.uniform(-4, 4)
        canvas.box(i * 12 - 2, 76 - height, i * 12 + 8, 76, far)
    canvas.box(0, 60, 128, 128, canvas.lit(TOWERS[3][1], 0.5))
    start, kind = -4 * int(rng.integers(3)), int(rng.integers(15))
    for i in range(9):
        height = 36 + 8 * ((i * 3) % 4) + 4 * int(rng.integers(-1, 2))
        paint_tower(canvas, kind + 2 * i, start + 16 * i, 104, 2, height, 0.32)
    start, kind = -4 * int(rng.integers(5)), int(rng.integers(15))
    for i in range(6):
        height = 34 + 12 * ((i * 2) % 3) + 4 * int(rng.integers(-1, 2))
        paint_tower(canvas, kind + 2 * i, start + 26 * i, 118, 3, height, 0.0)
    _street(canvas, rng)


def _street(canvas: Canvas, rng: np.random.Generator) -> None:
    """A street along the lower edge with lane marks and round trees."""
    canvas.box(0, 117, 128, 128, canvas.lit((92, 100, 128)))
    canvas.box(0, 115, 128, 118.5, canvas.lit((214, 216, 222)))
    start = rng.uniform(0, 20)
    for i in range(7):
        canvas.box(start + 20 * (i - 1), 122, start + 20 * (i - 1) + 9, 124, canvas.lit(SNOW))
    for i in range(4):
        x = 10 + 36 * i + rng.uniform(-4, 4)
        canvas.box(x - 1, 110, x + 1, 117, canvas.lit(WOOD))
        canvas.disc(x, 107, 5.5, canvas.lit((50, 128, 74)))
        canvas.disc(x - 1.2, 106, 4, canvas.lit((86, 166, 92)))
