"""Frames against the reference loop (that of the blog post) and against stock diffusers, on tiny
random models."""

from dataclasses import replace
from fractions import Fraction
from functools import wraps
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import difference, render, same_pictures
from reference_loop import reference_frame, reference_noise, reference_pipeline
from tiny_models import SIDE, save_tiny_sd1, save_tiny_sd2

from render.config.schema import ComputeConfig
from render.diffusion import batch_size
from render.diffusion.batch_size import frames_at_once, frames_that_fit
from render.diffusion.decoded import rounded
from render.diffusion.sampler import Diffusion
from render.diffusion.shared_predictions import REMEMBERED_ROWS
from render.engines import open_model
from render.engines.open_model import frames_filling_gpu, open_diffusion, open_pipeline
from render.errors import ConfigError, NonFiniteFrames, OutOfMemory
from render.models.families import FAMILIES, STABLE_DIFFUSION
from render.models.model_source import ModelSource
from render.plan.conditioning import evaluations, rows
from render.plan.cost import planned_rows
from render.plan.frame_plan import PlannedFrame, Recipe
from render.timeline.spec import FrameSpec

# diffusers hands tensors to numpy in ways that numpy 2 asks torch to change

START, END, THIRD = "A fantasy landscape", "A castle", "A forest"
NEGATIVE = (("", 1.0),)
LMS = "LMSDiscreteScheduler"
SCHEDULERS = {
    "lms": LMS,
    "pndm": "PNDMScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
}
STOCHASTIC = ["EulerAncestralDiscreteScheduler", "LCMScheduler"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"sd1": save_tiny_sd1(root / "sd1"), "sd2": save_tiny_sd2(root / "sd2")}


@pytest.fixture(scope="module")
def opened(folders):
    """Opens a tiny model, once for each recipe that the tests ask for."""
    kept: dict[tuple, Diffusion] = {}

    def get(name="sd1", scheduler=LMS, steps=4, blend="noise", dtype="float32"):
        key = (name, scheduler, steps, blend, dtype)
        if key not in kept:
            kept[key] = open_tiny(folders[name], scheduler, steps, blend, dtype)
        return kept[key]

    return get


def open_tiny(folder, scheduler=LMS, steps=4, blend="noise", dtype="float32", **options):
    source = ModelSource(folder, None, None, None, None)
    recipe = Recipe("tiny", scheduler, {}, steps, SIDE, SIDE, dtype, blend)
    return open_diffusion(source, recipe, "cpu", **options)


def open_stock(folder):
    """The stock pipeline, before any engine has touched it."""
    source = ModelSource(folder, None, None, None, None)
    recipe = Recipe("tiny", LMS, {}, 4, SIDE, SIDE, "float32", "noise")
    return open_pipeline(source, recipe, "cpu", ComputeConfig())


def spec(prompts, seeds=((1, 1.0),), guidance=7.5, negatives=NEGATIVE):
    return FrameSpec(tuple(prompts), tuple(negatives), tuple(seeds), guidance)


def between(t, start=START, end=END):
    return ((start, 1 - t), (end, t))


# --- the reference loop ------------------------------------------------------------------------


def reference_slerp(t, v0, v1):
    """As in the scripts that walk seeds: numpy, the whole sample, a lerp when nearly parallel."""
    v0, v1 = v0.numpy(), v1.numpy()
    dot = np.sum(v0 * v1 / (np.linalg.norm(v0) * np.linalg.norm(v1)))
    if np.abs(dot) > 0.9995:
        return torch.from_numpy((1 - t) * v0 + t * v1)
    theta_0 = np.arccos(dot)
    theta_t = theta_0 * t
    s0, s1 = np.sin(theta_0 - theta_t) / np.sin(theta_0), np.sin(theta_t) / np.sin(theta_0)
    return torch.from_numpy(s0 * v0 + s1 * v1).float()


