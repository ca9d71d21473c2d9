"""Easing: how progress through a segment (0 to 1) becomes the weight of its end (0 to 1).

Those of easings.net have its names and formulas. Back and elastic ones go beyond the ends there;
no picture has a weight below 0, so here they stay at the end meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Bezier = tuple[float, float, float, float]
Curve = Callable[[float], float]

BACK = 1.70158  # goes 10 % beyond
BACK_IN_OUT = BACK * 1.525
BOUNCE, BOUNCE_WIDTH = 7.5625, 2.75


def expo(p: float) -> float:
    """easeInExpo."""
    return 2 ** (10 * p - 10) if p > 0 else 0.0


def elastic(p: float) -> float:
    """easeInElastic."""
    return -(2 ** (10 * p - 10)) * math.sin((10 * p - 10.75) * 2 * math.pi / 3) if p > 0 else 0.0


def elastic_in_out(p: float) -> float:
    """easeInOutElastic, whose waves are wider than those of the one-sided ones."""
    wave = math.sin((20 * p - 11.125) * 2 * math.pi / 4.5)
    if p < 0.5:
        return -(2 ** (20 * p - 10)) * wave / 2 if p > 0 else 0.0
    return 2 ** (-20 * p + 10) * wave / 2 + 1 if p < 1 else 1.0


def back_in_out(p: float) -> float:
    """easeInOutBack, which goes farther beyond than the one-sided ones."""
    beyond = BACK_IN_OUT
    if p < 0.5:
        return (2 * p) ** 2 * ((beyond + 1) * 2 * p - beyond) / 2
    return ((2 * p - 2) ** 2 * ((beyond + 1) * (2 * p - 2) + beyond) + 2) / 2


HITS = ((1.0, 0.0, 0.0), (2.0, 1.5, 0.75), (2.5, 2.25, 0.9375), (2.75, 2.625, 0.984375))
"""Bounces: (until when, its middle, its least height); times in parts of 2.75."""


def bounce(p: float) -> float:
    """easeInBounce."""
    time = (1 - p) * BOUNCE_WIDTH
    middle, height = next((m, h) for until, m, h in HITS if time <= until)
    return 1 - (BOUNCE * ((time - middle) / BOUNCE_WIDTH) ** 2 + height)


INWARD: dict[str, Curve] = {
    "Sine": lambda p: 1 - math.cos(p * math.pi / 2),
    "Quad": lambda p: p**2,
    "Cubic": lambda p: p**3,
    "Quart": lambda p: p**4,
    "Quint": lambda p: p**5,
    "Expo": expo,
    "Circ": lambda p: 1 - math.sqrt(1 - p * p),
    "Back": lambda p: (BACK + 1) * p**3 - BACK * p**2,
    "Elastic": elastic,
    "Bounce": bounce,
}


def outward(curve: Curve) -> Curve:
    """The curve that is fast first, from one that is slow first."""
    return lambda p: 1 - curve(1 - p)


def both_ways(curve: Curve) -> Curve:
    """The curve that is slow first and last."""
    return lambda p: curve(2 * p) / 2 if p < 0.5 else 1 - curve(2 - 2 * p) / 2


def of_easings_net() -> dict[str, Curve]:
    """Its thirty curves by name."""
    own = {"Back": back_in_out, "Elastic": elastic_in_out}
    found: dict[str, Curve] = {}
    for shape, curve in INWARD.items():
        found[f"easeIn{shape}"] = curve
        found[f"easeOut{shape}"] = outward(curve)
        found[f"easeInOut{shape}"] = own.get(shape) or both_ways(curve)
    return found


OF_CSS: dict[str, Bezier] = {
    "ease": (0.25, 0.1, 0.25, 1.0),
    "ease-in": (0.42, 0.0, 1.0, 1.0),
    "ease-out": (0.0, 0.0, 0.58, 1.0),
    "ease-in-out": (0.42, 0.0, 0.58, 1.0),
}
NAMED: dict[str, Curve] = {
    "linear": lambda p: p,
    "smooth": lambda p: p * p * (3 - 2 * p),
    "in": lambda p: p * p,
    "out": lambda p: p * (2 - p),
    "hold": lambda p: 0.0,
    **of_easings_net(),
}


def eased(shape: str | Bezier, progress: float) -> float:
    """The weight of a segment's end at `progress`; exactly 0 at 0 and (`hold` aside) 1 at 1."""
    handles = OF_CSS.get(shape) if isinstance(shape, str) else shape
    if handles is not None:
        return cubic_bezier(handles, progress)
    if shape != "hold" and (progress <= 0 or progress >= 1):
        return min(max(progress, 0.0), 1.0)
    return min(max(NAMED[str(shape)](progress), 0.0), 1.0)


def cubic_bezier(handles: Bezier, x: float) -> float:
    """CSS's `cubic-bezier(x1, y1, x2, y2)` at x, clipped to 0..1 (weights are never negative).

    x is monotone in the curve's parameter because x1 and x2 lie in 0..1, so bisection finds it;
    52 halvings use up a double's mantissa.
    """
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    x1, y1, x2, y2 = handles
    low, high = 0.0, 1.0
    for _ in range(52):
        middle = (low + high) / 2
        low, high = (middle, high) if coordinate(x1, x2, middle) < x else (low, middle)
    return min(max(coordinate(y1, y2, (low + high) / 2), 0.0), 1.0)


def coordinate(first: float, second: float, s: float) -> float:
    """One coordinate of the cubic Bezier with end points 0 and 1 at parameter s."""
    return 3 * (1 - s) * (1 - s) * s * first + 3 * (1 - s) * s * s * second + s * s * s
