"""Easing: how progress through a segment (0 to 1) becomes the weight of its end (0 to 1)."""

from __future__ import annotations

from collections.abc import Callable

Bezier = tuple[float, float, float, float]

NAMED: dict[str, Callable[[float], float]] = {
    "linear": lambda p: p,
    "smooth": lambda p: p * p * (3 - 2 * p),
    "in": lambda p: p * p,
    "out": lambda p: p * (2 - p),
    "hold": lambda p: 0.0,
}


def eased(shape: str | Bezier, progress: float) -> float:
    """The weight of a segment's end at `progress`; exactly 0 at 0 and (`hold` aside) 1 at 1."""
    if isinstance(shape, str):
        return NAMED[shape](progress)
    return cubic_bezier(shape, progress)


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
