"""Easings: their ends, their shapes, and CSS's own values for cubic Beziers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from render.config.values import EASES
from render.timeline.easing import NAMED, OF_CSS, cubic_bezier, eased

quick = settings(deadline=None, max_examples=80)
UNIT = st.floats(0, 1)
BEZIERS = st.tuples(UNIT, st.floats(-3, 3), UNIT, st.floats(-3, 3))


def test_every_easing_a_person_may_name_has_a_shape():
    assert {*NAMED, *OF_CSS} == {*EASES}
    assert len([name for name in EASES if name.startswith("ease") and "-" not in name]) == 31


@pytest.mark.parametrize("name", EASES)
def test_an_easing_begins_at_0_and_ends_at_1(name):
    assert eased(name, 0.0) == 0
    assert eased(name, 1.0) == (0 if name == "hold" else 1)


@pytest.mark.parametrize(
    ("name", "quarter", "half"),
    [
        ("linear", 0.25, 0.5),
        ("smooth", 0.15625, 0.5),
        ("in", 0.0625, 0.25),
        ("out", 0.4375, 0.75),
        ("hold", 0, 0),
    ],
)
def test_the_named_shapes(name, quarter, half):
    assert (eased(name, 0.25), eased(name, 0.5)) == (quarter, half)


# easings.net's formulas, computed by hand; what goes beyond the ends stays at them.
@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("easeInSine", 0.5, 0.2928932),
        ("easeInOutSine", 0.25, 0.1464466),
        ("easeOutQuad", 0.25, 0.4375),
        ("easeInOutCubic", 0.25, 0.0625),
        ("easeOutQuart", 0.5, 0.9375),
        ("easeInOutQuint", 0.25, 0.015625),
        ("easeOutExpo", 0.5, 0.96875),
        ("easeInOutExpo", 0.25, 0.015625),
        ("easeOutCirc", 0.5, 0.8660254),
        ("easeInBack", 0.75, 0.1825903),
        ("easeInBack", 0.25, 0),
        ("easeOutBack", 0.25, 0.8174097),
        ("easeInOutBack", 0.5, 0.5),
        ("easeInOutBack", 0.75, 1),
        ("easeInElastic", 0.75, 0.0883883),
        ("easeOutElastic", 0.1, 1),
        ("easeInOutElastic", 0.25, 0.0119694),
        ("easeOutBounce", 0.5, 0.765625),
        ("easeInBounce", 0.5, 0.234375),
        ("easeInOutBounce", 0.75, 0.8828125),
    ],
)
def test_the_curves_of_easings_net(name, at, value):
    assert eased(name, at) == pytest.approx(value, abs=1e-6)


@quick
@given(st.sampled_from(EASES), UNIT)
def test_every_easing_stays_between_0_and_1(name, at):
    assert 0 <= eased(name, at) <= 1


# CSS's keywords (W3C, CSS Easing Functions Level 1); the values are what browsers compute.
@pytest.mark.parametrize(
    ("handles", "x", "y"),
    [
        (OF_CSS["ease"], 0.25, 0.40851),
        ((0.25, 0.1, 0.25, 1), 0.5, 0.80240),
        (OF_CSS["ease-in"], 0.5, 0.31536),
        (OF_CSS["ease-out"], 0.5, 0.68464),
        (OF_CSS["ease-in-out"], 0.25, 0.12916),
        ((0.42, 0, 0.58, 1), 0.5, 0.5),
        ((0, 0, 1, 1), 0.3, 0.3),
        ((1 / 3, 1 / 3, 2 / 3, 2 / 3), 0.7, 0.7),
    ],
)
def test_cubic_beziers_are_those_of_css(handles, x, y):
    assert cubic_bezier(handles, x) == pytest.approx(y, abs=1e-5)


@quick
@given(BEZIERS, UNIT)
def test_weights_stay_between_0_and_1(handles, x):
    assert 0 <= cubic_bezier(handles, x) <= 1


@quick
@given(st.tuples(UNIT, UNIT, UNIT, UNIT), UNIT, UNIT)
def test_without_overshoot_the_way_leads_forward(handles, one, other):
    low, high = sorted((one, other))
    assert cubic_bezier(handles, low) <= cubic_bezier(handles, high) + 1e-9


@quick
@given(BEZIERS)
def test_the_ends_are_exact(handles):
    assert (cubic_bezier(handles, 0.0), cubic_bezier(handles, 1.0)) == (0, 1)