@pytest.mark.parametrize("model", ["sd1", "sd2"])
def test_frames_equal_the_reference_loop(folders, opened, model):
    pipeline = reference_pipeline(folders[model])
    noise = reference_noise(pipeline, 1)
    weights = [0, 0.1, 0.5, 0.9, 1]
    frames = render(opened(model, steps=10), *[spec(between(t)) for t in weights])
    for t, frame in zip(weights, frames, strict=True):
        expected = reference_frame(pipeline, (START, END), t, noise)
        assert difference(frame, expected) <= 1, t
    assert difference(frames[0], frames[-1]) > 40


@pytest.mark.parametrize("model", ["sd1", "sd2"])
def test_frames_equal_the_reference_seed_walk(folders, opened, model):
    pipeline = reference_pipeline(folders[model])
    ends = reference_noise(pipeline, 1), reference_noise(pipeline, 2)
    weights = [0, 0.1, 0.5, 0.9, 1]
    specs = [spec(between(t), ((1, 1 - t), (2, t))) for t in weights]
    for t, frame in zip(weights, render(opened(model, steps=10), *specs), strict=True):
        expected = reference_frame(pipeline, (START, END), t, reference_slerp(t, *ends))
        assert difference(frame, expected) <= 1, t


@settings(max_examples=5, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**63 - 1))
def test_frames_equal_the_reference_loop_at_any_weight(folders, opened, t, seed):
    pipeline = reference_pipeline(folders["sd1"])
    expected = reference_frame(pipeline, (START, END), t, reference_noise(pipeline, seed))
    (frame,) = render(opened(steps=10), spec(between(t), ((seed, 1.0),)))
    assert difference(frame, expected) <= 1


# --- stock diffusers ---------------------------------------------------------------------------


def stock_picture(folder, scheduler, text, negative="", guidance=7.5, seed=1, steps=4):
    """The stock pipeline's own guidance, noise and rounding."""
    pipeline = reference_pipeline(folder)
    pipeline.set_progress_bar_config(disable=True)
    scheduler = getattr(diffusers, scheduler)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    picture = pipeline(
        text,
        negative_prompt=negative,
        guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed),
        num_inference_steps=steps,
        height=SIDE,
        width=SIDE,
    ).images[0]
    return np.asarray(picture)


@pytest.mark.parametrize("scheduler", [LMS, "PNDMScheduler", *STOCHASTIC])
def test_single_prompt_is_the_stock_pipelines_picture(folders, opened, scheduler):
    frame = spec([(START, 1.0)], guidance=4.0, negatives=[("blurry", 1.0)])
    (ours,) = render(opened(scheduler=scheduler), frame)
    stock = stock_picture(folders["sd1"], scheduler, START, "blurry", guidance=4.0)
    assert difference(ours, stock) <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("model", ["sd1", "sd2"])
def test_every_scheduler_runs_and_costs_what_was_planned(folders, model, name):
    scheduler, steps = SCHEDULERS[name], 4
    diffusion = open_tiny(folders[model], scheduler, steps)
    specs = [spec([(START, 1.0)]), spec(between(0.3)), spec(between(0.3), guidance=1.0)]
    frames = render(diffusion, *specs)
    assert diffusion.rows == planned(diffusion.recipe, *specs)
    calls = evaluations(scheduler, steps)
    assert diffusion.rows == (2 + 3 + 2) * calls - 4  # first "", start and end are computed once
    assert all(frame.shape == (SIDE, SIDE, 3) and frame.dtype == np.uint8 for frame in frames)
    assert min(frame.std() for frame in frames) > 5


# --- bit-equality ------------------------------------------------------------------------------

FILM = [
    spec(between(0.25), ((1, 0.75), (2, 0.25))),
    spec([(START, 1.0)], ((3, 1.0),), guidance=3.0),
    spec([(START, 0.2), (END, 0.3), (THIRD, 0.5)], ((1, 0.3), (2, 0.3), (3, 0.4))),
    spec(between(0.5), ((4, 1.0),), negatives=[("blurry", 0.5), ("dark", 0.5)]),
]


