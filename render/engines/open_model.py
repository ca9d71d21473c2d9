"""A model loaded for a recipe: pipeline, LoRAs, ControlNet, frames a batch and engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from render.config.schema import ComputeConfig
from render.diffusion.batch_size import frames_for_gpu
from render.diffusion.controlnet import load_residuals
from render.diffusion.lora_adapters import Adapters
from render.diffusion.pipeline import give_scheduler, load_pipeline
from render.diffusion.sampler import ANCHORS_PER_FRAME, Diffusion, out_of_memory
from render.diffusion.text_encoding import PLACEHOLDER
from render.engines.openvino import convert_networks
from render.engines.threads import threads_for
from render.engines.torch_compile import compile_networks
from render.kernels.cpu_chunked_attention import use_whole
from render.kernels.cpu_inplace_resnet import write_in_place
from render.kernels.cpu_malloc import keep_freed
from render.kernels.cpu_onednn_linear import use_onednn
from render.kernels.cpu_winograd import has_tiles, use_tiles
from render.kernels.cuda_async import keep_steps_here, run_ahead
from render.kernels.fused_upsampling import Phases, merge_upsampling, transposed
from render.kernels.memory_format import multiply_as_declared
from render.kernels.shared_prefix import SharedPrefix
from render.models.family import Family
from render.models.lora_files import Lora
from render.models.memory_budget import whole_memory
from render.models.model_source import ModelSource
from render.plan.blends import BLENDS
from render.plan.conditioning import Text
from render.plan.frame_plan import Recipe

FOR_TILES = 0.2  # of the whole memory: what weights for tiles may take more than their layers did
FOR_WEIGHTS = 0.75  # of it: all weights with those for tiles; the rest is for pictures and others


def open_diffusion(
    source: ModelSource,
    recipe: Recipe,
    device: str,
    batch: int | None = None,
    on_text: Callable[[int, int], None] | None = None,
    compute: ComputeConfig | None = None,
    images: Mapping[str, Path] | None = None,
    loras: Sequence[Lora] = (),
    on_notice: Callable[[str], None] = lambda notice: None,
) -> Diffusion:
    """Load a model for a recipe.

    Args:
        source: where the weights are.
        recipe: what all frames share.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        batch: frames a call, or None for a number that is always the same on such a device.
        on_text: told (done, total) while texts are encoded.
        compute: what it says of little memory and of threads.
        images: where the pictures lie that frames start from or follow, by their
            digests.
        loras: those that frames may name.
        on_notice: told what an engine takes long for, a line each.

    Raises:
        ConfigError: the model, its scheduler, a LoRA or the device can't be used; one line a
            reason.
        OutOfMemory: the model does not fit.
    """
    if compute and (threads := threads_for(compute.threads)):
        torch.set_num_threads(threads)
    multiply_as_declared(recipe.dtype)
    with out_of_memory():
        pipeline, family = load_pipeline(source, recipe, device, compute, bool(loras))
        in_place = compute is None or compute.offload == "none"
        if waits_for_nothing(torch.device(device), family, compute):
            run_ahead(pipeline, torch.device(device))
        adapters = Adapters(pipeline, family, loras)
        if loras and device == "cpu" and in_place:
            latents = family.noise_shape(pipeline, recipe.height, recipe.width)
            unet = family.denoiser == "unet"
            merge_upsampling(pipeline, latents, unet, transposed)  # what no LoRA changes
        residuals = load_residuals(source, recipe, device, images or {})
        diffusion = Diffusion(
            pipeline, family, recipe, device, batch, on_text, images, adapters, residuals
        )
        diffusion.readers_may_go = in_place
        if batch is None and diffusion.kind == "cuda" and diffusion.readers_may_go:
            fill_gpu(diffusion)  # parts that wait in main memory can't be measured so
        start_engine(diffusion, compute or ComputeConfig(), on_notice)
    if diffusion.kind == "cpu":
        keep_freed()  # after loading, so that text encoders' memory is given back
    return diffusion


def turn_to(
    diffusion: Diffusion,
    recipe: Recipe,
    images: Mapping[str, Path] | None = None,
    compute: ComputeConfig | None = None,
) -> None:
    """Let a loaded model render by another recipe (`Diffusion.turn_to` has what may differ).

    Raises:
        ConfigError: its scheduler refuses its options or the number of steps.
    """
    give_scheduler(diffusion.pipeline, recipe)
    if waits_for_nothing(diffusion.device, diffusion.family, compute):
        keep_steps_here(diffusion.pipeline.scheduler)
    diffusion.turn_to(recipe, images)


def waits_for_nothing(device: torch.device, family: Family, compute: ComputeConfig | None) -> bool:
    """Whether the host prepares a GPU's next frames while it is still at the last ones."""
    in_place = compute is None or compute.offload == "none"
    return device.type == "cuda" and family.denoiser == "unet" and in_place


