"""Times as people write them, and the rates of NTSC."""

import math
from fractions import Fraction

import pytest
from pydantic_core import PydanticCustomError

from render.config.moments import Moment, Timecode, moment, rate


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1.5, Moment(seconds=Fraction(3, 2))),
        ("1.5", Moment(seconds=Fraction(3, 2))),
        ("36f", Moment(frames=Fraction(36))),
        (" 36 f ", Moment(frames=Fraction(36))),
        ("0f", Moment(frames=Fraction(0))),
        ("1:05.5", Moment(seconds=Fraction(131, 2))),
        ("90:00", Moment(seconds=Fraction(5400))),
        ("1:02:03.25", Moment(seconds=Fraction(3723) + Fraction(1, 4))),
        ("00:01:05:12", Moment(timecode=Timecode(65, 12))),
        ("01:00:00;02", Moment(timecode=Timecode(3600, 2, drop=True))),
        ("beat 16", Moment(beat=Fraction(16))),
        ("Beat 16.5", Moment(beat=Fraction(33, 2))),
        ("beat 7/3", Moment(beat=Fraction(7, 3))),
        ("bar 8.3", Moment(bar=(8, 3))),
        ("bar 8", Moment(bar=(8, 1))),
        ("bar 8.10", Moment(bar=(8, 10))),
    ],
)
def test_times_are_what_people_mean(written, meant):
    assert moment(written) == meant


@pytest.mark.parametrize(
    "written", ["soon", "f", "inf", math.nan, math.inf, False, [1], "1:2:3:4:5", "beat", "bar x"]
)
def test_what_is_no_time_says_how_to_write_one(written):
    with pytest.raises(PydanticCustomError, match=r'write seconds \(1\.5\), frames \("36f"\)'):
        moment(written)


@pytest.mark.parametrize("written", [-1, -0.5, "-3f"])
def test_time_begins_at_zero(written):
    with pytest.raises(PydanticCustomError, match="negative"):
        moment(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1:75", "75 seconds in a minute of 60"),
        ("1:60:00", "60 where a clock ends at 59"),
        ("00:75:00:00", "75 where a clock ends at 59"),
        ("bar 0", "count from 1"),
        ("bar 3.0", "count from 1"),
        ("beat 0.5", "beats count from 1"),
        ("beat soon", "is no beat"),
        ("beat 1e99999999", "is no beat"),
    ],
)
def test_clocks_and_beats_end_somewhere(written, said):
    with pytest.raises(PydanticCustomError, match=said):
        moment(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (23.976, Fraction(24_000, 1001)),
        ("23.98", Fraction(24_000, 1001)),
        ("29.97", Fraction(30_000, 1001)),
        (59.94, Fraction(60_000, 1001)),
        ("30000/1001", Fraction(30_000, 1001)),
        (24, Fraction(24)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_rates_are_what_they_are_called(written, meant):
    assert rate(written) == meant