def test_coefficients_are_integrated_once(folders, monkeypatch):
    counted = []
    stock = diffusers.LMSDiscreteScheduler.get_lms_coefficient

    def integrate(*given):
        counted.append(given[1:])
        return stock(*given)

    monkeypatch.setattr(diffusers.LMSDiscreteScheduler, "get_lms_coefficient", integrate)
    diffusion = open_tiny(folders["sd1"], steps=5)
    first = render(diffusion, FILM[0])
    assert len(counted) == len(set(counted)) == 1 + 2 + 3 + 4 + 4  # of the orders that grow to 4
    render(diffusion, *FILM[1:])
    assert same_pictures(first, render(diffusion, FILM[0]))
    assert len(counted) == 14


@pytest.mark.parametrize("blend", ["noise", "embedding"])
@pytest.mark.parametrize("scheduler", [LMS, "DPMSolverMultistepScheduler", *STOCHASTIC])
def test_a_frame_does_not_depend_on_its_neighbours(opened, scheduler, blend):
    diffusion = opened(scheduler=scheduler, blend=blend)
    together = render(diffusion, *FILM)
    assert same_pictures(together, [render(diffusion, frame)[0] for frame in FILM])
    assert same_pictures(together, render(diffusion, *reversed(FILM))[::-1])
    other = spec([(THIRD, 1.0)], ((9, 1.0),))
    assert same_pictures(together[:2], render(diffusion, other, *FILM[:2], other)[1:3])


def test_a_frame_does_not_depend_on_the_session(folders, opened):
    diffusion = open_tiny(folders["sd1"])
    try:
        assert same_pictures(render(diffusion, FILM[2]), render(opened(), FILM[2]))
    finally:
        diffusion.close()


def test_a_frame_does_not_depend_on_its_neighbours_in_bfloat16(opened):
    diffusion = opened(dtype="bfloat16")
    together = render(diffusion, *FILM)
    assert same_pictures(together, [render(diffusion, frame)[0] for frame in FILM])
    precise = render(opened(), FILM[1])[0]
    assert 0 < np.abs(together[1].astype(int) - precise).mean() < 20


@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_ends_are_the_plain_single_prompt_pictures(opened, blend):
    plain = render(opened(), spec([(START, 1.0)]), spec([(END, 1.0)]))
    ends = render(opened(blend=blend), spec(between(0.0)), spec(between(1.0)))
    assert same_pictures(plain, ends)


@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_order_of_prompts_and_seeds_does_not_matter(opened, blend):
    frame = FILM[2]
    shuffled = spec(frame.prompts[::-1], frame.seeds[::-1])
    assert same_pictures(render(opened(blend=blend), frame), render(opened(blend=blend), shuffled))


def test_embedding_and_noise_blend_differ_between_the_ends(opened):
    noise, embedding = (render(opened(blend=b), FILM[0])[0] for b in ("noise", "embedding"))
    assert difference(noise, embedding) > 5


def test_own_guidance_and_negative_of_each_frame_show(opened):
    specs = [
        spec([(START, 1.0)]),
        spec([(START, 1.0)], guidance=2.0),
        spec([(START, 1.0)], negatives=[("blurry", 1.0)]),
    ]
    first, *others = render(opened(), *specs)
    assert all(difference(first, other) > 5 for other in others)


# --- what it costs -----------------------------------------------------------------------------


