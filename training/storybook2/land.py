"""The land: mountains, hills, waters, trees, and what grows on the meadows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from training.storybook2.canvas import SIDE, Canvas, Point
from training.storybook2.composition import XS, Composition, Curve, Relief, grown
from training.storybook2.palette import (
    SNOW,
    WATER,
    WATER_LIGHT,
    WOOD,
    WOOD_DARK,
    Colour,
    Land,
    land_of,
    mix,
)
from training.storybook2.scene import Scene


def snowed(scene: Scene, layer: float) -> Scene:
    """The scene as snow has come down to a layer: 0 the mountains, 1 the foreground."""
    return replace(scene, snow=grown(scene.snow, 0.45 * layer, 0.5 + 0.5 * layer))


def paint_mountains(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """Mountains: by the seed alpine, one great one, rounded old ones, or far ones."""
    rng = plan.rng("mountains")
    snow = snowed(scene, 0.0)
    land = land_of(snow)
    kind, tall = int(rng.integers(4)), rng.uniform(0.85, 1.15)
    roundness = float(rng.uniform(0.7, 1.0)) if kind == 2 else float(rng.uniform(0, 0.15))
    ranges = {
        0: ((0.52, 66.0, 5), (0.26, 46.0, 4)),
        1: ((0.56, 40.0, 6), (0.22, 100.0, 1), (0.2, 34.0, 3)),
        2: ((0.56, 62.0, 4), (0.34, 44.0, 3)),
        3: ((0.58, 44.0, 6), (0.3, 54.0, 2)),
    }[kind]
    for haze, height, count in ranges:
        xs = np.linspace(-8, SIDE + 8, count) + rng.uniform(-30, 30, count)
        if count == 1:
            xs = rng.uniform(50, 206, 1)
        heights = height * tall * rng.uniform(0.6, 1.12, count)
        heights = np.minimum(heights, plan.horizon - 34)  # below the moon
        wide = heights * rng.uniform(1.0, 1.4, count) * (1 + 0.5 * roundness) + 10
        for i in heights.argsort()[::-1]:
            peak = _Peak(
                float(xs[i]), plan.horizon + 14, float(wide[i]), float(heights[i]), roundness,
                float(heights[i]) * (1 - 0.42 * scene.desert), haze, rng.uniform(-1, 1, 16),
            )  # fmt: skip
            _mountain(canvas, snow, land, peak)


@dataclass(frozen=True)
class _Peak:
    """A mountain: where it stands, its size, where the desert has cut it, and its own shape."""

    x: float
    foot: float
    wide: float
    height: float
    roundness: float
    plateau: float
    haze: float
    jags: Curve

    def rise(self, share: float) -> float:
        """Its height at a share of the way from its middle to its edge."""
        steep, soft = 1 - share, 0.5 + 0.5 * np.cos(np.pi * share)
        return min(self.plateau, self.height * float(steep + (soft - steep) * self.roundness))

    def side(self, direction: float) -> list[Point]:
        """Its outline from the top to its foot on one side, (x, y)."""
        first = 0 if direction < 0 else 8
        rough = 0.05 * (1 - self.roundness)
        points = []
        for i in range(9):
            share = i / 8 + (rough * float(self.jags[first + i - 1]) if 0 < i < 8 else 0.0)
            points.append((self.x + direction * self.wide * share, self.foot - self.rise(i / 8)))
        return points

    def spine(self) -> list[Point]:
        """The line from the top down at which light and shade meet."""
        reach = self.wide * (0.16 - 0.08 * self.roundness)
        return [
            (self.x + reach * float(self.jags[i]) * i / 6, self.foot - self.rise(i / 6))
            for i in range(1, 7)
        ]


def _mountain(canvas: Canvas, scene: Scene, land: Land, peak: _Peak) -> None:
    """A mountain with a lit and a shaded side and a cap of snow."""
    lit = canvas.lit(land.mountain, peak.haze, land.glow)
    if peak.roundness > 0.5:  # old mountains are overgrown
        green = canvas.lit(mix(land.far, land.mountain, 0.62), peak.haze, land.glow)
        lit = mix(lit, green, 0.6)
    shade = canvas.dark(canvas.lit(land.mountain_shade, peak.haze, land.glow), 0.12)
    shade = mix(shade, lit, 0.45 * peak.roundness)
    left, right = peak.side(-1.0), peak.side(1.0)
    canvas.shaded([*left[::-1], *right], lit, mix(lit, canvas.light.horizon, 0.36))
    dark = right if canvas.light_from < 0 else left
    outline = [*dark, *peak.spine()[::-1]]
    canvas.shaded(outline, shade, mix(shade, canvas.light.horizon, 0.34))
    _strata(canvas, scene, lit, peak)
    _cap(canvas, scene, peak)


def _strata(canvas: Canvas, scene: Scene, lit: Colour, peak: _Peak) -> None:
    """The layers of desert rocks."""
    if scene.desert <= 0.02 or peak.height < 30:
        return
    dark = canvas.dark(lit, 0.3)
    for share in (0.3, 0.55, 0.8):
        y = peak.foot - peak.plateau * share
        left, right = (_reach(peak, side, y) for side in (-1.0, 1.0))
        band = [(left, y), (right, y), (right, y + 3), (left, y + 3)]
        canvas.wash(band, dark, 0.5 * scene.desert)


def _reach(peak: _Peak, direction: float, y: float) -> float:
    """Where a mountain's outline is at a height."""
    xs, ys = zip(*peak.side(direction), strict=True)
    return float(np.interp(y, ys, xs))


