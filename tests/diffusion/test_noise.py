"""Noise between seeds: what a model must get to paint a picture, whatever the weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from render.diffusion.noise import (
    brownian,
    check_std,
    draw,
    merged,
    slerp,
    starting_noise,
    step_generator,
)
from render.errors import RenderError

SHAPE = (4, 64, 64)
SEEDS = st.integers(0, 2**63 - 1)


def test_one_seed_is_the_draw_of_a_generator_of_its_own():
    alone = torch.randn(SHAPE, generator=torch.Generator("cpu").manual_seed(7))
    assert torch.equal(starting_noise([(7, 1.0)], SHAPE), alone)


def test_noise_is_float32_on_the_cpu_whatever_the_default(monkeypatch):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        noise = starting_noise([(7, 1.0)], SHAPE)
    finally:
        torch.set_default_dtype(before)
    assert (noise.dtype, noise.device.type) == (torch.float32, "cpu")
    assert torch.equal(noise, starting_noise([(7, 1.0)], SHAPE))


def test_ends_of_a_walk_are_the_seeds_themselves():
    assert torch.equal(starting_noise([(1, 1.0), (2, 0.0)], SHAPE), draw(1, SHAPE)[0])
    assert torch.equal(starting_noise([(1, 0.0), (2, 1.0)], SHAPE), draw(2, SHAPE)[0])


def test_equal_seeds_are_merged():
    assert torch.equal(starting_noise([(5, 0.3), (5, 0.7)], SHAPE), draw(5, SHAPE)[0])
    twice = starting_noise([(5, 0.25), (6, 0.5), (5, 0.25)], SHAPE)
    assert torch.equal(twice, starting_noise([(5, 0.5), (6, 0.5)], SHAPE))


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS, st.floats(0, 1))
def test_a_walk_between_two_seeds_keeps_the_standard_deviation(a, b, t):
    noise = starting_noise([(a, 1 - t), (b, t)], SHAPE)
    assert abs(noise.std().item() - 1) < 0.03
    backwards = starting_noise([(b, t), (a, 1 - t)], SHAPE)
    assert torch.equal(noise, backwards)


def test_slerp_moves_at_constant_angular_speed():
    a, b = (draw(seed, SHAPE)[0] for seed in (1, 2))
    a, b = a / a.norm(), b / b.norm()

    def angle(x, y):
        x, y = x.double().flatten(), y.double().flatten()
        return torch.acos(torch.dot(x, y) / (x.norm() * y.norm())).item()

    whole = angle(a, b)
    assert whole == pytest.approx(math.pi / 2, abs=0.05)
    for t in (0.1, 0.25, 0.5, 0.9):
        assert angle(a, slerp(a, b, t)) == pytest.approx(t * whole, rel=1e-4)


def test_slerp_is_over_the_whole_sample_and_not_its_last_axis():
    a, b = draw(1, SHAPE)[0], draw(2, SHAPE)[0]
    flat = slerp(a.flatten(), b.flatten(), 0.5).reshape(SHAPE)
    assert torch.equal(slerp(a, b, 0.5), flat)


def test_slerp_of_parallel_vectors_is_a_lerp():
    a = draw(1, SHAPE)[0]
    assert torch.allclose(slerp(a, 2 * a, 0.5), 1.5 * a)


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(SEEDS, st.floats(0.01, 1), min_size=3, max_size=6))
def test_many_seeds_keep_unit_variance(weights):
    total = sum(weights.values())
    noise = starting_noise([(s, w / total) for s, w in weights.items()], SHAPE)
    assert abs(noise.std().item() - 1) < 0.03


def test_three_seeds_are_the_weighted_sum_over_the_weights_norm():
    weights = {1: 0.2, 2: 0.3, 3: 0.5}
    summed = sum(w * draw(s, SHAPE)[0] for s, w in weights.items())
    expected = summed / math.sqrt(0.04 + 0.09 + 0.25)
    assert torch.allclose(starting_noise(list(weights.items()), SHAPE), expected, atol=1e-6)


def test_seeds_are_taken_in_their_own_order():
    assert list(merged([(3, 0.2), (1, 0.5), (2, 0.0), (3, 0.3)]).items()) == [(1, 0.5), (3, 0.5)]


def test_noise_that_is_not_standard_normal_is_refused():
    halfway = (draw(1, SHAPE)[0] + draw(2, SHAPE)[0]) / 2
    with pytest.raises(RenderError, match=r"seeds 1 \(0.5\), 2 \(0.5\).*deviation of 0\.7"):
        check_std(halfway, [(1, 0.5), (2, 0.5)])
    with pytest.raises(RenderError, match="nan"):
        check_std(torch.full(SHAPE, math.nan), [(1, 1.0)])


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 8, 8), (4, 32, 32)])
def test_small_latents_are_given_their_sampling_error(shape):
    for seed in range(300):
        check_std(draw(seed, shape)[0], [(seed, 1.0)])
    with pytest.raises(RenderError):
        check_std(0.4 * draw(0, shape)[0], [(0, 1.0)])


def test_step_generator_is_the_heaviest_seeds_behind_its_first_draw():
    stock = torch.Generator("cpu").manual_seed(9)
    torch.randn((1, *SHAPE), generator=stock)
    ours = step_generator([(1, 0.2), (9, 0.8)], (1, *SHAPE))
    assert torch.equal(torch.randn(5, generator=ours), torch.randn(5, generator=stock))


def test_step_generator_of_a_tie_is_the_smallest_seeds():
    tie, smallest = step_generator([(9, 0.5), (1, 0.5)], SHAPE), step_generator([(1, 1.0)], SHAPE)
    assert torch.equal(tie.get_state(), smallest.get_state())


@pytest.mark.parametrize("greatest", [2.92955017, 14.6146])
def test_a_motion_begins_at_a_greatest_sigma_that_is_rounded_down(greatest):
    """Warnings are errors here, and torchsde warns of a time behind its end."""
    pytest.importorskip("torchsde")
    sigmas = torch.tensor([greatest, 1.5, 0.03, 0.0])
    between = brownian([torch.Generator().manual_seed(1)], sigmas)
    first, second = (between(torch.zeros(1, 4, 16, 16), *sigmas[k : k + 2]) for k in (0, 1))
    for noise in (first, second):
        assert noise.std().item() == pytest.approx(1, abs=0.1)
    assert not torch.equal(first, second)
