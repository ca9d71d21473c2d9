"""A plan's facts about a model and its cost, compared with diffusers itself."""

import re
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
from hypothesis import given
from hypothesis import strategies as st

import render
from render.models.families import FAMILIES, STABLE_DIFFUSION
from render.models.model_source import ModelSource
from render.models.sister_pipelines import family_flaw
from render.plan.conditioning import TWO_STAGE, evaluations, frame_rows, rows
from render.timeline.spec import FrameSpec

# diffusers hands tensors to numpy in ways that numpy 2 asks torch to change

TEXTS = st.sampled_from(["", "a", "b", "c", "d"])
WEIGHTS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
MIXES = st.lists(st.tuples(TEXTS, WEIGHTS), min_size=1, max_size=5, unique_by=lambda pair: pair[0])
GUIDANCES = st.sampled_from([0.0, 1.0, 4.0, 7.5])
COUNTED = [
    "DDIMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
]


def spec(prompts, negatives=(("", 1.0),), guidance=7.5):
    return FrameSpec(tuple(prompts), tuple(negatives), ((0, 1.0),), guidance)


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
@pytest.mark.parametrize("name", COUNTED)
def test_evaluations_are_those_of_the_real_scheduler(name, steps):
    options = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    scheduler = getattr(diffusers, name)(**options)
    scheduler.set_timesteps(steps)
    assert evaluations(name, steps) == len(scheduler.timesteps)


def test_evaluations_with_runge_kutta_steps():
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=False)
    scheduler.set_timesteps(20)
    counted = evaluations("PNDMScheduler", 20, {"skip_prk_steps": False})
    assert counted == len(scheduler.timesteps)


def test_schedulers_of_two_stages_are_the_second_order_ones():
    installed = TWO_STAGE - {"DPMSolverSDEScheduler"}  # it needs torchsde even to be looked at
    assert all(getattr(diffusers, name).order == 2 for name in installed)


def test_every_family_is_a_pipeline_of_diffusers():
    for name, family in FAMILIES.items():
        assert name == family.pipeline
        assert hasattr(diffusers, name)


def test_unknown_pipeline_is_refused_by_name():
    assert family_flaw("StableDiffusionPipeline") is None
    wrong = family_flaw("OddPipeline")
    assert "'OddPipeline'" in wrong
    assert "StableDiffusionPipeline" in wrong


def test_a_source_is_named_as_people_know_it():
    assert str(ModelSource(Path("a/b"), None, None, None, None)) == str(Path("a/b"))
    assert str(ModelSource(None, "org/model", None, None, None)) == "org/model"
    assert str(ModelSource(None, "org/model", "abc", None, None)) == "org/model@abc"


def test_two_prompts_and_one_negative_are_three_rows():
    assert rows(spec([("a", 0.4), ("b", 0.6)]), "noise", STABLE_DIFFUSION) == 3
    assert rows(spec([("a", 0.4), ("b", 0.6)]), "embedding", STABLE_DIFFUSION) == 2


@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_weight_zero_costs_nothing(blend):
    assert rows(spec([("a", 1.0), ("b", 0.0)]), blend, STABLE_DIFFUSION) == 2


def test_equal_negatives_are_one_row():
    pair = [("a", 0.5), ("b", 0.5)]
    assert rows(spec(pair, [("blurry", 0.3), ("blurry", 0.7)]), "noise", STABLE_DIFFUSION) == 3
    assert rows(spec(pair, [("blurry", 0.3), ("dark", 0.7)]), "noise", STABLE_DIFFUSION) == 4
    assert rows(spec(pair, [("blurry", 0.3), ("dark", 0.7)]), "embedding", STABLE_DIFFUSION) == 2


@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_guidance_up_to_one_is_none_and_needs_no_unconditional_row(blend):
    for scale in (0.0, 0.5, 1.0):
        (row,) = frame_rows(spec([("a", 1.0)], guidance=scale), blend, STABLE_DIFFUSION).rows
        assert [(text.text, weight) for text, weight in row] == [("a", 1.0)]


@given(MIXES, MIXES, GUIDANCES, st.sampled_from(["noise", "embedding"]), st.randoms())
def test_order_of_texts_does_not_matter(prompts, negatives, guidance, blend, random):
    shuffled = [random.sample(texts, len(texts)) for texts in (prompts, negatives)]
    written = frame_rows(spec(prompts, negatives, guidance), blend, STABLE_DIFFUSION)
    assert frame_rows(spec(*shuffled, guidance), blend, STABLE_DIFFUSION) == written
    assert list(written.rows) == sorted(set(written.rows))


def test_a_plan_reads_it_without_torch():
    code = "import sys, render.plan.conditioning; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ASKS = re.compile(r"(denoiser|pipeline) (==|!=|in|not in) [\"A-Z{(]")


def test_what_a_family_can_do_is_asked_of_it_by_name():
    package = Path(render.__file__).parent
    files = [path for path in package.rglob("*.py") if path.stem not in ("families", "family")]
    asked = [
        f"{path.name}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if ASKS.search(line)
    ]
    # Whether a class is known at all is asked of the tables of families and their sisters.
    assert asked == [
        "sister_pipelines.py: if pipeline in OWN_SISTERS:",
        "sister_pipelines.py: return pipeline if pipeline in FAMILIES else "
        "sister_elsewhere(pipeline)",
    ]