def _cap(canvas: Canvas, scene: Scene, peak: _Peak) -> None:
    """Snow on a peak, down to a ragged line; none in the desert, much in winter."""
    usual = 0.3 * (1 - peak.roundness) ** 0.5
    depth = (usual + (0.66 - usual) * scene.snow) * (1 - scene.desert)
    if depth * peak.height < 4 or peak.height < 34:
        return
    y = peak.foot - peak.height * (1 - depth)
    if y < peak.foot - peak.plateau + 2:
        return
    left, right = _reach(peak, -1.0, y), _reach(peak, 1.0, y)
    deep, spots = peak.height * 0.09, np.linspace(0, 1, 7)
    line = [
        (
            left + (right - left) * s,
            y + (deep if i % 2 else -0.3 * deep) * (1 + 0.3 * j) * (0 < s < 1),
        )
        for i, (s, j) in enumerate(zip(spots, peak.jags, strict=False))
    ]
    white = canvas.lit(SNOW, peak.haze * 0.62, 0.35)
    above = [[p for p in peak.side(d) if p[1] < y] for d in (-1.0, 1.0)]
    canvas.polygon([*above[0][::-1], *above[1], *line[::-1]], white)
    shade = canvas.dark(white, 0.22)
    if canvas.light_from < 0:
        canvas.polygon([*above[1], *line[::-1][:4]], shade)
    else:
        canvas.polygon([*above[0], *line[:4]], shade)


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


def water_colours(canvas: Canvas, scene: Scene) -> tuple[Colour, Colour, Colour]:
    """The deep, the mirroring and the glittering water of this light."""
    light = canvas.light
    deep = mix(canvas.lit(mix(WATER, (126, 176, 206), 0.4 * scene.snow)), light.upper, 0.42)
    far = mix(mix(light.horizon, light.lower, 0.6), canvas.lit(WATER_LIGHT), 0.4)
    glitter = mix(mix(canvas.lit(WATER_LIGHT), light.glow, 0.5), (255, 255, 255), 0.25)
    return deep, far, glitter


