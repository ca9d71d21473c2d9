"""Steps and what they say: against figures by hand, on planted faults and on films without any."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import dissolve, measured, moving_shape

from render.measurement.reading import SIDE
from render.measurement.steps import (
    distances,
    flashes,
    gini,
    largest_over_median,
    path_over_direct,
    repeated,
    snaps,
)

TIME = np.linspace(0, 1, 49)
EASINGS = {
    "linear": TIME,
    "smooth": TIME**2 * (3 - 2 * TIME),
    "in": TIME**2,
    "in cubed": TIME**3,
    "out": 1 - (1 - TIME) ** 2,
    "in and out": np.where(TIME < 0.5, 4 * TIME**3, 1 - 4 * (1 - TIME) ** 3),
    "exponential": (np.exp(5 * TIME) - 1) / (np.exp(5) - 1),
    "slow ramp": TIME / 50,
    "slow beginning": TIME**4,
    "wave": (1 - np.cos(4 * np.pi * TIME)) / 2,
}
FILMS = {"dissolve": dissolve, "moving shape": moving_shape}


def grey(values):
    """Small copies of one value each: their distances are the differences."""
    values = np.asarray(values, np.float32)
    return np.broadcast_to(values[:, None, None, None], (len(values), SIDE, SIDE, 3))


# --- by hand ---------------------------------------------------------------------------------


def test_a_distance_is_the_root_of_the_mean_squared_difference():
    small = grey([0.1, 0.4, 0.4])
    assert distances(small) == pytest.approx([0.3, 0.0])
    assert distances(small, 2) == pytest.approx([0.3])
    half = small[:2].copy()
    half[1, : SIDE // 2] = 0.1  # half of the picture does not change
    assert distances(half)[0] == pytest.approx(0.3 / 2**0.5)
    assert len(distances(small, 3)) == len(distances(small[:1])) == 0


def test_gini_of_a_few_steps():
    assert gini(np.array([2.0, 2, 2])) == pytest.approx(0)
    assert gini(np.array([0.0, 0, 0, 1])) == pytest.approx(0.75)
    assert gini(np.array([1.0, 2, 3])) == pytest.approx(2 / 9)
    assert gini(np.zeros(3)) == gini(np.zeros(0)) == 0


def test_largest_step_over_the_median_leaves_repeated_frames_out():
    assert largest_over_median(np.array([1.0, 2, 6])) == pytest.approx(3)
    assert largest_over_median(np.array([0, 0, 0, 1.0, 2, 6])) == pytest.approx(3)
    assert largest_over_median(np.zeros(4)) is None


def test_path_over_the_direct_distance():
    assert path_over_direct(grey([0, 0.1, 0.2])) == pytest.approx(1)
    assert path_over_direct(grey([0, 0.2, 0.1])) == pytest.approx(3)
    assert path_over_direct(grey([0.1, 0.2, 0.1])) is None  # back where it began


def test_a_flash_by_hand():
    steps, skips = np.array([1.0, 3, 3, 1, 1]), np.array([4.0, 1, 4, 2])
    assert flashes(steps, skips) == [2]
    assert flashes(steps, np.array([4.0, 3.6, 4, 2])) == []  # 3.6 is .6 of 6
    assert flashes(steps / 1e5, skips / 1e5) == []  # nobody sees it


def test_a_snap_by_hand():
    assert snaps(np.array([1.0, 1, 1, 5, 1, 1])) == [4]
    assert snaps(np.array([1.0, 1, 1, 3.9, 1, 1])) == []
    assert snaps(np.array([1.0, 1, 1, 1, 1, 1, 2, 3, 5, 3, 2, 1, 1])) == []  # faster for a while
    assert snaps(np.array([1.0, 1, 1, 5, 1, 1]) / 1e4) == []


# --- on films without faults -----------------------------------------------------------------


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("ease", EASINGS)
@pytest.mark.parametrize("every", [1, 4])
def test_a_smooth_film_has_no_faults(film, ease, every):
    found = measured(FILMS[film](EASINGS[ease][::every]))
    assert (found.flashes, found.snaps, found.cuts) == ((), (), ())
    assert found.doubled == ()


@pytest.mark.parametrize("ease", ["smooth", "in", "out", "in cubed", "in and out"])
def test_segments_of_their_own_easing_in_a_row_have_no_faults(ease):
    once = EASINGS[ease][::4]
    weights = np.concatenate([once, 1 + once[1:], 2 + once[1:]]) / 3
    found = measured(dissolve(weights), keyframes=(0, 12, 24, 36))
    assert (found.flashes, found.snaps, found.doubled) == ((), (), ())


def test_an_even_film_has_the_best_figures():
    found = measured(dissolve(TIME))
    assert found.gini == pytest.approx(0, abs=1e-3)
    assert found.largest_over_median == pytest.approx(1, abs=1e-3)
    assert found.path == pytest.approx(1, abs=1e-3)


# --- planted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("place", [1, 2, 20, 47, 48])
@pytest.mark.parametrize("ease", ["linear", "smooth"])
def test_a_planted_jump_is_found(film, place, ease):
    weights = 0.6 * EASINGS[ease]
    weights[place:] += 0.4
    found = measured(FILMS[film](weights))
    assert (found.snaps, found.flashes) == ((place,), ())


def test_several_planted_jumps_are_found():
    for places in ([10, 12], [10, 11], [5, 20, 35]):
        weights = 0.4 * TIME
        for place in places:
            weights[place:] += 0.2
        assert measured(dissolve(weights)).snaps == tuple(places)


def test_a_step_function_is_one_jump_and_else_repeats():
    found = measured(dissolve(np.where(TIME < 0.5, 0.0, 1.0)))
    assert found.snaps == (24,)
    assert found.doubled == tuple(frame for frame in range(1, 49) if frame != 24)


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("place", [1, 9, 30, 47])
def test_a_planted_flash_is_found_and_is_no_snap(film, place):
    weights = 0.8 * TIME + 0.1
    weights[place] += 0.15
    found = measured(FILMS[film](weights))
    assert (found.flashes, found.snaps) == ((place,), ())


def test_neighbouring_flashes_are_each_found():
    weights = 0.8 * TIME
    weights[[20, 22, 24]] += 0.15
    assert set(measured(dissolve(weights)).flashes) >= {20, 22, 24}


@pytest.mark.parametrize("ease", ["linear", "smooth"])
@pytest.mark.parametrize("noise", [0.0, 2e-5])
def test_planted_doubles_are_found(ease, noise):
    order = np.arange(49)
    for place in (10, 11, 30):
        order[place:] -= 1
    small = dissolve(EASINGS[ease])[order]
    small = small + np.random.default_rng(1).normal(0, noise, small.shape)
    found = measured(small.astype(np.float32))
    assert found.doubled == (10, 11, 30)
    assert (found.flashes, found.snaps) == ((), ())


def test_a_film_of_doubled_frames_has_no_snaps():
    found = measured(np.repeat(dissolve(TIME), 2, axis=0))
    assert found.snaps == ()
    assert found.doubled == tuple(range(1, 98, 2))
    assert found.largest_over_median == pytest.approx(1, abs=1e-3)


def test_runs_at_either_end_are_repeated():
    assert repeated(np.array([0.0, 0, 1, 1, 0])) == [1, 2, 5]
    assert repeated(np.zeros(2)) == [1, 2]
    assert repeated(np.full(5, 1e-5)) == []  # a slow film, but nothing in it repeats
