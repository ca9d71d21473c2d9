"""The compiled engine: torch.compile of the denoiser and the decoder, kept between runs.

A run's calls have one shape or a few, so each is compiled by itself and none for shapes that vary.
A U-Net is compiled whole; of a transformer the block that it repeats, which takes a fraction of
the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from render.blend import BlendedDenoiser
from render.engines import COMPILED_CACHE
from render.families import Family

INDUCTOR = "inductor"


def compile_networks(
    pipeline: Any,
    family: Family,
    denoiser: BlendedDenoiser,
    kind: str,
    on_notice: Callable[[str], None],
    backend: str = INDUCTOR,
) -> None:
    """Compile what the denoiser and the decoder call, when they are first called.

    Args:
        kind: of device, `cpu` or `cuda`.
        on_notice: told, in a line, that the first frames wait.
        backend: of torch.compile.
    """
    kept = os.environ.get(COMPILED_CACHE, "torch's own cache")
    on_notice(f"the first frames wait for the compiler, up to minutes; its work is kept in {kept}")
    torch.compiler.reset()  # an earlier model's code would count against this one's
    net: Any = denoiser.denoiser
    decoder = pipeline.vae.decoder
    if kind == "cuda":
        for part in (net, decoder):
            part.to(memory_format=torch.channels_last)
    regional = family.denoiser != "unet" and bool(getattr(net, "_repeated_blocks", None))
    if regional:
        options = {} if kind == "cuda" else how(kind, backend)
        net.compile_repeated_blocks(fullgraph=True, backend=backend, dynamic=False, **options)
    else:
        denoiser.stock_forward = whole(denoiser.stock_forward, kind, backend)
    decoder.forward = whole(decoder.forward, kind, backend)


def how(kind: str, backend: str) -> dict[str, Any]:
    """Inductor's options: on a GPU one launch a call (CUDA graphs), on a CPU weights laid out
    once, since nothing changes them."""
    if backend != INDUCTOR:
        return {}
    return {"options": {"triton.cudagraphs": True} if kind == "cuda" else {"freezing": True}}


def whole(forward: Callable[..., Any], kind: str, backend: str) -> Callable[..., Any]:
    """A network's `forward`, compiled; what it returns is the caller's to keep."""
    compiled = torch.compile(forward, backend=backend, dynamic=False, **how(kind, backend))
    if kind != "cuda":
        return compiled

    def call(*args: Any, **kwargs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # from here the graph's memory is used again
        output = compiled(*args, **kwargs)
        return output.clone() if isinstance(output, torch.Tensor) else (output[0].clone(),)

    return call
