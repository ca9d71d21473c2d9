"""Tests that need a GPU; without one they are skipped, and the rest runs on the CPU in its place
(engines/test_requirements.py, run/test_frame_loop.py)."""

import warnings
from contextlib import contextmanager
from fractions import Fraction

import pytest
import torch
from compiling import Compiled
from pictures import difference
from test_sampler import FILM, open_tiny, render
from tiny_models import SIDE

from render.engines.open_model import open_diffusion
from render.kernels.cuda_graphs import Graphed
from render.models.model_source import ModelSource
from render.plan.frame_plan import PlannedFrame, Recipe
from render.run.frame_loop import render_frames

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")


def on_gpu(folder, dtype="float32", batch=None, **options):
    source = ModelSource(folder, None, None, None, None)
    recipe = Recipe("tiny", "LMSDiscreteScheduler", {}, 4, SIDE, SIDE, dtype, "noise")
    return open_diffusion(source, recipe, "cuda", batch, **options)


def ignored(done, total):
    pass


def test_float32_is_the_cpus_picture(tiny_sd1):
    gpus = render(on_gpu(tiny_sd1), *FILM)
    assert difference(gpus, render(open_tiny(tiny_sd1), *FILM)) <= 1
    assert torch.backends.cudnn.allow_tf32  # as it was, outside of a render


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_frame_comes_out_the_same_alone_and_among_others(tiny_sd1, dtype):
    diffusion = on_gpu(tiny_sd1, dtype, batch=4)
    together = render(diffusion, *FILM)
    assert difference(together, [render(diffusion, frame)[0] for frame in FILM]) == 0


def test_a_captured_call_replays_with_other_values(tiny_sd1):
    diffusion, made = on_gpu(tiny_sd1, batch=2), []
    stock = render(diffusion, *FILM[:2]) + render(diffusion, *FILM[2:4])
    engine = Compiled("cuda", lambda call: made.append(Graphed(call)) or made[-1])
    diffusion = on_gpu(tiny_sd1, batch=2, engine=engine)
    captured = render(diffusion, *FILM[:2]) + render(diffusion, *FILM[2:4])
    assert difference(stock, captured) <= 1
    assert [len(each.captured) for each in made] == [1, 1]


def test_batches_overlap_and_every_picture_is_its_frames(tiny_sd1):
    diffusion = on_gpu(tiny_sd1, batch=2)
    alone = [render(diffusion, frame)[0] for frame in FILM]
    planned = [PlannedFrame(k, Fraction(k), spec, f"d{k}") for k, spec in enumerate(FILM)]
    taken, failed = [], []
    handlers = (lambda _: None, lambda *_: None, taken.extend, failed.append, lambda _: None)
    assert list(render_frames(diffusion, planned, *handlers))
    assert [frame.index for frame, _ in taken] == list(range(len(FILM)))
    assert difference([picture() for _, picture in taken], alone) == 0
    assert not failed


@contextmanager
def nothing_may_wait():
    """Inside of the block, what waits for the GPU is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is new in torch
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_nothing_waits_while_a_batch_is_begun(tiny_sd1):
    diffusion = on_gpu(tiny_sd1, batch=2)
    first, alone = diffusion.render(FILM[:2], ignored), render(diffusion, *FILM[2:4])
    first.all()
    with nothing_may_wait():
        again = diffusion.render(FILM[2:4], ignored)
    assert difference(again.all(), alone) == 0


def test_a_batch_is_chosen_by_memory(tiny_sd1):
    assert on_gpu(tiny_sd1).batch == 64
