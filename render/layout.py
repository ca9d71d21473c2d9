"""How a network lies in memory and attends, by where and in which dtype it computes."""

from __future__ import annotations

from typing import Any

import torch

from render.attention import use_chunks


def lay_out(net: Any, device: str) -> None:
    """Lay a U-Net, a ControlNet or a VAE out as convolutions compute fastest: channels last
    everywhere on a CPU, on a GPU in 16 bits."""
    if device == "cpu" or net.dtype != torch.float32:
        net.to(memory_format=torch.channels_last)


def lay_out_denoiser(net: Any, device: str) -> None:
    """The same of a U-Net or a ControlNet, which attend in chunks on a CPU in 16 bits."""
    lay_out(net, device)
    if device == "cpu" and net.dtype != torch.float32:
        use_chunks(net)
