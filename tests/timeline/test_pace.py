"""Time maps: where frames of an even pace stand, and jumps that nothing lies between."""

from itertools import pairwise

import pytest

from render.timeline.pace import UNCHANGED, TimeMap, jumps, time_map


def test_a_map_leads_from_change_to_place_and_back():
    made = time_map([0, 0.25, 0.5, 0.75, 1], [1, 1, 4, 2])
    assert made.lengths == (0, 0.125, 0.25, 0.75, 1)
    assert made.place_at(0.5) == pytest.approx(0.625)
    for place in (0, 0.1, 0.25, 0.6, 0.99, 1):
        assert made.place_at(made.length_at(place)) == pytest.approx(place)
    assert [made.place_at(outside) for outside in (-1, 0, 1, 2)] == [0, 0, 1, 1]


def test_places_at_which_nothing_changes_are_passed_over():
    made = time_map([0, 0.25, 0.5, 0.75, 1], [0, 1, 0, 1])
    assert made == TimeMap((0, 0.5, 1), (0, 0.5, 1))
    assert time_map([0, 0.5, 1], [0, 0]) == UNCHANGED


def test_equal_lengths_of_change_are_equal_steps():
    steps = [0.1, 0.5, 3, 9, 0.2, 0.1, 4, 1]
    made = time_map([k / 8 for k in range(9)], steps)
    lengths = [made.length_at(made.place_at(k / 20)) for k in range(21)]
    assert lengths == pytest.approx([k / 20 for k in range(21)], abs=1e-6)


@pytest.mark.parametrize("at", range(8))
def test_a_planted_jump_is_found(at):
    steps = [1.0] * 8
    steps[at] = 9
    assert jumps(time_map([k / 8 for k in range(9)], steps), 8) == {at}


def test_no_jump_is_invented():
    places = [k / 24 for k in range(25)]
    for power in (1, 2, 3):
        steps = [(b**power - a**power) for a, b in pairwise(places)]
        bell = [1 + 3 * (1 - abs(2 * k / 23 - 1)) for k in range(24)]
        assert jumps(time_map(places, bell), 24) == frozenset()
        assert jumps(time_map(places, steps), 24) == frozenset()
    assert jumps(UNCHANGED, 24) == frozenset()
