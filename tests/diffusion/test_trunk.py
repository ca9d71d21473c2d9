"""A trunk: the first steps half-way between two prompts, and all frames of the segment from there;
against the loop that the blog post describes."""

from fractions import Fraction

import diffusers
import numpy as np
import pytest
from command_line import Place
from pictures import difference, render
from reference_loop import reference_frame, reference_noise, reference_pipeline
from tiny_models import SIDE, save_tiny_sd1

from render.engines.open_model import open_diffusion
from render.models.model_source import ModelSource
from render.plan.approximations import Approximations
from render.plan.build import make_plan
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec, Keyframe, Timeline

START, END = "A fantasy landscape", "A castle"
STEPS, GUIDANCE, TRUNK = 10, 7.5, 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_sd1(tmp_path_factory.mktemp("models") / "sd1")


def timeline(seeds=(1, 1)):
    keyframes = [
        Keyframe(
            Fraction(second),
            FrameSpec(((text, 1.0),), (("", 1.0),), ((seed, 1.0),), GUIDANCE),
            "linear",
        )
        for second, (text, seed) in enumerate(zip((START, END), seeds, strict=True))
    ]
    return Timeline(tuple(keyframes), Fraction(1), False)


def recipe(scheduler, trunk=TRUNK):
    taken = Approximations(trunk=trunk)
    sizes = (STEPS, SIDE, SIDE)
    return Recipe("tiny", scheduler, {}, *sizes, "float32", "noise", approximations=taken)


@pytest.mark.parametrize("scheduler", ["LMSDiscreteScheduler", "EulerDiscreteScheduler"])
def test_frames_equal_the_loop_that_is_written_out(folder, scheduler):
    plan = make_plan(timeline(), recipe(scheduler), Fraction(4), scheduler)
    source = ModelSource(folder, None, None, None, None)
    diffusion = open_diffusion(source, plan.recipe, "cpu")
    specs = [frame.spec for frame in plan.frames]
    diffusion.expect(specs)
    frames = render(diffusion, *specs)
    pipeline, kind = reference_pipeline(folder), getattr(diffusers, scheduler)
    trunk = round(TRUNK * STEPS)
    for place, frame in enumerate(frames):
        weights = [0.5] * trunk + [place / 4] * (STEPS - trunk)
        noise = reference_noise(pipeline, 1)
        expected = reference_frame(pipeline, (START, END), weights, noise, STEPS, GUIDANCE, kind)
        assert difference(frame, expected) <= 1, place
    diffusion.expect(specs)
    alone = np.stack([render(diffusion, spec)[0] for spec in specs])
    assert np.array_equal(alone, frames)


def test_digests_are_their_own_and_the_plan_says_so():
    plain = make_plan(timeline(), recipe("LMSDiscreteScheduler", 0.0), Fraction(4), "")
    trunk = make_plan(timeline(), recipe("LMSDiscreteScheduler"), Fraction(4), "")
    other = make_plan(timeline(), recipe("LMSDiscreteScheduler", 0.5), Fraction(4), "")
    digests = [{frame.digest for frame in plan.frames} for plan in (plain, trunk, other)]
    assert len(set.union(*digests)) == 15
    assert "not the plain pictures" in " ".join(trunk.warnings)
    assert "not the plain pictures" not in " ".join(plain.warnings)


def test_a_scheduler_with_noise_of_its_own_has_a_trunk_for_one_seed_only():
    noisy = "EulerAncestralDiscreteScheduler"
    walk = make_plan(timeline((1, 2)), recipe(noisy), Fraction(4), noisy)
    still = make_plan(timeline(), recipe(noisy), Fraction(4), noisy)
    assert not any(frame.spec.early for frame in walk.frames[1:-1])
    assert all(frame.spec.early for frame in still.frames)


@pytest.mark.parametrize("beside", ["sampling.path=smooth", "sampling.anchors=4"])
def test_a_trunk_goes_alone(place: Place, beside):
    place.timeline("film", [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}])
    ended = place.render("+timeline=film", "sampling.trunk=0.3", beside)
    assert ended.code == 2
    assert "sampling.trunk" in ended.err
