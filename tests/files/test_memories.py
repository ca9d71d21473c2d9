"""Files of what runs remember: of two that add to one at one time, neither loses its own."""

import multiprocessing

import pytest

from render.models import identity
from render.plan import cost
from render.store import upscale_factors

EACH = 6  # entries of each process


def timings(store, name, count):
    for place in range(count):
        cost.remember_as(store, f"{name} {place}", cost.Timing(1.0, 2.0))


def hashes(store, name, count):
    for place in range(count):
        known = identity.remembered(store / "models.json")
        identity.remember(store / "models.json", {**known, f"{name} {place}": [1, 64 * "a"]})


def factors(store, name, count):
    for place in range(count):
        upscale_factors.remember(store, {f"{name} {place}": 4})


@pytest.mark.parametrize(
    ("add", "read"),
    [
        (timings, lambda store: cost.read_memory(store / "timings.json")),
        (hashes, lambda store: identity.remembered(store / "models.json")),
        (factors, upscale_factors.remembered),
    ],
)
def test_two_that_add_at_one_time_both_stay(tmp_path, add, read):
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=add, args=(tmp_path, name, EACH)) for name in ("one", "two")]
    for each in both:
        each.start()
    for each in both:
        each.join(60)
    assert [each.exitcode for each in both] == [0, 0]
    assert set(read(tmp_path)) == {
        f"{name} {place}" for name in ("one", "two") for place in range(EACH)
    }
