"""Figures that a run kept, read again: they may have been changed by anyone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic import dissolve, measured

from render.measurement.figures import VERSION
from render.measurement.kept_figures import kept_figures


def kept():
    """The JSON of a film with a flash, a jump, a repeated frame and two segments."""
    weights = np.linspace(0, 0.6, 25)
    weights[8] += 0.15
    weights[12] = weights[11]
    weights[18:] += 0.2
    found = measured(dissolve(weights), keyframes=(12,))
    assert found.flashes
    assert found.snaps
    assert found.doubled
    return json.loads(json.dumps(found.as_data()))


def test_kept_figures_are_those_that_were_measured():
    data = kept()
    assert kept_figures(data, 25).as_data() == data
    assert kept_figures({**data, "more": 1}, 25).as_data() == data


@pytest.mark.parametrize("loop", [False, True])
def test_a_loop_has_a_step_more(loop):
    data = measured(dissolve(np.linspace(0, 1, 9)), loop=loop).as_data()
    assert kept_figures(data, 9).as_data() == data
    assert kept_figures(data, 8) is None
    assert kept_figures(data, 11) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *({"flashes": [99]}, {"snaps": [0]}, {"gini": "0"}, {"version": VERSION + 1}),
        *({"version": None}, {"steps": []}, {"steps": 5}, {"frames": 26}, {"segments": [1]}),
        *({"keyframes": [-1]}, {"cuts": [True]}, {"held": [[1]]}, {"median": None}, {"path": "1"}),
        *({"segments": [{}]}, {"doubled": None}, {"largest_over_median": [1]}),
    ],
)
def test_what_could_not_have_been_measured_is_passed_over(wrong):
    assert kept_figures({**kept(), **wrong}, 25) is None


@pytest.mark.parametrize("name", ["first", "last", "gini", "path", "sharpness", "flashes"])
@pytest.mark.parametrize("value", ["1", True, [1], [1, 2, 3], {}, 10**6])
def test_segments_are_checked_as_well(name, value):
    data = kept()
    data["segments"][0][name] = value
    if isinstance(value, int) and not isinstance(value, bool) and name not in ("last", "sharpness"):
        assert kept_figures(data, 25) is not None  # a number that may be right
    else:
        assert kept_figures(data, 25) is None


@pytest.mark.parametrize("data", [None, [], 1, "x", {}])
def test_anything_else_is_no_measurement(data):
    assert kept_figures(data, 25) is None


def test_a_missing_figure_is_none():
    for name in kept():
        data = kept()
        del data[name]
        assert kept_figures(data, 25) is None
