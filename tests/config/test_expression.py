"""Expressions: what they compute, and that they can do nothing else."""

import itertools
import math
import time

import pytest
from pydantic_core import PydanticCustomError

from render.config.expression import MOST_LETTERS, expression


def value(written, **names):
    return expression(written).at(names)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("2 ** -1", 0.5),
        ("7 % 3", 1),
        ("-1 % 3", 2),
        ("6 ÷ 4 − 1", 0.5),
        ("2 × 3", 6),
        ("10 - 2 - 3", 5),
        ("- - 3", 3),
        (".5 + 1.", 1.5),
        ("1e-2", 0.01),
        ("min(3, 1, 2) + max(3, 1, 2)", 4),
        ("abs(-3) + sqrt(16) + floor(-1.5)", 5),
        ("clip(5, 0, 1) + clip(-5, 0, 1)", 1),
        ("lerp(2, 4, 0.25)", 2.5),
        ("where(2 > 1, 5, 6) + where(1 >= 2, 5, 6)", 11),
        ("(1 < 2) + (2 <= 2) + (2 == 2) + (2 != 2)", 3),
        ("sin(pi / 2) + cos(0) + tan(0)", 2),
    ],
)
def test_what_it_computes(written, wanted):
    assert value(written) == pytest.approx(wanted)


def test_names_have_the_values_of_the_moment():
    assert value("2 * t + frame % 4 + low", t=3.0, frame=10.0, low=0.5) == 8.5
    assert expression("beat + bar * beat + drums.low").uses == ("beat", "bar", "drums.low")


def test_noise_is_smooth_and_the_same_everywhere():
    places = [k / 50 for k in range(500)]
    values = [value("noise(3)", t=place) for place in places]
    assert values == [value("noise(3, t)", t=place) for place in places]
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) < 0.07
    assert -1 <= min(values) < -0.3 < 0.3 < max(values) <= 1
    assert [round(value(f"noise({seed})", t=2.0), 6) for seed in (1, 2)] == [-0.993634, 0.656921]
    assert value("noise(3)", t=2.5) != value("noise(4)", t=2.5)


@pytest.mark.parametrize(
    "written",
    ["1 / 0", "1 % 0", "sqrt(-1)", "0 ^ -1", "(-1) ^ 0.5", "10 ^ 10 ^ 10", "sin(1e308 * 10)"],
)
def test_a_number_that_is_none_is_no_error(written):
    assert math.isnan(value(written))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "its end is missing"),
        ("1 +", "its end is missing"),
        ("(1", "its end is missing"),
        ("1 2", "'2' is not expected"),
        ("1)", "')' is not expected"),
        ("* 2", "'*' is not expected"),
        ("1 < 2 < 3", "'<' is not expected"),
        ("sin 3", "'3' is not expected"),
        ("sni(3)", "did you mean 'sin'"),
        ("clip(1)", "clip takes 3 numbers"),
        ("min()", "is not expected"),
        ("a ; b", "can't be read"),
        ("__import__('os').system('true')", "can't be read"),
        ("t.__class__.__mro__", "can't be read"),
        ("[1]", "can't be read"),
        ("lambda: 1", "can't be read"),
        ("'a' * 9", "can't be read"),
        ("0x10", "is not expected"),
        ("١ + ١", "can't be read"),
        ("{t}", "can't be read"),
    ],
)
def test_a_mistake_says_what_can_not_be_read(written, said):
    with pytest.raises(PydanticCustomError) as error:
        expression(written)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "written",
    [
        "(" * 100_000,
        "-" * 100_000,
        "(" * 400 + "1" + ")" * 400,
        "-" * 500 + "1",
        "2 ^ " * 200 + "2",
        "1 + " * 240 + "1",
        "sin(" * 200 + "1" + ")" * 200,
        "9" * 100_000,
    ],
)
def test_hostile_expressions_end_at_once(written):
    begin = time.process_time()
    with pytest.raises(PydanticCustomError):
        expression(written)
    assert time.process_time() - begin < 2


def test_the_longest_ones_are_computed():
    written = " + ".join(["sin(t * 3.25)"] * 60)
    assert len(written) < MOST_LETTERS
    assert value(written, t=1.0) == pytest.approx(60 * math.sin(3.25))
