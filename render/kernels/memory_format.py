"""How a network lies in memory and attends, by where and in which dtype it computes."""

from __future__ import annotations

from typing import Any

import torch

from render.kernels.cpu_chunked_attention import use_chunks


def lay_out(net: Any, device: str) -> None:
    """Lay a U-Net, a ControlNet or a VAE out as torch computes it fastest: on a CPU channels last,
    and in 16 bits attending in chunks. On a GPU its group norms put channels first again (compiled
    ones don't)."""
    if device == "cpu":
        put_channels_last(net)
        if net.dtype != torch.float32:
            use_chunks(net)


def put_channels_last(net: Any) -> None:
    """Lay a network of pictures out so; one of videos has no such layout."""
    if all(weight.ndim < 5 for weight in net.parameters()):
        net.to(memory_format=torch.channels_last)


def multiply_as_declared(dtype: str) -> None:
    """Let a GPU multiply float32 as what it is where it is the film's dtype, and not as TF32, which
    is torch's default for convolutions and has the digits of float16."""
    exactly = dtype == "float32"
    torch.backends.cudnn.allow_tf32 = not exactly
    torch.backends.cuda.matmul.allow_tf32 = not exactly