@pytest.mark.parametrize("blend", ["noise", "embedding"])
@pytest.mark.parametrize(
    "frame",
    [
        spec([(START, 1.0), (END, 0.0)]),
        spec(between(0.5), negatives=[("blurry", 0.5), ("blurry", 0.5)]),
        spec(between(0.5), guidance=1.0),
        spec(between(0.5), guidance=0.0),
        FILM[2],
        FILM[3],
    ],
)
def test_rows_computed_are_rows_planned(opened, frame, blend):
    diffusion = opened(blend=blend)
    diffusion.denoiser.forget_first_rows()
    before = diffusion.rows, diffusion.padded_rows
    render(diffusion, frame)
    needed = rows(frame, blend, STABLE_DIFFUSION)
    assert diffusion.rows - before[0] == 4 * needed == planned(diffusion.recipe, frame)
    assert diffusion.padded_rows - before[1] == 4 * (-needed % (12 if blend == "noise" else 8))


def planned(recipe, *specs):
    """Rows that a plan says these frames take."""
    frames = [PlannedFrame(0, Fraction(0), frame, "") for frame in specs]
    return planned_rows(frames, recipe, recipe.scheduler, STABLE_DIFFUSION)


@pytest.mark.parametrize("blend", ["noise", "embedding"])
@pytest.mark.parametrize("rows_per_call", [12, None])
def test_rows_of_the_first_evaluation_are_computed_once(folders, monkeypatch, blend, rows_per_call):
    if rows_per_call is None:
        monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)
    diffusion = open_tiny(folders["sd1"], blend=blend)
    film = [spec(between(k / 4), ((1 + k // 3, 1.0),)) for k in range(5)]
    alone = [render(diffusion, frame)[0] for frame in film]
    assert diffusion.rows == planned(diffusion.recipe, *film)
    each = sum(4 * rows(frame, blend, STABLE_DIFFUSION) for frame in film)
    assert diffusion.rows == each - {"noise": 5 + 2, "embedding": 2 + 1}[blend]
    fresh = open_tiny(folders["sd1"], blend=blend)
    assert same_pictures(alone, render(fresh, *film))
    assert fresh.rows == diffusion.rows
    diffusion.close()
    fresh.close()


def test_each_text_is_encoded_once(folders):
    progress_calls = []
    diffusion = open_tiny(folders["sd1"])
    diffusion.expect((), on_text=lambda *progress: progress_calls.append(progress))
    encoded = []
    encoder = diffusion.pipeline.text_encoder
    encoder.register_forward_pre_hook(lambda _, given: encoded.append(given[0].tolist()))
    render(diffusion, *FILM)
    first = len(encoded)
    for frame in FILM:
        render(diffusion, frame)
        render(diffusion, *FILM[1:], frame)
    diffusion.close()
    texts = 6  # three prompts, three negatives
    assert progress_calls == [(done, texts) for done in range(1, texts + 1)]
    assert first == texts + 2  # one more to learn the axes, one for the frames' placeholder
    assert len(encoded) == first
    assert all(len(rows) == 1 for rows in encoded)


def test_the_number_of_frames_does_not_change_what_is_kept(opened):
    diffusion = opened()
    render(diffusion, *FILM)
    kept = len(diffusion.denoiser.texts.known)
    for seed in range(30):
        render(diffusion, spec(between(seed / 30), ((seed, 1.0),)))
    assert len(diffusion.denoiser.texts.known) == kept
    assert len(diffusion.denoiser.calls) <= 2  # layouts, with and without guidance
    assert len(diffusion.denoiser.first.rows) <= REMEMBERED_ROWS


def test_batch_is_fixed_by_device_and_size():
    assert frames_at_once("cpu", (1, 4, 32, 32)) == 4
    assert frames_at_once("cpu", (1, 4, 64, 64)) == 1
    assert frames_at_once("cpu", (1, 4, 128, 128)) == 1


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("total", "weights", "one", "two", "rows", "side", "frames"),
    [
        (24 * GB, 2 * GB, GB, 3 * GB // 2, 3, 16, 8),  # 17.2 GB are left, 34.4 rows of half a GB
        (24 * GB, 2 * GB, GB, 3 * GB // 2, 2, 16, 16),
        (8 * GB, 5 * GB, GB, 2 * GB, 3, 16, 1),
        (4 * GB, 5 * GB, GB, 2 * GB, 3, 16, 1),
        (140 * GB, 2 * GB, GB // 10, GB // 5, 3, 16, 64),
        (140 * GB, 2 * GB, GB // 10, GB // 5, 3, 64, 8),
        (140 * GB, 2 * GB, GB // 10, GB // 5, 3, 128, 2),
        (140 * GB, 2 * GB, GB // 10, GB // 5, 3, 256, 1),
        (24 * GB, 2 * GB, GB, GB, 3, 16, 8),  # an allocator that shows no difference
    ],
)
def test_a_gpus_batch_is_the_power_of_two_that_fits(total, weights, one, two, rows, side, frames):
    assert frames_that_fit(total, weights, one, two, rows, side * side) == frames


def test_a_gpus_batch_is_measured_and_not_what_happens_to_be_free(folders, monkeypatch):
    """With a GPU's answers in the CPU's place; the denoiser really is called."""
    sizes = iter([2 * GB, 2 * GB, 2 * GB])
    peaks = iter([3 * GB, 7 * GB // 2])
    memory = type("Properties", (), {"total_memory": 24 * GB})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: next(sizes))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: next(peaks))
    for name in ("reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda device: None)
    stock, rows = open_stock(folders["sd1"]), []
    forward = stock.denoiser.forward

    @wraps(forward)
    def counted(**given):
        rows.append(len(given["sample"]))
        return forward(**given)

    stock.denoiser.forward = counted
    assert frames_filling_gpu(stock) == 8
    assert rows == [1, 2]
    stock.close()
    del stock.denoiser.forward
    diffusion = open_tiny(folders["sd1"], batch=8)
    assert diffusion.batch == 8
    assert same_pictures(render(diffusion, *FILM), render(diffusion, *FILM))
    diffusion.close()


@pytest.mark.parametrize(
    ("kind", "in_place", "frames"), [("cuda", True, 16), ("cuda", False, 8), ("cpu", True, 4)]
)
def test_a_gpus_memory_is_filled_where_all_of_the_model_is_in_it(
    monkeypatch, kind, in_place, frames
):
    monkeypatch.setattr(open_model, "frames_filling_gpu", lambda stock: 16)
    stock = SimpleNamespace(device=torch.device(kind), noise_shape=(1, 4, 32, 32))
    assert open_model.frames_a_batch(stock, in_place) == frames


def test_batch_of_other_gpus_is_fixed():
    assert frames_at_once("mps", (1, 4, 64, 64)) == 4


@pytest.mark.parametrize(
    ("kind", "side", "family", "batch", "rows"),
    [
        *(("cpu", 8, STABLE_DIFFUSION, batch, (12, 8, 4)) for batch in (1, 4, 100)),
        ("cpu", 64, STABLE_DIFFUSION, 4, (None, None, 1)),
        ("cpu", 64, FAMILIES["StableDiffusion3Pipeline"], 4, (1, 1, 1)),
        ("cuda", 64, FAMILIES["StableDiffusion3Pipeline"], 8, (24, 16, 8)),
    ],
)
def test_rows_of_a_call_follow_the_size_on_a_cpu_and_the_batch_elsewhere(
    kind, side, family, batch, rows
):
    assert batch_size.rows_per_call(kind, (1, 4, side, side), batch, family, "noise") == rows


def test_another_batch_leaves_the_rows_of_a_call_on_a_cpu(opened):
    diffusion = opened()
    before = diffusion.batch
    for batch in (1, 4, 100):
        diffusion.set_batch(batch)
        assert diffusion.rows_per_call() == (12, 8, 4)
    diffusion.set_batch(before)


def test_large_pictures_on_a_cpu_are_the_same_alone_and_together(folders, monkeypatch):
    """There, a frame's rows are a call of their own."""
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)
    diffusion = open_tiny(folders["sd1"])
    together = render(diffusion, *FILM)
    assert diffusion.padded_rows == 0
    assert same_pictures(together, [render(diffusion, frame)[0] for frame in FILM])
    diffusion.close()


def test_batch_asked_for_is_kept(folders):
    diffusion = open_tiny(folders["sd1"], batch=7)
    assert diffusion.batch == 7
    before = render(diffusion, *FILM)
    diffusion.set_batch(1)
    assert diffusion.batch == 1
    assert same_pictures(before, [render(diffusion, frame)[0] for frame in FILM])
    diffusion.close()


# --- progress and failures ---------------------------------------------------------------------


def test_progress_is_reported_at_each_evaluation(opened):
    progress = []
    opened(scheduler="HeunDiscreteScheduler").render(FILM, lambda *step: progress.append(step))
    assert progress == [(done, 7) for done in range(1, 8)]


def test_what_progress_raises_ends_the_rendering_and_the_next_is_right(opened):
    diffusion = opened()
    before = render(diffusion, *FILM)

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diffusion.render(FILM, interrupt)
    assert same_pictures(before, render(diffusion, *FILM))


def test_a_picture_that_is_not_finite_fails_alone(opened):
    diffusion = opened()
    hopeless = spec([(START, 1.0)], guidance=1e39)
    with pytest.raises(NonFiniteFrames, match="not finite") as failed:
        render(diffusion, FILM[0], hopeless, FILM[1])
    assert failed.value.places == (1,)
    assert set(failed.value.good) == {0, 2}
    assert same_pictures([failed.value.good[0], failed.value.good[2]], render(diffusion, *FILM[:2]))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_picture_that_overflows_is_reported_before_it_is_clamped(folders, value):
    diffusion = open_tiny(folders["sd1"])
    before = render(diffusion, FILM[0])
    bias = diffusion.pipeline.vae.decoder.conv_out.bias
    with torch.no_grad():
        kept = bias.clone()
        bias[0] = value
        with pytest.raises(NonFiniteFrames):
            render(diffusion, FILM[0])
        bias.copy_(kept)
    assert same_pictures(before, render(diffusion, FILM[0]))


def test_infinite_pictures_are_not_finite_either():
    with pytest.raises(NonFiniteFrames):
        rounded(torch.full((1, 3, 2, 2), torch.inf)).all()


def test_pictures_are_rounded_and_not_cut():
    values = torch.tensor([0.0, 0.499, 0.999]).view(1, 3, 1, 1)
    (picture,) = rounded(values).all()
    assert picture.shape == (1, 1, 3)
    assert picture.ravel().tolist() == [0, 127, 255]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 99 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        MemoryError(),
    ],
)
def test_memory_that_does_not_suffice_is_an_error_of_its_own(opened, monkeypatch, error):
    def fail(**arguments):
        raise error

    diffusion = opened()
    failing = replace(diffusion.denoiser.plan, compute=fail)
    monkeypatch.setattr(diffusion.denoiser, "plan", failing)
    with pytest.raises(OutOfMemory, match="out of memory") as raised:
        render(diffusion, FILM[0])
    assert raised.value.__cause__ is error


def test_other_errors_of_the_model_pass_as_they_are(opened, monkeypatch):
    def fail(**arguments):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    diffusion = opened()
    failing = replace(diffusion.denoiser.plan, compute=fail)
    monkeypatch.setattr(diffusion.denoiser, "plan", failing)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        render(diffusion, FILM[0])


def test_more_steps_than_a_scheduler_has_are_refused(folders):
    with pytest.raises(ConfigError, match=r"^scheduler: LCMScheduler with 60 steps: .*") as refused:
        open_tiny(folders["sd1"], "LCMScheduler", steps=60)
    assert len(str(refused.value).splitlines()) == 1
