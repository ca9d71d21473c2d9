"""Mountains: alpine, one great one, rounded, or far; mesas in the desert."""

from dataclasses import dataclass

import numpy as np

from training.storybook.canvas import SIDE, Canvas, Point
from training.storybook.composition import Composition, Curve, grown, snowed
from training.storybook.palette import (
    SNOW,
    Colour,
    Land,
    land_of,
    mix,
)
from training.storybook.scene import Scene


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
        heights *= 1 - 0.9 * grown(scene.sprawl, 0.5, 0.96)  # a cityscape hides the land
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
