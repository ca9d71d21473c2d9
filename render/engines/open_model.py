"""A model opened for a recipe: pipeline, LoRAs, ControlNet, frames a batch, engine, blend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from render.config.schema import ComputeConfig
from render.diffusion.batch_size import (
    frames_at_once,
    frames_for_gpu,
)
from render.diffusion.blended_denoiser import BlendedDenoiser, DenoiserPlan
from render.diffusion.controlnet import Residuals, load_residuals
from render.diffusion.decoded import out_of_memory
from render.diffusion.family_pipeline import FamilyPipeline
from render.diffusion.lora_adapters import Adapters
from render.diffusion.pipeline import load_pipeline, quiet_libraries
from render.diffusion.sampler import Diffusion
from render.diffusion.text_conditionings import TextConditionings
from render.diffusion.text_encoding import PLACEHOLDER
from render.engines.protocol import Computation, Engine, Opened
from render.engines.registry import abilities_of, as_loaded, engine_named
from render.kernels.block_cache import BlockCache
from render.kernels.cuda_async import keep_sizes_there, keep_steps_here
from render.kernels.deep_cache import DeepCache
from render.kernels.memory_format import multiplied_as_declared
from render.models.lora_files import Lora
from render.models.model_source import ModelSource
from render.plan.blends import BLENDS
from render.plan.conditioning import RowText
from render.plan.frame_plan import Recipe


def open_diffusion(
    source: ModelSource,
    recipe: Recipe,
    device: str,
    batch: int | None = None,
    compute: ComputeConfig | None = None,
    images: Mapping[str, Path] | None = None,
    loras: Sequence[Lora] = (),
    on_notice: Callable[[str], None] = lambda notice: None,
    engine: Engine | None = None,
) -> Diffusion:
    """Load a model for a recipe. Nothing of the process is changed.

    Args:
        source: where the weights are.
        recipe: what all frames share.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        batch: frames a call, or None for a number that is always the same on such a device.
        compute: the engine, and what is done where memory is short.
        images: where the pictures lie that frames start from or follow, by their digests.
        loras: those that frames may name.
        on_notice: called with a line whenever an engine takes long.
        engine: in place of the one that `compute` names.

    Raises:
        ConfigError: the model, its scheduler, a LoRA or the device can't be used; one line a
            reason.
        OutOfMemory: the model does not fit.
    """
    compute = compute or ComputeConfig()
    engine = engine or engine_named(compute.engine)
    with out_of_memory(), quiet_libraries(), multiplied_as_declared(recipe.dtype):
        able = abilities_of(engine)
        loading = as_loaded(compute, able)
        stock = open_pipeline(source, recipe, device, loading, loras, able.takes_quantised)
        residuals = load_residuals(source, recipe, device, images or {})
        in_place = compute.offload == "none"
        batch = batch or frames_a_batch(stock, in_place)
        opened = Opened(stock, compute, stock.rows_per_call(batch), residuals, on_notice)
        computation = engine.start(opened)
        texts = TextConditionings(stock.family.state)
        plan = planned(stock, computation, residuals)
        denoiser = BlendedDenoiser(stock.denoiser, texts, plan)
        return Diffusion(stock, denoiser, batch, images, residuals, in_place)


def open_pipeline(
    source: ModelSource,
    recipe: Recipe,
    device: str,
    compute: ComputeConfig,
    loras: Sequence[Lora] = (),
    quantisable: bool = True,
) -> FamilyPipeline:
    """The stock pipeline with its LoRAs; on a GPU so that a call of it waits for nothing."""
    loaded = load_pipeline(source, recipe, device, compute, quantisable)
    on = torch.device(device)
    kernels = compute.offload == "none" and compute.kernels == "auto"
    ahead = on.type == "cuda" and loaded.family.host_runs_ahead and kernels
    if ahead:
        keep_steps_here(loaded.pipeline.scheduler, loaded.schedule)
        keep_sizes_there(loaded.pipeline, on, loaded.patches)
    adapters = Adapters(loaded.pipeline, loaded.family, loras)
    return FamilyPipeline(loaded, recipe, device, adapters, ahead)


def planned(
    stock: FamilyPipeline, computation: Computation, residuals: Residuals | None
) -> DenoiserPlan:
    """How the denoiser's rows are computed from now on."""
    taken = stock.recipe.approximations
    every, net, patches = taken.deep_cache, stock.denoiser, stock.patches
    return DenoiserPlan(
        compute=computation.compute,
        combine=stock.family.guidance.combine,
        apply_loras=stock.adapters.apply,
        residuals=residuals,
        prefix=computation.prefix,
        deep=DeepCache(net, patches) if every > 1 else None,
        deep_every=every,
        blocks=BlockCache(net, taken.block_cache, patches) if taken.block_cache else None,
    )


def frames_a_batch(stock: FamilyPipeline, in_place: bool) -> int:
    """Frames to render at a time: on a GPU as many as its memory has room for, unless parts of the
    model wait in main memory, which can't be measured so."""
    if stock.device.type == "cuda" and in_place:
        return frames_filling_gpu(stock)
    return frames_at_once(stock.device.type, stock.noise_shape)


def frames_filling_gpu(stock: FamilyPipeline) -> int:
    """Frames that the GPU's memory has room for, by two calls of the denoiser."""
    recorded = [stock.recorded_call(RowText(PLACEHOLDER), rows) for rows in (1, 2)]
    calls = [partial(stock.denoiser.forward, **given) for given in recorded]
    rows = BLENDS[stock.recipe.blend].usual_rows
    with torch.inference_mode():
        return frames_for_gpu(stock.device, calls, rows, stock.noise_shape)
