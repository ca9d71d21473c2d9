"""Figures of a whole film: segments between keyframes, cuts, holds, loops, sharpness and mixes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic import dissolve, ends, measured, read_all

from render.measurement.between import against_ends, double_exposure
from render.measurement.figures import Known, figures
from render.measurement.reading import SIDE, Readings, coverage, read_pixels

TIME = np.linspace(0, 1, 25)


def picture(height, width, seed=1):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width, 3), dtype=np.uint8)


# --- a picture -------------------------------------------------------------------------------


def test_a_small_copy_has_the_means_of_areas_in_linear_light():
    striped = np.zeros((64, 96, 3), np.uint8)
    striped[::2] = 255  # each area is half black and half white, whatever sRGB's middle is
    assert read_pixels(striped).small == pytest.approx(0.5)
    grey = np.full((64, 64, 3), 188, np.uint8)
    assert read_pixels(grey).small == pytest.approx(0.503, abs=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (50, 64), (8, 8), (1, 1), (100, 31)])
def test_a_picture_of_any_size_keeps_its_mean(size):
    pixels = picture(*size)
    small = read_pixels(pixels).small
    assert small.shape == (SIDE, SIDE, 3)
    value = pixels / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    assert small.mean((0, 1)) == pytest.approx(linear.mean((0, 1)), rel=1e-4)


def test_areas_cover_a_picture_evenly():
    for length in (1, 31, 33, 100):
        assert coverage(length).sum(1) == pytest.approx(1)
        assert coverage(length).sum(0) == pytest.approx(SIDE / length)


def test_sharpness_and_contrast_by_hand():
    flat = np.full((16, 16, 3), 90, np.uint8)
    assert (read_pixels(flat).sharpness, read_pixels(flat).contrast) == (0, 0)
    board = np.zeros((16, 16, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    assert read_pixels(board).contrast == pytest.approx(0.5)
    assert read_pixels(board).sharpness == pytest.approx(16)  # the Laplacian is 4 or -4
    assert read_pixels(board[:2]).sharpness == 0  # without an inside


# --- a film ----------------------------------------------------------------------------------


def test_a_film_of_one_frame_has_no_steps():
    with pytest.raises(ValueError, match="two"):
        measured(dissolve([0.5]))


def test_segments_lie_between_keyframes():
    weights = np.concatenate([TIME, 1 - TIME[1:]])
    found = measured(dissolve(weights), keyframes=(0, 24, 48))
    assert [(part.first, part.last) for part in found.segments] == [(0, 24), (24, 48)]
    assert [part.path for part in found.segments] == pytest.approx([1, 1], abs=1e-3)
    assert found.path is None
    assert found.largest_path == pytest.approx(1, abs=1e-3)
    whole = measured(dissolve(weights))
    assert [(part.first, part.last) for part in whole.segments] == [(0, 48)]


def test_a_keyframe_outside_of_the_film_is_none():
    found = measured(dissolve(TIME), keyframes=(-3, 12, 25, 400))
    assert found.keyframes == (0, 12, 24)


def test_a_cut_and_a_rest_that_the_timeline_asks_for_are_no_faults():
    weights = np.concatenate([TIME, np.ones(12), np.zeros(1), TIME[1:]])
    same = [f"{weight:.6f}" for weight in weights]
    found = measured(dissolve(weights), keyframes=(0, 24, 37), same=same)
    assert (found.cuts, found.snaps, found.flashes, found.doubled) == ((37,), (), (), ())
    assert found.held == tuple(range(25, 37))
    assert found.gini == pytest.approx(0, abs=1e-3)
    unasked = measured(dissolve(weights))
    assert (unasked.cuts, unasked.snaps) == ((), (37,))
    assert unasked.doubled == tuple(range(25, 37))


def test_a_rest_without_a_cut_is_none():
    weights = np.concatenate([TIME, np.ones(12), 1 - TIME[1:]])
    same = [f"{weight:.6f}" for weight in weights]
    assert measured(dissolve(weights), keyframes=(0, 24, 36), same=same).cuts == ()


def test_a_loop_is_measured_over_its_joint():
    weights = np.concatenate([TIME, 1 - TIME[1:-1]])
    found = measured(dissolve(weights), keyframes=(0, 24), loop=True)
    assert len(found.steps) == found.frames == 48
    assert [(part.first, part.last) for part in found.segments] == [(0, 24), (24, 48)]
    assert (found.snaps, found.keyframes) == ((), (0, 24))
    jump = measured(dissolve(TIME * 0.9), loop=True)
    assert jump.snaps == (25,)  # from the last frame to the first


def test_sharpness_and_contrast_are_held_against_those_of_the_ends():
    assert against_ends(np.array([1.0, 1.0, 3.0])) == (pytest.approx(0.5), 1)
    assert against_ends(np.array([1.0, 1.5, 1.0, 2.5])) == (pytest.approx(0.5), 2)
    assert against_ends(np.array([1.0, 3.0])) is None
    assert against_ends(np.zeros(5)) is None
    small = dissolve(np.linspace(0, 1, 7))
    contrast = np.array([1.0, 1, 1, 1, 1, 0.4, 1])
    found = figures(Readings(small, np.ones(7), contrast), Known((0, 3, 6)))
    assert [part.contrast for part in found.segments] == [(1, 1), (pytest.approx(0.4), 5)]


def test_a_dissolve_is_a_double_exposure_and_a_moving_edge_is_none():
    first, last = (picture(32, 32, seed).repeat(8, 0).repeat(8, 1) for seed in (1, 2))
    mixed = [np.uint8(np.round((1 - part) * first + part * last)) for part in TIME]
    assert double_exposure(read_all(mixed).small) > 0.9
    wiped = [first.copy() for _ in TIME]
    for place, frame in enumerate(wiped):
        frame[: round(256 * TIME[place])] = last[: round(256 * TIME[place])]
    assert double_exposure(read_all(wiped).small) < 0.2
    assert double_exposure(dissolve(TIME)) is not None
    same, _ = ends()
    assert double_exposure(np.array([same, same, same])) is None
    assert double_exposure(dissolve([0, 1])) is None


def test_figures_are_data_and_the_same_again():
    found = measured(dissolve(TIME**2), keyframes=(12,))
    assert found == measured(dissolve(TIME**2), keyframes=(12,))
    data = found.as_data()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["version"] == 1
    assert len(data["steps"]) == 24
    assert {"gini", "largest_over_median", "path", "flashes", "snaps", "segments"} <= set(data)
