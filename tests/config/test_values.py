"""Single values: what people write comes out exactly, or one line says what is wrong with it."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from render.config.values import (
    MAX_SEED,
    easing,
    exact,
    nearest,
    number,
    seeds,
    texts,
    weights,
)

quick = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (3, Fraction(3)),
        (0.1, Fraction(1, 10)),
        ("0.1", Fraction(1, 10)),
        ("30000/1001", Fraction(30000, 1001)),
        (23.976, Fraction(2997, 125)),
        (1e-3, Fraction(1, 1000)),
    ],
)
def test_a_number_is_the_rational_that_was_written(written, meant):
    assert exact(written) == meant


# 1e99999999 as a rational takes a hundred million digits; it has to be refused unbuilt.
@pytest.mark.parametrize(
    "written",
    [True, None, "", "fast", math.nan, math.inf, "1/0", "1e99999999", "1e-99999999", 10**400],
)
def test_what_is_no_finite_number_is_refused(written):
    with pytest.raises(PydanticCustomError, match="number"):
        exact(written)


@pytest.mark.parametrize("written", ["7", True, None, 10**400, [1]])
def test_a_float_is_not_guessed_from_text(written):
    with pytest.raises(PydanticCustomError, match="number"):
        number(written)


def test_a_prompt_is_one_text_or_texts_with_weights():
    assert texts("A castle") == {"A castle": 1.0}
    assert texts({"A castle": 3, "A forest": 0.5}) == {"A castle": 3.0, "A forest": 0.5}


@pytest.mark.parametrize("written", [True, False, {False: 1.0}])
def test_unquoted_yes_and_no_are_to_be_quoted(written):
    with pytest.raises(PydanticCustomError, match="put it in quotes"):
        texts(written)


@pytest.mark.parametrize("written", [3, {3: 1.0}])
def test_what_is_no_text_is_reported(written):
    with pytest.raises(PydanticCustomError, match="is not a text"):
        texts(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "no text"),
        ({"a": 0, "b": 0.0}, "all zero"),
        ({"a": -1, "b": 2}, "not negative"),
        ({"a": math.nan}, "finite"),
        ({"a": math.inf}, "finite"),
        ({"a": 1e308, "b": 1e308}, "at most"),
        ({"a": None}, "not a number"),
        ({"a": "0.5"}, "not a number"),
    ],
)
def test_weights_that_mean_nothing_are_refused(written, said):
    with pytest.raises(PydanticCustomError, match=said):
        texts(written)


def test_a_seed_may_be_a_mix_and_its_key_quoted():
    assert seeds(7) == {7: 1.0}
    assert seeds({2: 0.5, "7": 0.5}) == {2: 0.5, 7: 0.5}
    assert seeds(MAX_SEED) == {MAX_SEED: 1.0}


@pytest.mark.parametrize("written", [-1, 1.5, True, None, "seven", MAX_SEED + 1, {-1: 1.0}, [1]])
def test_what_torch_takes_for_no_seed_is_refused(written):
    with pytest.raises(PydanticCustomError, match="seed"):
        seeds(written)


def test_one_seed_written_twice_is_not_lost_silently():
    with pytest.raises(PydanticCustomError, match="twice"):
        seeds({1: 0.5, "1": 0.5})


def test_easings_by_name_or_as_css_writes_them():
    assert easing("smooth") == "smooth"
    assert easing([0.25, 0.1, 0.25, 1]) == (0.25, 0.1, 0.25, 1.0)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("smoth", "did you mean 'smooth'"),
        ("wobbly", "known: linear"),
        ([0, 0, 1], "four numbers"),
        ([0, 0, 1.5, 1], "between 0 and 1"),
        ([math.nan, 0, 1, 1], "finite"),
        ([0, math.nan, 1, 1], "finite"),
        ([0, 0, 1, math.inf], "finite"),
        (3, "four numbers"),
    ],
)
def test_easings_that_are_none(written, said):
    with pytest.raises(PydanticCustomError, match=said):
        easing(written)


def test_the_nearest_name_or_all_of_them():
    assert nearest("gudance", ["guidance", "seed"]) == "; did you mean 'guidance'?"
    assert nearest("Seed", ["need", "seed"]) == "; did you mean 'seed'?"
    assert nearest("s.yaml", ["S.yaml", "z.yaml"]) == "; did you mean 'S.yaml'?"
    assert nearest("sd16", ["sd14", "sd15", "sd21"]) == "; did you mean 'sd15'?"
    assert nearest("xyz", ["guidance", "seed"]) == "; known: guidance, seed"


def test_a_long_value_is_not_repeated_whole():
    with pytest.raises(PydanticCustomError) as error:
        texts(["a castle"] * 10_000)
    assert len(str(error.value)) < 200


@quick
@given(st.dictionaries(st.text(max_size=3), st.floats() | st.integers(), max_size=4))
def test_weights_are_refused_or_can_be_divided_by_their_sum(given_weights):
    try:
        checked = weights(given_weights)
    except PydanticCustomError:
        return
    total = math.fsum(checked.values())
    assert math.isclose(math.fsum(w / total for w in checked.values()), 1)
