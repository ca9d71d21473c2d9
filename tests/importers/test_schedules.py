"""Deforum's schedules: linear between numbers, expressions from their key to the next."""

import math

import pytest

from render.importers.schedules import as_points, read_schedule

NAMES = {"max_f": 119.0, "s": 5.0}


def test_numbers_are_linear_between_keys_and_stay_after_the_last():
    schedule = read_schedule("0: (4), 20:(8), 40: (8)", 120, NAMES)
    assert [schedule.number_at(frame) for frame in (0, 5, 10, 20, 30, 119)] == [4, 5, 6, 8, 8, 8]
    assert schedule.value() == {
        "points": [
            {"at": 0, "value": 4},
            {"at": "20f", "value": 8},
            {"at": "40f", "value": 8},
        ]
    }


def test_one_number_is_a_number():
    assert read_schedule("0: (7.5)", 120, NAMES).value() == 7.5
    assert read_schedule("30: (7)", 120, NAMES).value() == 7


def test_an_expression_counts_until_the_next_key_and_numbers_lead_to_its_value_there():
    schedule = read_schedule("0:(7), 50:(7+2*sin(t/10)), 80:(3)", 120, NAMES)
    at_50 = 7 + 2 * math.sin(5)
    assert schedule.number_at(25) == pytest.approx((7 + at_50) / 2)
    assert schedule.number_at(79) == pytest.approx(7 + 2 * math.sin(7.9))
    assert schedule.number_at(80) == 3
    assert schedule.value() == (
        "where(frame < 50, lerp(7, 5.082151451, frame / 50), "
        "where(frame < 80, 7 + 2 * sin(frame / 10), 3))"
    )


def test_keys_of_arithmetic_and_names():
    schedule = read_schedule('0:(s), 1:(-1), "max_f-2":(s+max_f), "max_f-1":(s)', 120, NAMES)
    assert schedule.number_at(0) == 5
    assert schedule.number_at(1) == -1
    assert schedule.number_at(117) == 124
    assert schedule.number_at(119) == 5


def test_an_expression_that_is_too_long_for_a_timeline_becomes_points():
    assert read_schedule("0:(exp(t/10))", 4, NAMES).value() == "exp(frame / 10)"
    long = "+".join(["exp(t/10)"] * 150)
    value = read_schedule(f"0:({long})", 4, NAMES).value()
    assert [point["value"] for point in value["points"]] == pytest.approx(
        [150 * math.exp(frame / 10) for frame in range(4)], rel=1e-9
    )


def test_keys_beyond_the_film_count_for_nothing():
    assert read_schedule("0:(4), 200:(8)", 120, NAMES).value() == 4


def test_commas_in_a_function_part_no_keys():
    assert read_schedule("0:(where(t<5,1,2)), 9:(3)", 20, NAMES).number_at(6) == 2


def test_a_thousand_frames_are_as_few_points_as_they_have_turns():
    numbers = [min(frame, 400) / 100 for frame in range(1000)]
    assert as_points(range(1000), numbers) == {
        "points": [
            {"at": 0, "value": 0},
            {"at": "400f", "value": 4},
            {"at": "999f", "value": 4},
        ]
    }


@pytest.mark.parametrize("text", ["", "7", "0:", "0:(", "x:(1)", "0:(y)", "500:(1)", "0:(1/0)"])
def test_broken_schedules(text):
    with pytest.raises(ValueError, match=r"\w"):
        read_schedule(text, 120, NAMES).value()
