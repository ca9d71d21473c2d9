"""The compiled engine: torch.compile of the denoiser and the decoder, kept between runs.

A run's calls have one shape or a few, so each is compiled by itself and none for shapes that vary.
On a GPU the blocks that a network repeats are compiled, each kind of block once, which takes a
fraction of the time, and then the whole call is one CUDA graph. On a CPU a U-Net is compiled whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D

from render.diffusion.blended_denoiser import BlendedDenoiser
from render.engines.requirements import COMPILED_CACHE
from render.kernels.cuda_graphs import Graphed
from render.kernels.memory_format import put_channels_last
from render.kernels.shared_prefix import CapturedPrefix, layers_before_texts
from render.models.family import Family

INDUCTOR = "inductor"
UNET_BLOCKS = (ResnetBlock2D, Transformer2DModel, Upsample2D)
KINDS_OF_BLOCKS = 64  # of a network; torch gives up after 8, taking them for shapes that vary


def compile_networks(
    pipeline: Any,
    family: Family,
    denoiser: BlendedDenoiser,
    kind: str,
    frames_per_call: int,
    on_notice: Callable[[str], None],
    backend: str = INDUCTOR,
    graphed: Callable[[Callable[..., Any]], Callable[..., Any]] = Graphed,
) -> None:
    """Compile what the denoiser and the decoder call, when they are first called.

    Args:
        kind: of device, `cpu` or `cuda`.
        frames_per_call: whose rows usually share a call.
        on_notice: told, in a line, that the first frames wait.
        backend: of torch.compile.
        graphed: what a GPU's calls are wrapped in.
    """
    kept = os.environ.get(COMPILED_CACHE, "torch's own cache")
    on_notice(f"the first frames wait for the compiler, up to minutes; its work is kept in {kept}")
    torch.compiler.reset()  # an earlier model's code would count against this one's
    torch._dynamo.config.recompile_limit = KINDS_OF_BLOCKS
    net: Any = denoiser.denoiser
    decoder = pipeline.vae.decoder
    by_blocks = family.denoiser != "unet" and bool(getattr(net, "_repeated_blocks", None))
    if by_blocks:
        options = {} if kind == "cuda" else how(backend)
        net.compile_repeated_blocks(fullgraph=True, backend=backend, dynamic=False, **options)
    elif kind == "cuda" and family.denoiser == "unet":
        for block in unet_blocks(net):
            block.compile(fullgraph=True, backend=backend, dynamic=False)
    else:
        denoiser.stock_forward = whole(denoiser.stock_forward, kind, backend)
    decoder.forward = whole(decoder.forward, kind, backend)
    if kind == "cuda":
        put_channels_last(net)
        put_channels_last(decoder)
        if family.denoiser == "unet" and any(layers_before_texts(net)):
            captured = CapturedPrefix(net, frames_per_call, graphed, denoiser.stock_forward)
            denoiser.prefix = denoiser.stock_forward = captured
        else:
            denoiser.stock_forward = graphed(denoiser.stock_forward)
        if not cast_for_decoding(pipeline):
            decoder.forward = graphed(decoder.forward)


def cast_for_decoding(pipeline: Any) -> bool:
    """Whether the pipeline casts the decoder's weights to float32 and back, batch by batch: a graph
    would go on with those that it was captured with."""
    vae = pipeline.vae
    forced = vae.dtype == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    return forced and hasattr(pipeline, "upcast_vae")


def unet_blocks(net: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """A U-Net's layers that compute nearly all of it; none is inside of another."""
    return (module for module in net.modules() if isinstance(module, UNET_BLOCKS))


def whole(forward: Callable[..., Any], kind: str, backend: str) -> Callable[..., Any]:
    """A network's `forward`, compiled."""
    options = {} if kind == "cuda" else how(backend)
    return torch.compile(forward, backend=backend, dynamic=False, **options)


def how(backend: str) -> dict[str, Any]:
    """Inductor's options on a CPU: weights are laid out once, since nothing changes them."""
    return {"options": {"freezing": True}} if backend == INDUCTOR else {}
