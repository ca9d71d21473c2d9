"""Kernels can be left out, and whatever was patched into a pipeline comes out again."""

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from films import composed
from pictures import render
from tiny_models import SIDE

from render.config.schema import ComputeConfig
from render.diffusion import batch_size
from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.model_source import ModelSource
from render.plan.approximations import Approximations
from render.plan.frame_plan import Recipe
from render.run.resolve import open_film
from render.timeline.spec import FrameSpec

SPECS = [
    FrameSpec((("a castle", 1 - t), ("a lake", t)), (("", 1.0),), ((seed, 1.0),), 3.0)
    for t, seed in ((0.5, 1), (0.25, 2))
]


def opened(folder, kernels, dtype="float32", deep_cache=1):
    approximations = Approximations(deep_cache=deep_cache)
    recipe = Recipe(
        "tiny",
        "LMSDiscreteScheduler",
        {},
        4,
        SIDE,
        SIDE,
        dtype,
        "noise",
        approximations=approximations,
    )
    source = ModelSource(folder, None, None, None, None)
    return open_diffusion(source, recipe, "cpu", compute=ComputeConfig(kernels=kernels))


def own_forwards(pipeline):
    """Networks' modules whose `forward` is not their class's."""
    return {
        name
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)
        for name, module in part.named_modules()
        if "forward" in vars(module)
    }


@pytest.mark.parametrize("large", [False, True])
def test_stock_kernels_paint_the_same_in_float32(tiny_sd1, monkeypatch, large):
    if large:
        monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)  # as where pictures are in tiles
    ours, stock = (opened(tiny_sd1, kernels) for kernels in ("auto", "stock"))
    assert own_forwards(stock.pipeline) == {""}  # the blend, at the U-Net's own
    assert len(own_forwards(ours.pipeline)) > 5
    pairs = zip(render(ours, *SPECS), render(stock, *SPECS), strict=True)
    assert max(np.abs(a.astype(int) - b).max() for a, b in pairs) <= 1
    together = render(stock, *SPECS)
    assert np.array_equal(render(stock, SPECS[1])[0], together[1])


def plan_of(folder, out, **compute):
    changes = {f"compute.{key}": value for key, value in compute.items()}
    return open_film(composed(folder, out, changes), "", str).plan


def test_stock_kernels_are_another_identity_in_16_bits_alone(tiny_sd1, tmp_path):
    for dtype, another in (("float32", False), ("bfloat16", True)):
        digests = {
            plan_of(tiny_sd1, tmp_path, dtype=dtype, kernels=kernels).digest
            for kernels in ("auto", "stock")
        }
        assert len(digests) == 1 + another


def test_stock_kernels_are_for_torch(tiny_sd1, tmp_path):
    with pytest.raises(ConfigError) as error:
        plan_of(tiny_sd1, tmp_path, kernels="stock", engine="compiled")
    message = "compute.kernels: compiled computes whole networks in place"
    assert f"{message}; use compute.engine=torch with it" in str(error.value)


def shape(pipeline):
    """The attributes of all objects of a pipeline, and how many hooks its modules have."""
    parts = {name: part for name, part in pipeline.components.items() if part is not None}
    found = {"pipeline": sorted(vars(pipeline))}
    for name, part in parts.items():
        modules = part.named_modules() if isinstance(part, torch.nn.Module) else [("", part)]
        for path, module in modules:
            kinds = ("_forward_hooks", "_forward_pre_hooks")
            hooks = [len(vars(module).get(kind, ())) for kind in kinds]
            found[f"{name}.{path}"] = [type(module).__name__, *sorted(vars(module)), *hooks]
    return found


def stock_picture(pipeline):
    generator = torch.Generator().manual_seed(0)
    asked = {"num_inference_steps": 2, "generator": generator, "output_type": "np"}
    return pipeline("a castle", height=SIDE, width=SIDE, **asked).images


@pytest.mark.parametrize("on_cpu", [False, True])
@pytest.mark.parametrize("deep_cache", [1, 2])
def test_a_closed_models_pipeline_is_the_stock_one(tiny_sd1, monkeypatch, on_cpu, deep_cache):
    """With stock kernels, and with those that a GPU has."""
    monkeypatch.setattr("render.engines.protocol.Opened.on_cpu", on_cpu)
    fresh = diffusers.StableDiffusionPipeline.from_pretrained(
        tiny_sd1, safety_checker=None, requires_safety_checker=False
    )
    diffusion = opened(tiny_sd1, "stock" if on_cpu else "auto", deep_cache=deep_cache)
    render(diffusion, *SPECS)
    pipeline = diffusion.pipeline
    assert shape(pipeline) != shape(fresh)
    diffusion.close()
    assert np.array_equal(stock_picture(pipeline), stock_picture(fresh))
    assert shape(pipeline) == shape(fresh)
    assert dict(pipeline.scheduler.config) == dict(fresh.scheduler.config)
    assert pipeline.config["scheduler"] == fresh.config["scheduler"]


def test_of_all_kernels_only_layers_with_weights_of_their_own_stay(tiny_sd1):
    diffusion = opened(tiny_sd1, "auto", "bfloat16")
    pipeline = diffusion.pipeline
    diffusion.close()
    assert own_forwards(pipeline) == set()
    processors = {type(each) for each in pipeline.unet.attn_processors.values()}
    assert processors == {AttnProcessor2_0}
    assert "step" not in vars(pipeline.scheduler)


def test_opening_a_model_and_rendering_change_nothing_of_the_process(tiny_sd1, monkeypatch):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    monkeypatch.setattr("render.kernels.cpu_malloc.of_glibc", lambda name: pytest.fail(name))
    monkeypatch.setattr("render.diffusion.text_encoding.give_back", lambda: None)

    def settings():
        flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        libraries = diffusers_logging, transformers_logging
        loggers = [(each.get_verbosity(), each.is_progress_bar_enabled()) for each in libraries]
        return torch.get_num_threads(), flags, loggers

    before = settings()
    diffusion = opened(tiny_sd1, "auto")
    assert settings() == before
    render(diffusion, SPECS[0])
    diffusion.close()
    assert settings() == before
