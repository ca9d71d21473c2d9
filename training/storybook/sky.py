"""The sky: sun or moon, stars, clouds, rainbow, birds, and the weather."""

import math

import numpy as np
from PIL import Image

from training.storybook.canvas import SIDE, Canvas
from training.storybook.composition import Composition, grown, in_cell, on_grid, one_of
from training.storybook.palette import WHITE, Colour, mix
from training.storybook.scene import Scene

GRID = 64  # places across at which the sky's colour is reckoned
SUN_HEIGHTS = (0.14, 1.0, 0.14, -0.5)  # above the horizon at dawn, day, sunset, night
STARS = 46
MOON_HEIGHTS = (-0.4, -0.6, -0.4, 1.0)
RAINBOW: tuple[Colour, ...] = (
    (238, 90, 90), (246, 160, 74), (250, 226, 100), (120, 204, 120), (92, 160, 236),
    (160, 120, 214),
)  # fmt: skip


def paint_sky(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """The sky with everything in it but birds and rain."""
    x, y = _sun_place(scene, plan)
    _air(canvas, plan, x, y, _moon_y(scene, plan))
    _stars(canvas, plan)
    _moon(canvas, scene, plan)
    _sun(canvas, scene, x, y)
    _rainbow(canvas, scene, plan)
    _clouds(canvas, scene, plan)


def _at_hour(values: tuple[float, ...], hour: float) -> float:
    return float(np.interp(hour, range(5), (*values, values[0])))


def _sun_place(scene: Scene, plan: Composition) -> tuple[float, float]:
    wander = 0.16 * (SIDE / 2 - plan.sun_x)
    xs = [on_grid(plan.sun_x + wander * (hour - 1)) for hour in range(5)]
    ys = [on_grid(plan.horizon + (plan.sun_y - plan.horizon) * h) for h in SUN_HEIGHTS]
    return float(np.interp(scene.hour, range(5), xs)), _at_hour(tuple(ys), scene.hour)


def _moon_y(scene: Scene, plan: Composition) -> float:
    return plan.horizon + (plan.moon_y - plan.horizon) * _at_hour(MOON_HEIGHTS, scene.hour)


def _air(canvas: Canvas, plan: Composition, sun_x: float, sun_y: float, moon_y: float) -> None:
    """The sky's colours from top to horizon, lighter round the sun or the moon."""
    light, at = canvas.light, (np.arange(GRID) + 0.5) / GRID * SIDE
    stops = np.array([light.top, light.upper, light.lower, light.horizon])
    ends = np.array([0.0, 0.36, 0.72, 1.0]) * (plan.horizon + 4)
    column = np.stack([np.interp(at, ends, stops[:, i]) for i in range(3)], -1)
    air = np.repeat(column[:, None], GRID, 1)  # (GRID, GRID, 3)
    for x, y, reach in ((sun_x, sun_y, 120.0), (plan.moon_x, moon_y, 90.0)):
        if y < plan.horizon + 30:
            far = np.hypot((at[None] - x) * 0.8, at[:, None] - y) / reach
            share = (light.glow_strength * np.exp(-(far**2) * 3.2))[..., None]
            fade = min(1.0, max(0.0, (plan.horizon + 30 - y) / 30))
            air += (np.array(light.glow) - air) * share * fade
    rows = min(GRID, int((plan.horizon + 34) / SIDE * GRID) + 1)  # the land hides the others
    small = Image.fromarray(air[:rows].clip(0, 255).astype(np.uint8))
    width, height = canvas.pixels_a_side, canvas.pixels_a_side * rows // GRID
    half = small.resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    canvas.image.paste(half.resize((width, height), Image.Resampling.NEAREST))


def _stars(canvas: Canvas, plan: Composition) -> None:
    rng, light = plan.rng("stars"), canvas.light
    xs, ys, sizes = rng.uniform(0, SIDE, STARS), rng.random(STARS) ** 1.2, rng.random(STARS)
    if light.stars <= 0.02:
        return
    for i, (x, share, size) in enumerate(zip(xs, ys, sizes, strict=True)):
        x, y = in_cell(x), in_cell(share * (plan.horizon - 16))
        size = one_of(size, 0.2, 0.8)
        shine = grown(light.stars, 0.5 * i / STARS, 0.5 * i / STARS + 0.5) * (1 - 0.5 * share)
        if shine < 0.05:
            continue
        colour = mix(canvas.colour_at(x, y), (255, 252, 232), shine * (0.65 + 0.35 * size))
        radius = 0.9 + 0.8 * size
        canvas.disc(x, y, radius, colour)
        if i % 9 == 0:  # a bright one
            arm = 4.0 + 1.8 * size
            for dx, dy in ((arm, 0.9), (0.9, arm)):
                canvas.polygon([(x - dx, y), (x, y - dy), (x + dx, y), (x, y + dy)], colour)


def _sun(canvas: Canvas, scene: Scene, x: float, y: float) -> None:
    if y > SIDE / 2 + 60 or scene.rain > 0.9:
        return
    light = canvas.light
    veiled = max(scene.rain, 0.6 * scene.fog)
    canvas.glow(x, y, 60, 60, light.glow, 0.7 * (1 - veiled))
    size = 13.5 + 2.5 * (1 - min(1.0, abs(scene.hour - 1)))
    canvas.disc(x, y, size + 3.5, mix(light.glow, light.sun, 0.45 * (1 - veiled)))
    canvas.disc(x, y, size, mix(light.sun, light.lower, 0.55 * veiled))


def _moon(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """The one moon, full, with its seas."""
    x, y, light = plan.moon_x, _moon_y(scene, plan), canvas.light
    if y > plan.horizon + 20:
        return
    shine = 1 - 0.7 * scene.rain
    canvas.glow(x, y, 52, 52, light.glow, 0.6 * shine)
    body = mix(light.upper, (250, 246, 222), 0.45 + 0.55 * shine)
    canvas.disc(x, y, 14, body)
    for dx, dy, radius in ((-5, -3, 3.4), (4, 3.5, 2.7), (3.4, -6, 1.8), (-3.4, 6, 1.7)):
        canvas.disc(x + dx, y + dy, radius, mix(body, (196, 196, 206), 0.55))


def _clouds(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    rng = plan.rng("clouds")
    count, fluffy = int(rng.integers(2, 6)), rng.uniform(22, 42)
    for i in range(6):
        x, y = rng.uniform(0, SIDE), rng.uniform(14, plan.horizon - 30)
        for _ in range(6):
            x = (x + 43) % SIDE if _hides(plan, x, y) else x
        x, y = on_grid(x), on_grid(y)
        width = rng.uniform(0.8, 1.25) * fluffy * (0.55 + 0.6 * (1 - y / plan.horizon))
        width = max(12.0, on_grid(width))
        puffs = np.array([one_of(share, 0.8, 1.05) for share in rng.random(6)])
        here = 1.0 if i < count else grown(scene.rain, 0.1 * i, 0.1 * i + 0.4)
        if here > 0.02:
            _cloud(canvas, x, y, width * here, puffs)
    if scene.rain > 0.02:
        _rain_clouds(canvas, scene, rng)


def _hides(plan: Composition, x: float, y: float) -> bool:
    """Whether a cloud there would hide the moon, or the sun at noon, instead of touching it."""
    lights = ((plan.moon_x, plan.moon_y), (plan.sun_x, plan.sun_y))
    return any(math.hypot((x - at[0]) * 0.62, y - 4 - at[1]) < 26 for at in lights)


def _cloud(canvas: Canvas, x: float, y: float, width: float, puffs: "np.ndarray") -> None:
    """A row of puffs on a flat foot, darker below."""
    light = canvas.light
    spots = [(-0.78, 0.26), (-0.42, 0.44), (0.02, 0.6), (0.42, 0.46), (0.8, 0.28)]
    low = mix(light.cloud, light.cloud_shade, 0.85)
    for colour, up, thin in ((low, 0.0, 1.0), (light.cloud, 0.16, 0.84)):
        foot = y - up * width * 0.55
        for (dx, size), puff in zip(spots, puffs, strict=False):
            radius = size * width * puff * thin * 0.62
            canvas.ellipse(x + dx * width, foot - radius * 0.62, radius * 1.22, radius, colour)
        half = 0.98 * width * thin
        canvas.ellipse(x, foot - 0.02 * width, half, 0.13 * width * thin, colour)


def _rain_clouds(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """A dark bank that comes down from the upper edge."""
    light = canvas.light
    for row, dark in ((1, 0.35), (0, 0.7)):
        foot = -26 + (34 + 15 * row) * scene.rain
        colour = mix(light.cloud_shade, light.top, 0.5 * dark)
        for x in np.linspace(-16, SIDE + 16, 9) + rng.uniform(-9, 9, 9):
            canvas.ellipse(x, foot - 6, rng.uniform(22, 32), rng.uniform(12, 19), colour)
    canvas.box(0, 0, SIDE, max(0.0, -26 + 28 * scene.rain), mix(light.cloud_shade, light.top, 0.35))


def _rainbow(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """An arc opposite the sun, whose colours come out one after another."""
    if scene.rainbow <= 0.01:
        return
    rng = plan.rng("sky")
    middle = SIDE - plan.sun_x * 0.7 - 38 + rng.uniform(-14, 14)
    radius, width = rng.uniform(92, 112), 4.4
    foot = plan.horizon + 20
    for i, colour in enumerate(RAINBOW):
        alpha = 0.66 * grown(scene.rainbow, 0.08 * i, 0.08 * i + 0.6)
        outer, inner = radius - i * width, radius - (i + 1) * width - 0.3
        turns = np.linspace(0, math.pi, 40)
        arc = [(middle + outer * math.cos(a), foot - outer * math.sin(a)) for a in turns]
        arc += [(middle + inner * math.cos(a), foot - inner * math.sin(a)) for a in turns[::-1]]
        canvas.wash(arc, mix(colour, WHITE, 0.1), alpha)


def paint_birds(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """A flock that arrives one by one."""
    rng = plan.rng("birds")
    x0, y0 = rng.uniform(50, 206), rng.uniform(34, plan.horizon - 46)
    ink = mix(canvas.light.shade, (40, 44, 70), 0.6)
    if canvas.light.stars > 0.5:
        ink = mix(ink, (190, 204, 240), 0.75)
    for i in range(8):
        x, y = in_cell(x0 + rng.uniform(-42, 42)), in_cell(y0 + rng.uniform(-22, 22))
        size, bend = one_of(rng.random(), 8.0, 11.0), one_of(rng.random(), 0.4, 0.7)
        size *= grown(scene.birds, 0.08 * i, 0.08 * i + 0.4)
        if size > 0.8:
            for side in (-1, 1):
                wing = [
                    (x, y), (x + side * size * 0.45, y - size * bend),
                    (x + side * size, y - size * bend * 0.55),
                    (x + side * size * 0.45, y - size * bend + 2.2),
                ]  # fmt: skip
                canvas.polygon([*wing, (x, y + 2.0)], ink)


def paint_rain(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """Slanting streaks in front of everything."""
    if scene.rain <= 0.01:
        return
    rng = plan.rng("rain")
    slant = one_of(rng.random(), -0.4, 0.0, 0.4)
    colour = mix(canvas.light.horizon, WHITE, 0.4)
    canvas.veil(canvas.light.horizon, [(0, 0), (256, 0.16 * scene.rain)])
    for i in range(64):
        x, y = in_cell(rng.uniform(-20, 276)), on_grid(rng.uniform(-10, 250))
        length = one_of(rng.random(), 16, 24)
        if i < 64 * scene.rain:
            streak = [(x, y), (x + 1.5, y), (x + 1.5 + slant * length, y + length)]
            canvas.wash([*streak, (x + slant * length, y + length)], colour, 0.5)
