"""Numbers and other people's text as one reads them."""

from __future__ import annotations

import pytest

from render.words import duration, one_line, plural, shortened, size, speed


@pytest.mark.parametrize(
    ("seconds", "told"),
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
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (412_000_000, "412.0 MB"),
        (2.5e15, "2,500.0 TB"),
    ],
)
def test_sizes(count: float, told: str) -> None:
    assert size(count) == told


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