def fill_gpu(diffusion: Diffusion) -> None:
    """Render as many frames at a time as the GPU's memory has room for."""
    recorded = [diffusion.record(Text(PLACEHOLDER), rows) for rows in (1, 2)]
    with torch.inference_mode():
        calls = [partial(diffusion.denoiser.stock_forward, **given) for given in recorded]
        rows = BLENDS[diffusion.recipe.blend].usual_rows
        diffusion.set_batch(frames_for_gpu(diffusion.device, calls, rows, diffusion.noise_shape))
    diffusion.anchors.remembered = ANCHORS_PER_FRAME * diffusion.batch


def start_engine(
    diffusion: Diffusion, compute: ComputeConfig, on_notice: Callable[[str], None]
) -> None:
    """Let the engine that is asked for compute the denoiser and the decoder."""
    unet = diffusion.family.denoiser == "unet"
    if compute.engine == "torch":
        save_products(diffusion, compute)
        return
    quantised = compute.quantised != "none"
    by_torch = compute.engine == "openvino" and not quantised and decodes_in_tiles(diffusion)
    if unet:
        use_whole(diffusion.denoiser.denoiser)
    if not by_torch:
        use_whole(diffusion.pipeline.vae)
    if compute.engine == "compiled":
        if diffusion.kind == "cuda":
            merge_upsampling(diffusion.pipeline, diffusion.noise_shape, unet, Phases)
        compile_networks(
            *(diffusion.pipeline, diffusion.family, diffusion.denoiser, diffusion.kind),
            diffusion.frames_per_call(),
            on_notice,
        )
        return
    recorded = [diffusion.record(Text(PLACEHOLDER), rows) for rows in (1, 2)]
    convert_networks(
        *(diffusion.pipeline, diffusion.denoiser, diffusion.recipe, recorded, on_notice),
        quantised,
        decoder=not by_torch,
    )
    if by_torch:
        write_in_place(diffusion.pipeline.vae)
        use_tiles([], diffusion.pipeline.vae, diffusion.noise_shape, room_for_tiles(diffusion))


def decodes_in_tiles(diffusion: Diffusion) -> bool:
    """Whether torch decodes faster than OpenVINO, which gains nothing by tiles (a tenth at 512 x
    512): large pictures on a CPU, in a dtype that it has."""
    large = diffusion.kind == "cpu" and diffusion.frames_per_call() == 1
    return large and diffusion.recipe.dtype != "float16" and has_tiles(diffusion.pipeline.vae)


def save_products(diffusion: Diffusion, compute: ComputeConfig) -> None:
    """Let torch compute what a frame's rows have in common once. On a CPU, where no part waits
    elsewhere, write over what is no longer needed, compute linear layers by oneDNN, and large
    pictures in tiles.

    These only where a frame's rows are a call of their own, since a row's last bits hang on its
    place in a product.
    """
    unet = diffusion.denoiser.denoiser if diffusion.family.denoiser == "unet" else None
    guiding = diffusion.residuals.net if diffusion.residuals else None
    denoising = [net for net in (unet, guiding) if net is not None]
    on_cpu = diffusion.kind == "cpu" and compute.offload == "none"
    if on_cpu:
        for net in denoising:
            write_in_place(net)
            use_onednn(net)
        write_in_place(diffusion.pipeline.vae)
    if unet:
        diffusion.denoiser.prefix = SharedPrefix(unet, diffusion.frames_per_call())
    if on_cpu and diffusion.frames_per_call() == 1:
        unchanged = [net for net in denoising if net is guiding or not diffusion.adapters.adapters]
        room = room_for_tiles(diffusion)
        use_tiles(unchanged, diffusion.pipeline.vae, diffusion.noise_shape, room)


def room_for_tiles(diffusion: Diffusion) -> int:
    """Bytes by which weights may grow: by the model and the whole memory, and not by what happens
    to be free, since tiles have a say in a picture's last bits."""
    parts = [*diffusion.pipeline.components.values(), getattr(diffusion.residuals, "net", None)]
    loaded = sum(
        weight.nbytes
        for part in parts
        if isinstance(part, torch.nn.Module)
        for weight in part.parameters()
    )
    whole = whole_memory()
    return max(0, int(min(FOR_TILES * whole, FOR_WEIGHTS * whole - loaded)))