def paint_sea(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Water from the horizon to the shore, which it floods."""
    if scene.sea <= 0.01:
        return
    deep, far, glitter = water_colours(canvas, scene)
    top, bottom = plan.horizon + 4, SIDE
    surface = [(0.0, top), (SIDE, top), (SIDE, top + 96), (0.0, top + 96)]
    if scene.sea < 0.999:  # it rises from the lowest place of the land
        top = top + (1 - scene.sea) * 16
        surface = [(0.0, top), (SIDE, top), (SIDE, bottom), (0.0, bottom)]
    canvas.shaded(surface, far, deep)
    rng = plan.rng("sea")
    shining = plan.moon_x if canvas.light.stars > 0.5 else plan.sun_x
    for i in range(34):
        near = rng.random() ** 1.3
        y = top + 3 + 74 * near
        x = rng.uniform(0, SIDE) if i % 2 else shining + rng.normal() * (6 + 16 * near)
        half = (4 + 11 * near) * rng.uniform(0.6, 1.2)
        points = [
            (x - half, y),
            (x, y - 0.4 - 0.8 * near),
            (x + half, y),
            (x, y + 0.4 + 0.8 * near),
        ]
        canvas.polygon(points, mix(glitter, far, rng.random() * 0.5))
    _beach(canvas, scene, plan, relief, glitter)


def _beach(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief, foam: Colour) -> None:
    """Sand along the shore, and the foam of the last wave."""
    land = land_of(snowed(scene, 0.7))
    for lift, colour in ((7.0, foam), (4.6, canvas.lit(land.sand, 0.05, land.glow))):
        line = relief.middle - lift * scene.sea
        canvas.polygon([*zip(XS, line, strict=True), (SIDE + 8, SIDE), (-8, SIDE)], colour)


def river_course(plan: Composition, relief: Relief) -> Callable[[float], tuple[float, float]]:
    """The river's middle and half its full width at a share of its way to the viewer."""
    rng = plan.rng("river")
    bends, phase = rng.uniform(0.9, 1.6), rng.uniform(0, 2 * np.pi)
    swing = rng.uniform(12, 24)

    def course(share: float) -> tuple[float, float]:
        x = plan.river_x + (plan.river_end - plan.river_x) * share**1.4
        x += swing * (0.25 + share) * np.sin(2 * np.pi * bends * share**0.7 + phase)
        return float(x), 2.0 + 17.0 * share**1.35

    return course


def paint_river(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """A river from the hills to the lower edge, as wide as its amount says."""
    if scene.river <= 0.01:
        return
    course = river_course(plan, relief)
    deep, far, glitter = water_colours(canvas, scene)
    land = land_of(snowed(scene, 0.8))
    top = relief.at("middle", course(0.0)[0]) + 1
    shares = np.linspace(0, 1, 26)
    ys = top + (SIDE + 2 - top) * shares**1.25
    bank = mix(canvas.lit(land.sand, 0.05, land.glow), canvas.lit(land.near, 0, land.glow), 0.35)
    for extra, upper, lower in ((1.4, bank, bank), (0.0, far, deep)):
        widths = [course(s)[1] * scene.river + extra * (0.5 + s) for s in shares]
        left = [(course(s)[0] - w, y) for s, w, y in zip(shares, widths, ys, strict=True)]
        right = [(course(s)[0] + w, y) for s, w, y in zip(shares, widths, ys, strict=True)]
        canvas.shaded([*left, *right[::-1]], upper, lower)
    for i, share in enumerate(np.linspace(0.25, 0.96, 9)):
        x, half = course(float(share))
        y = top + (SIDE - top) * share**1.25
        x += half * scene.river * (-0.4 if i % 2 else 0.3)
        reach = half * 0.4 * scene.river
        canvas.polygon([(x - reach, y), (x, y - 0.9), (x + reach, y), (x, y + 0.9)], glitter)


def paint_lake(canvas: Canvas, scene: Scene, plan: Composition) -> None:
    """A lake before the viewer, with reeds."""
    rng = plan.rng("lake")
    x, y = plan.lake_x, min(232.0, plan.horizon + 94)
    rx, ry = rng.uniform(54, 72), rng.uniform(15, 19)
    edge = 1 + 0.09 * np.sin(np.linspace(0, 4 * np.pi, 41)[:-1] + rng.uniform(0, 6))
    if scene.lake <= 0.01:
        return
    grow = 0.25 + 0.75 * scene.lake
    grow *= min(1.0, scene.lake * 6)
    turns = np.linspace(0, 2 * np.pi, 41)[:-1]
    deep, far, glitter = water_colours(canvas, scene)
    land = land_of(snowed(scene, 0.9))
    for scale, drop, top, low in (
        (1.05, 1.4, canvas.lit(land.sand, 0, land.glow), canvas.lit(land.sand, 0, land.glow)),
        (1.0, 0.0, far, deep),
    ):
        canvas.shaded(
            [
                (x + rx * scale * grow * e * np.cos(a), y + drop + ry * scale * grow * np.sin(a))
                for e, a in zip(edge, turns, strict=True)
            ],
            top,
            low,
        )
    for i in range(7):
        dx, dy = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.7)
        half = (7 + 6 * rng.random()) * grow
        at = (x + dx * rx * grow, y + dy * ry * grow)
        points = [(at[0] - half, at[1]), (at[0], at[1] - 0.9), (at[0] + half, at[1])]
        canvas.polygon([*points, (at[0], at[1] + 0.9)], mix(glitter, far, 0.2 * (i % 3)))
    _reeds(canvas, land, (x - rx * grow * 0.86, y + ry * grow * 0.52), rng, grow)
    _reeds(canvas, land, (x + rx * grow * 0.84, y + ry * grow * 0.56), rng, grow)


def _reeds(canvas: Canvas, land: Land, at: Point, rng: np.random.Generator, grow: float) -> None:
    stalk = canvas.dark(canvas.lit(mix(land.bush, (96, 140, 70), 0.5)), 0.1)
    for _ in range(6):
        dx, height, lean = rng.uniform(-9, 9), rng.uniform(11, 19) * grow, rng.uniform(-2.5, 2.5)
        x, y = at[0] + dx, at[1] + rng.uniform(-1, 2.5)
        canvas.polygon([(x - 0.7, y), (x + 0.7, y), (x + lean + 0.3, y - height)], stalk)
        top = (x + lean, y - height)
        canvas.ellipse(top[0], top[1], 1.15, 3.1 * grow, canvas.lit(WOOD_DARK))


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
    kinds, sizes = rng.random(len(spots)), rng.uniform(0.82, 1.2, len(spots))
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
    for x in np.linspace(4, 252, 19) + rng.uniform(-6, 6, 19):
        room = min(abs(x - plan.castle_x) - 46, abs(x - plan.town_x) - 44)
        down = rng.uniform(0, 13)
        if room > 0:
            spots.append(
                (x, relief.at("middle", x) + 3 + down, 17 + 0.5 * down, 0.2 - 0.008 * down)
            )
    near = []
    for i in range(9):
        x = float(rng.uniform(4, 78) if i % 2 else SIDE - rng.uniform(4, 78))
        foot = relief.at("near", x) + rng.uniform(4, 44)
        near.append((x, foot, 32 + 0.42 * (foot - plan.horizon - 66), 0.0))
    return [*sorted(spots, key=lambda s: s[1]), *sorted(near, key=lambda s: s[1])]


def paint_meadow(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Bushes, flowers, grass and, in the desert, cacti."""
    rng = plan.rng("meadow")
    land = land_of(snowed(scene, 0.9))
    tuft = canvas.dark(canvas.lit(land.near, 0, land.glow), 0.22)
    bright = canvas.lit(mix(land.flower, land.near, 0.6 * scene.snow), 0, land.glow)
    for _ in range(26):
        x = rng.uniform(0, SIDE)
        deep = rng.random()
        y = relief.at("near", x) + 6 + deep * (SIDE - relief.at("near", x))
        size = 3.4 + 3.4 * deep
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
        x = rng.uniform(0, SIDE)
        size = rng.uniform(5.5, 8.5)
        if i % 2:
            _bush(canvas, land, scene.snow, x, relief.at("near", x) + 2.5, size)
        elif i < 5:
            _cactus(canvas, land, x, relief.at("near", x) + rng.uniform(4, 20), 20 * scene.desert)


def paint_country(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """What stands about anyway: a lone tree, rocks, a fence, by the seed; in spring, blossom."""
    rng = plan.rng("country")
    land = land_of(snowed(scene, 0.8))
    fence, lone, rocks = rng.random(3)
    x, size = plan.ruins_x + rng.uniform(-20, 20), rng.uniform(34, 46)
    if fence < 0.5:
        _fence(canvas, relief, float(rng.uniform(-30, 150)), int(rng.integers(6, 10)))
    for i in range(3):
        at, big = rng.uniform(0, SIDE), rng.uniform(4, 9)
        if rocks < 0.6:
            _rock(canvas, scene, at, relief.at("near", at) + rng.uniform(2, 12) + 3 * i, big)
    if lone < 0.55 and scene.desert < 0.98:
        tall = size * (1 - scene.desert)
        paint_round_tree(canvas, land, scene.snow, x, relief.at("near", x) + 6, tall, 0.0)
    for i in range(5):
        at = plan.lake_x + (-1) ** i * (30 + 26 * (i // 2)) + rng.uniform(-9, 9)
        tall = rng.uniform(24, 38) * grown(scene.blossom, 0.12 * i, 0.12 * i + 0.5)
        if tall > 2:
            foot = relief.at("near", at) + 2 + 3 * i
            paint_round_tree(canvas, land, scene.snow, at, foot, tall, 0.0)


def _fence(canvas: Canvas, relief: Relief, start: float, posts: int) -> None:
    wood, gap = canvas.lit(WOOD, 0.06), 13.0
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
