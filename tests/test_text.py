"""Numbers and other people's text as one reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from render.text import (
    cut_where_alike,
    differing,
    duration,
    one_line,
    plural,
    shared_letters,
    shortened,
    size,
    speed,
)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0.0 s"),
        (7.24, "7.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_durations(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (412_000_000, "412.0 MB"),
        (2.5e15, "2.5 PB"),
    ],
)
def test_sizes(count: float, written: str) -> None:
    assert size(count) == written


def test_speeds() -> None:
    assert speed(13.04) == "13.0 frames/s"
    assert speed(0.25) == "4.0 s/frame"


def test_plurals() -> None:
    assert [plural(count, "row") for count in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]


def test_text_is_one_line_without_control_characters() -> None:
    assert one_line(" a\n\tb \x1b[31mred\x07 中 é ") == "a b \ufffd[31mred\ufffd 中 é"


def test_shortened_text_says_so() -> None:
    assert shortened("a castle", 8) == "a castle"
    assert shortened("a castle on a hill", 10) == "a castle…"


ALIKE = "A fantasy landscape with a small town at the foot of a hill in the"


@pytest.mark.parametrize(
    ("texts", "most", "shown"),
    [
        ((f"{ALIKE} morning", f"{ALIKE} evening"), 40, "A fantasy lan… hill in the {}"),
        ((f"{ALIKE} morning {ALIKE}", f"{ALIKE} evening {ALIKE}"), 30, "A fantasy… {} A fantasy…"),
        ((f"morning {ALIKE}", f"evening {ALIKE}"), 18, "{} A fantasy…"),
        (("morning", "evening"), 20, "{}"),
    ],
)
def test_texts_are_cut_where_they_are_alike(texts, most, shown):
    places = differing([*texts, "A castle", "Z"])
    assert [cut_where_alike(text, places[text], most) for text in texts] == [
        shown.format("morning"),
        shown.format("evening"),
    ]


@given(st.lists(st.text("ab ", max_size=90), min_size=1), st.integers(12, 60))
def test_a_cut_text_is_never_longer(texts, most):
    for text, place in differing(texts).items():
        assert len(cut_where_alike(text, place, most)) <= most
        others = [other for other in texts if other != text]
        shared = max((shared_letters(text, other) for other in others), default=0)
        assert place == shared
