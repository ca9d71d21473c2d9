"""Probes find the part of a segment in which the picture changes; jumps count for little."""

import itertools
from fractions import Fraction

import pytest

from render.plan.frame_plan import Unmeasured
from render.run.even_pace import DEPTH, LARGE, PROBES, Probed
from render.timeline.spec import FrameSpec, SmoothPath


def spec(text):
    return FrameSpec(((text, 1.0),), (("", 1.0),), ((1, 1.0),), 7.5)


def probed(picture, parts=0):
    """The last probes of a segment whose picture at a place is this number, and their steps."""
    path = SmoothPath(spec("one"), spec("two"), parts)
    found = Probed.first(Unmeasured(path, "digest", Fraction(0), Fraction(1)))
    while True:
        values = [picture(float(place)) for place in found.places]
        steps = [abs(after - before) for before, after in itertools.pairwise(values)]
        if not (more := found.more(steps)):
            return found, steps
        found = Probed(found.segment, tuple(sorted({*found.places, *more})))


def moving_then(jump_at, jump=8.0):
    return lambda place: place + (jump if place > jump_at else 0)


def narrow(place):
    """All of the change in a twentieth of the way."""
    return min(max((place - 0.4) * 20, 0.0), 1.0)


def test_a_steady_change_needs_no_more_probes():
    found, steps = probed(lambda place: place)
    assert len(found.places) == PROBES + 1
    assert found.time_map(steps).place_at(0.3) == pytest.approx(0.3)


def test_a_narrow_change_is_divided_and_placed_evenly():
    found, steps = probed(narrow)
    assert len(found.places) <= 3 * PROBES + 20
    measured = found.time_map(steps)
    values = [narrow(measured.place_at(k / 24)) for k in range(25)]
    gaps = [after - before for before, after in itertools.pairwise(values)]
    assert max(gaps) < LARGE / PROBES + 1e-9  # where the change begins within a part
    assert sorted(gaps)[-3] < 1.1 / 20


@pytest.mark.parametrize("jump_at", [0.01, 0.3, 0.77, 0.99])
def test_a_jump_is_found_and_takes_no_more_frames_than_a_quick_change(jump_at):
    found, steps = probed(moving_then(jump_at))
    at = max(range(len(steps)), key=steps.__getitem__)
    assert found.places[at] <= jump_at <= found.places[at + 1]
    assert found.widths[at] <= Fraction(1, PROBES << (DEPTH - 1))
    measured = found.time_map(steps)
    before, after = (measured.length_at(float(found.places[k])) for k in (at, at + 1))
    assert after - before < 0.35  # it would be 8/9
    inside = [k for k in range(25) if before < k / 24 < after]
    assert len(inside) <= 8


def test_a_smooth_path_has_no_jumps_that_count_for_less():
    found, steps = probed(moving_then(0.3), parts=24)
    measured = found.time_map(steps)
    at = max(range(len(steps)), key=steps.__getitem__)
    before, after = (measured.length_at(float(found.places[k])) for k in (at, at + 1))
    assert after - before == pytest.approx(8 / 9, abs=0.01)


def test_probes_have_no_page(place, monkeypatch):
    monkeypatch.setattr("render.run.run_page.EVERY_S", 0.0)
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}])
    ended = place.render("+timeline=t", "timeline.pace=even")
    assert ended.code == 0, ended.err
    assert "could not be written" not in ended.err
    assert not list((place.folder / "outputs").rglob("probes"))
