"""Which cases of a long list are in the short form of the tests; the others are marked slow."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest


def some(cases: Sequence[Any], every: int) -> list[Any]:
    """The first case and each so many after it; all others are slow."""
    return marked(cases, range(0, len(cases), every))


def pairs(one: Collection[Any], other: Collection[Any]) -> list[Any]:
    """All pairs of two lists: each member of both is in some pair, the other pairs are slow."""
    many = max(len(one), len(other))
    kept = {(k % len(one)) * len(other) + k % len(other) for k in range(many)}
    return marked([(a, b) for a in one for b in other], kept)


def marked(cases: Sequence[Any], kept: Collection[int]) -> list[Any]:
    """The cases, of which those at other places than these are slow."""
    marks = [() if place in kept else (pytest.mark.slow,) for place in range(len(cases))]
    given = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*case, marks=mark) for case, mark in zip(given, marks, strict=True)]
