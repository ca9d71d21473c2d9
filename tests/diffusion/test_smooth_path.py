"""Smooth paths: nodes denoised in step, frames decoded between them, keyframes left alone."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import diffusers
import numpy as np
import pytest
import torch
from pictures import render, same_pictures
from tiny_families import BUILDERS, SIDE, SIDES
from tiny_models import BETAS

from render.diffusion.evaluations import Enough
from render.diffusion.smooth_path import (
    Paths,
    averaged,
    clean_ratio,
    in_step,
    reach_at,
    smoothed,
    smoothing,
)
from render.engines.open_model import open_diffusion
from render.models.model_source import ModelSource
from render.plan.cost import planned_rows
from render.plan.frame_plan import PlannedFrame, Recipe
from render.store import path_latents
from render.timeline.smooth_path import nodes, spec_at
from render.timeline.spec import FrameSpec, SmoothPath

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed`:FutureWarning")  # by Chroma

PARTS = 4
STEPS = 3


def spec(text, seed=1):
    return FrameSpec(((text, 1.0),), (("", 1.0),), ((seed, 1.0),), 3.0)


PATH = SmoothPath(spec("a red castle"), spec("a green forest"), PARTS)
WALK = SmoothPath(spec("a red castle"), spec("a green forest", seed=2), PARTS)


def film(path, places=(0, 0.1, 0.25, 0.5, 0.8, 1)):
    return [spec_at(path, place) for place in places]


@pytest.fixture(scope="module")
def opened(family_folder):
    kept = {}

    def get(name, scheduler="model", steps=STEPS):
        key = (name, scheduler, steps)
        if key not in kept:
            source = ModelSource(family_folder(name), None, None, None, None)
            side = SIDES.get(name, SIDE)
            recipe = Recipe("tiny", scheduler, {}, steps, side, side, "float32", "noise")
            kept[key] = open_diffusion(source, recipe, "cpu")
        return kept[key]

    return get


def rendered(diffusion, specs, nodes=None):
    diffusion.expect(specs, last=False, nodes=nodes)
    return [frame for spec in specs for frame in render(diffusion, spec)]


class Kept:
    """Keeps nodes as a store does."""

    def __init__(self):
        self.latents = {}

    def stored(self, path, each):
        return self.latents.get(path)

    def keep(self, path, latents):
        self.latents[path] = latents


@pytest.mark.parametrize("name", BUILDERS)
def test_keyframes_are_the_plain_pictures_and_a_path_goes_from_one_to_the_other(opened, name):
    diffusion = opened(name)
    diffusion.expect([], last=False)
    plain = render(diffusion, PATH.start, PATH.end)
    frames = rendered(diffusion, film(PATH))
    assert same_pictures([frames[0], frames[-1]], plain)
    first, last = (
        [np.abs(frame.astype(float) - end).mean() for frame in frames[1:-1]] for end in plain
    )
    assert first == sorted(first)
    assert last == sorted(last, reverse=True)
    assert first[-1] > first[0]


@pytest.mark.parametrize("path", [PATH, WALK])
def test_frames_together_alone_and_of_kept_nodes_are_the_same(opened, path):
    diffusion, kept, specs = opened("sdxl"), Kept(), film(path)
    alone = rendered(diffusion, specs, kept)
    before = diffusion.rows
    again = rendered(diffusion, specs, kept)
    assert diffusion.rows == before  # nothing is denoised
    diffusion.expect(specs, last=False)
    together = render(diffusion, *specs)
    assert same_pictures(alone, again)
    assert same_pictures(alone, together)
    assert diffusion.rows > before


class OnDisk:
    """Keeps nodes in files."""

    def __init__(self, folder):
        self.folder = folder

    def stored(self, path, each):
        return path_latents.stored(self.folder, "ab", path.parts + 1, each)

    def keep(self, path, latents):
        path_latents.keep(self.folder, "ab", latents, print)


@pytest.mark.parametrize("name", BUILDERS)
def test_stored_nodes_are_read_again(opened, name, tmp_path):
    diffusion, specs = opened(name), film(PATH)[1:-1]
    first = rendered(diffusion, specs, OnDisk(tmp_path))
    before = diffusion.rows
    again = rendered(diffusion, specs, OnDisk(tmp_path))
    assert diffusion.rows == before
    assert same_pictures(first, again)


def test_rows_are_counted_as_planned(opened):
    diffusion = opened("sdxl")
    specs = film(PATH)
    before = diffusion.rows
    diffusion.denoiser.forget_first_rows()
    rendered(diffusion, specs)
    frames = [
        PlannedFrame(k, k, each, str(k), "path" * bool(each.path)) for k, each in enumerate(specs)
    ]
    count = partial(
        planned_rows, frames, diffusion.recipe, "EulerDiscreteScheduler", diffusion.family
    )
    assert diffusion.rows - before == count()
    assert count(stored={"path"}) == 0


def test_a_control_picture_is_followed_all_along():
    followed = SmoothPath(*(replace(end, control="ab") for end in (PATH.start, PATH.end)), PARTS)
    assert {node.control for node in nodes(followed)} == {"ab"}
    assert spec_at(followed, 0.3).control == "ab"


def test_a_node_is_where_its_place_says(opened):
    diffusion = opened("sdxl")
    paths = Paths([spec_at(PATH, 0.3)])
    paths.learn(PATH, torch.arange(PARTS + 1.0)[:, None])
    assert [paths.latents(spec_at(PATH, k / 8)).item() for k in range(9)] == [
        pytest.approx(k / 2) for k in range(9)
    ]
    assert len(nodes(PATH)) == PARTS + 1
    assert nodes(PATH)[0] == PATH.start
    assert diffusion.family.denoiser == "unet"


def test_latents_that_are_not_finite_are_not_kept():
    kept = Kept()
    paths = Paths([spec_at(PATH, 0.5)], kept)
    paths.add(PATH, torch.full((PARTS + 1, 1), float("nan")))
    assert not kept.latents
    assert paths.missing([spec_at(PATH, 0.5)]) == []


def test_latents_that_can_not_be_kept_are_not_denoised_again():
    class Closed(Kept):
        def keep(self, path, latents):
            raise PermissionError

    paths = Paths([spec_at(PATH, 0.5)], Closed())
    with pytest.raises(PermissionError):
        paths.add(PATH, torch.zeros(PARTS + 1, 1))
    assert paths.missing([spec_at(PATH, 0.5)]) == []


def test_the_average_leaves_ends_alone_keeps_sums_and_narrows():
    for done in (0, 0.5, 1):
        matrix = smoothing(24, reach_at(done))
        assert torch.equal(matrix[0], torch.eye(25)[0])
        assert torch.equal(matrix[-1], torch.eye(25)[-1])
        assert torch.allclose(matrix.sum(1), torch.ones(25), atol=1e-6)
        assert (matrix >= 0).all()
        line = torch.arange(25.0)[:, None]
        assert torch.allclose(averaged(matrix, line), line, atol=1e-4)  # an even way stays
    assert smoothing(24, reach_at(0))[12, 12] < smoothing(24, reach_at(1))[12, 12]


KINDS = [
    ("DDIMScheduler", "epsilon"),
    ("DDIMScheduler", "v_prediction"),
    ("DPMSolverMultistepScheduler", "epsilon"),
    ("EulerDiscreteScheduler", "epsilon"),
    ("EulerDiscreteScheduler", "v_prediction"),
    ("LMSDiscreteScheduler", "epsilon"),
    ("HeunDiscreteScheduler", "v_prediction"),
    ("FlowMatchEulerDiscreteScheduler", "flow"),
]


@pytest.mark.parametrize(("kind", "predicts"), KINDS)
def test_averaging_moves_the_clean_picture_and_no_noise(kind, predicts):
    flow = predicts == "flow"
    options = {} if flow else {**BETAS, "prediction_type": predicts}
    scheduler = getattr(diffusers, kind)(**options)
    scheduler.set_timesteps(10)
    time = scheduler.timesteps[4]
    torch.manual_seed(0)
    clean, noise = torch.randn(5, 4, 4, 4), torch.randn(5, 4, 4, 4)
    if flow:
        signal, amount = 1 - float(time) / 1000, float(time) / 1000
    else:
        alphas = scheduler.alphas_cumprod
        alpha = float(torch.from_numpy(np.interp([float(time)], range(1000), alphas)))
        signal, amount = alpha**0.5, (1 - alpha) ** 0.5
    noised = signal * clean + amount * noise
    in_sigmas = not flow and float(scheduler.init_noise_sigma) != 1
    output = {
        "epsilon": noise,
        "v_prediction": signal * noise - amount * clean,
        "flow": noise - clean,
    }
    matrix = smoothing(4, 0.2)
    sample = noised / signal if in_sigmas else noised
    found = smoothed(matrix, output[predicts], sample, clean_ratio(scheduler, time))
    wanted_clean = averaged(matrix, clean)
    wanted_noise = (noised - signal * wanted_clean) / amount
    wanted = {
        "epsilon": wanted_noise,
        "v_prediction": signal * wanted_noise - amount * wanted_clean,
        "flow": wanted_noise - wanted_clean,
    }
    assert torch.allclose(found, wanted[predicts], atol=1e-3)
    assert torch.equal(found[0], output[predicts][0])


@pytest.mark.parametrize(
    "scheduler",
    [
        "PNDMScheduler",
        "HeunDiscreteScheduler",
        "UniPCMultistepScheduler",
        "LMSDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "LCMScheduler",
    ],
)
def test_a_path_works_with_every_kind_of_solver(opened, scheduler):
    diffusion = opened("sdxl", scheduler, 5)
    diffusion.expect([], last=False)
    plain = render(diffusion, PATH.start, PATH.end)
    frames = rendered(diffusion, film(PATH))
    assert same_pictures([frames[0], frames[-1]], plain)


def denoised(scheduler, wanted, parts=None):
    """Latents (nodes, 1) that a denoiser leads to which foresees these clean values at the nodes,
    alone or in step."""
    latents = torch.full((len(wanted), 1), 0.3) * scheduler.init_noise_sigma
    scheduler.set_timesteps(12)
    with ExitStack() as stack:
        ended = stack.enter_context(in_step(scheduler, parts, 12)) if parts else None
        stack.enter_context(suppress(Enough))
        for time in scheduler.timesteps:
            alpha = float(scheduler.alphas_cumprod[time])
            noise = (latents - alpha**0.5 * wanted) / (1 - alpha) ** 0.5
            latents = scheduler.step(noise, time, latents, return_dict=False)[0]
    return ended[0] if ended else latents


def test_a_flash_is_planted_and_gone_and_a_jump_becomes_a_way():
    scheduler = diffusers.DDIMScheduler(**BETAS)
    wanted = torch.tensor([0.0] * 8 + [1.0] + [0.0] * 3 + [1.0] * 13)[:, None]
    plain = denoised(scheduler, wanted)
    smooth = denoised(scheduler, wanted, parts=24)
    assert (plain.diff(dim=0) < -0.5).sum() == 1  # there and back
    way_back = smooth.diff(dim=0).clamp(max=0).sum()
    assert way_back > -0.2  # though this denoiser takes no notice of what was done before
    assert plain.diff(dim=0).max() > 0.9
    assert smooth.diff(dim=0).max() < 0.5
    assert torch.allclose(smooth[[0, -1]], plain[[0, -1]], atol=1e-6)
