"""torch.compile of the denoiser and the decoder.

A run's calls have one shape or a few, so each is compiled by itself and none for shapes that vary.
On a GPU the blocks that a network repeats are compiled, each kind of block once, which takes a
fraction of the time, and then the whole call is one CUDA graph. On a CPU a U-Net is compiled whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D

from render.engines.layer_kernels import lay_out, unet_of
from render.engines.protocol import Computation, Opened
from render.engines.requirements import COMPILED_CACHE
from render.kernels.cuda_graphs import Graphed
from render.kernels.fused_upsampling import FourPhases, merge_upsampling
from render.kernels.memory_format import put_channels_last
from render.kernels.shared_prefix import CapturedPrefix, Wrapper, layers_before_texts

INDUCTOR = "inductor"
UNET_BLOCKS = (ResnetBlock2D, Transformer2DModel, Upsample2D)
KINDS_OF_BLOCKS = 64  # of a network; torch gives up after 8, taking them for shapes that vary


def compile_networks(
    opened: Opened, kind: str, backend: str = INDUCTOR, graphed: Wrapper = Graphed
) -> Computation:
    """Compile what the denoiser and the decoder call, when they are first called.

    Args:
        kind: of device, `cpu` or `cuda`.
        backend: of torch.compile.
        graphed: what a GPU's calls are wrapped in.
    """
    kept = os.environ.get(COMPILED_CACHE, "torch's own cache")
    opened.on_notice(
        f"the first frames wait for the compiler, up to minutes; its work is kept in {kept}"
    )
    opened.patches.add(torch.compiler.reset)  # this code would count against a later model's
    decoder = opened.pipeline.vae.decoder
    if kind == "cuda":
        unet = unet_of(opened)
        merge_upsampling(decoder, unet, opened.stock.noise_shape, FourPhases, opened.patches)
        put_channels_last(opened.denoiser, opened.patches)
        put_channels_last(decoder, opened.patches)
    elif opened.on_cpu:
        lay_out(opened)
    decode = whole(decoder.forward, kind, backend)
    if kind == "cuda" and not cast_for_decoding(opened.pipeline):
        decode = graphed(decode)
    opened.patches.replace(decoder, "forward", decode)
    call = compiled_denoiser(opened, kind, backend)
    return captured(opened, call, graphed) if kind == "cuda" else Computation(call)


def compiled_denoiser(opened: Opened, kind: str, backend: str) -> Callable[..., Any]:
    """The denoiser's call: its blocks compiled, or all of it."""
    net, unet = opened.denoiser, unet_of(opened)
    repeated = getattr(net, "_repeated_blocks", None)
    if unet is None and repeated:
        options = {} if kind == "cuda" else how(backend)
        blocks = (block for block in net.modules() if type(block).__name__ in repeated)
        compile_blocks(opened, blocks, backend, options)
    elif unet is not None and kind == "cuda":
        compile_blocks(opened, unet_blocks(net), backend, {})
    else:
        return whole(net.forward, kind, backend)
    return with_room(net.forward)


def compile_blocks(
    opened: Opened, blocks: Iterable[torch.nn.Module], backend: str, options: dict[str, Any]
) -> None:
    """Compile blocks of a network, each kind of block once."""
    for block in list(blocks):
        opened.patches.replace(block, "_compiled_call_impl", None)  # which `compile` sets
        block.compile(fullgraph=True, backend=backend, dynamic=False, **options)


def captured(opened: Opened, call: Callable[..., Any], graphed: Wrapper) -> Computation:
    """A GPU's call of the denoiser as one graph, with the layers that rows have in common."""
    unet = unet_of(opened)
    if unet is not None and any(layers_before_texts(unet)):
        prefix = CapturedPrefix(unet, graphed, call, opened.patches)
        return Computation(prefix, prefix)
    return Computation(graphed(call))


def with_room(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call with compiled blocks in it, for which torch does not give up early."""

    def roomy(*args: Any, **named: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=KINDS_OF_BLOCKS):
            return call(*args, **named)

    return roomy


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
    return with_room(torch.compile(forward, backend=backend, dynamic=False, **options))


def how(backend: str) -> dict[str, Any]:
    """Inductor's options on a CPU: weights are laid out once, since nothing changes them."""
    return {"options": {"freezing": True}} if backend == INDUCTOR else {}
