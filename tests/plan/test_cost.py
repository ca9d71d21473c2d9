"""The cost of a run as the plan estimates it."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from render.models.families import STABLE_DIFFUSION
from render.plan.approximations import Approximations
from render.plan.cost import (
    TIMINGS_NAME,
    Timing,
    bytes_for,
    bytes_of_nodes,
    earlier_timing,
    planned_rows,
    remember_timing,
    scaled_timing,
    seconds_for,
)
from render.plan.frame_plan import PlannedFrame, Recipe
from render.timeline.spec import FrameSpec, OnPath, SmoothPath

RECIPE = Recipe("tiny", "model", {}, 10, 100, 50, "float32", "noise")
TIMING = Timing(seconds_per_row=0.5, bytes_per_frame=1000.0)


def frame(*prompts, negative="", seed=1, **more):
    texts = tuple((text, 1 / len(prompts)) for text in prompts)
    spec = FrameSpec(texts, ((negative, 1.0),), ((seed, 1.0),), 7.5, **more)
    return PlannedFrame(0, Fraction(0), spec, "d")


@pytest.mark.parametrize(
    ("scheduler", "calls"),
    [("DDIMScheduler", 10), ("HeunDiscreteScheduler", 19), ("PNDMScheduler", 11)],
)
def test_rows_are_texts_and_negative_at_every_call(scheduler, calls):
    frames = [frame("a"), frame("b", "c", negative="blurry")]
    assert planned_rows(frames, RECIPE, scheduler, STABLE_DIFFUSION) == calls * (2 + 3)
    assert planned_rows([], RECIPE, scheduler, STABLE_DIFFUSION) == 0


def test_rows_of_first_evaluations_are_counted_once_for_a_text_and_a_seed():
    frames = [frame("a"), frame("a", "b"), frame("b"), frame("b", seed=2)]
    each = [20, 30, 20, 20]
    shared = [0, 2, 2, 0]  # the negative and "a"; the negative and "b"
    assert planned_rows(frames, RECIPE, "DDIMScheduler", STABLE_DIFFUSION) == sum(each) - sum(
        shared
    )


def test_early_rows_are_the_anchors_and_are_counted_once():
    recipe = replace(RECIPE, approximations=Approximations(anchors=2, early_steps=0.4))
    start, end = frame("a"), frame("b")
    early = ((start.spec, 0.5), (end.spec, 0.5))
    between = [frame("a", "b", early=early) for _ in range(5)]
    computed = (4 * 2 - 0) + (4 * 2 - 1)  # the negative's first row is the start's
    count = planned_rows([start, *between], recipe, "DDIMScheduler", STABLE_DIFFUSION)
    assert count == computed + 6 * 2 + 5 * 6 * 3


def test_rows_without_guidance_are_the_prompts():
    recipe = replace(RECIPE, approximations=Approximations(guidance_interval=(0.2, 0.7)))
    count = planned_rows([frame("a", "b")], recipe, "DDIMScheduler", STABLE_DIFFUSION)
    assert count == 5 * 3 + 5 * 2


def test_an_estimate_needs_an_earlier_run_of_the_kind(tmp_path):
    assert earlier_timing(tmp_path, RECIPE, "cpu") is None
    remember_timing(tmp_path, RECIPE, "cpu", TIMING)
    remember_timing(tmp_path, RECIPE, "cuda", Timing(0.1, 9.0))
    assert earlier_timing(tmp_path, RECIPE, "cpu") == TIMING
    other = Recipe("tiny", "model", {}, 10, 200, 50, "float32", "noise")
    assert earlier_timing(tmp_path, other, "cpu") is None


@pytest.mark.parametrize("content", ["", "[1]", "3", '{"half": '])
def test_damaged_timings_are_none_and_are_replaced(tmp_path, content):
    (tmp_path / TIMINGS_NAME).write_text(content)
    assert earlier_timing(tmp_path, RECIPE, "cpu") is None
    remember_timing(tmp_path, RECIPE, "cpu", TIMING)
    assert earlier_timing(tmp_path, RECIPE, "cpu") == TIMING


def test_timings_of_another_shape_are_none(tmp_path):
    remember_timing(tmp_path, RECIPE, "cpu", TIMING)
    known = json.loads((tmp_path / TIMINGS_NAME).read_bytes())
    known[next(iter(known))] = {"seconds": 3}
    (tmp_path / TIMINGS_NAME).write_text(json.dumps(known))
    assert earlier_timing(tmp_path, RECIPE, "cpu") is None


def test_time_is_by_rows_and_by_frames():
    assert seconds_for(100, TIMING) == 100 * 0.5
    assert seconds_for(100, None) is None


def test_disk_is_by_earlier_frames_or_by_pixels():
    assert bytes_for(10, RECIPE, TIMING) == 10 * (1000 + 2000)
    assert bytes_for(10, RECIPE, None) == 10 * (8000 + 2000)
    assert bytes_for(0, RECIPE, None) == 0


def test_disk_of_nodes_is_that_of_paths_which_are_not_there():
    ends = frame("a").spec, frame("b").spec
    paths = {name: SmoothPath(*ends, parts) for name, parts in (("one", 24), ("two", 6))}
    frames = [
        replace(frame("a", path=OnPath(path, place)), path=name)
        for name, path in paths.items()
        for place in (0.25, 0.5)
    ]
    frames.append(frame("a"))
    each = RECIPE.width * RECIPE.height
    assert bytes_of_nodes(frames, RECIPE, set()) == (25 + 7) * each
    assert bytes_of_nodes(frames, RECIPE, {"one"}) == 7 * each
    assert bytes_of_nodes([frame("a")], RECIPE, set()) == 0


def test_an_estimate_from_another_size_is_by_pixels_and_from_the_nearest(tmp_path):
    def sized(width, height, model="tiny"):
        return replace(RECIPE, width=width, height=height, model=model)

    assert scaled_timing(tmp_path, RECIPE, "cpu") is None
    remember_timing(tmp_path, sized(200, 100, "other"), "cpu", TIMING)
    remember_timing(tmp_path, sized(200, 100), "cuda", TIMING)
    assert scaled_timing(tmp_path, RECIPE, "cpu") is None
    remember_timing(tmp_path, sized(1000, 500), "cpu", Timing(9.0, 9.0))
    remember_timing(tmp_path, sized(200, 100), "cpu", TIMING)
    assert scaled_timing(tmp_path, RECIPE, "cpu") == Timing(0.5 / 4, 1000 / 4)
