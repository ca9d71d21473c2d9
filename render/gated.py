"""Gated feed-forward layers on a CPU, a matrix product for each half.

The stock layer computes what is gated and the gate as one product and takes them apart (GEGLU,
Shazeer 2020, arXiv:2002.05202), so that whatever comes after reads and writes in stretches. Two
products of the same size together leave both in one piece each: a tenth of a feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from torch import nn
from torch.nn.functional import linear


def split_gates(network: nn.Module) -> None:
    """Let a network's gated layers compute so."""
    for layer in network.modules():
        if type(layer) is GEGLU:
            layer.forward = in_halves(layer, layer.forward)


def in_halves(layer: GEGLU, stock: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The layer's `forward`; the stock one while its weights are not plain (of a LoRA, 8 bits)."""

    def forward(states: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
        proj: Any = layer.proj
        if (type(proj), type(proj.weight)) != (nn.Linear, nn.Parameter):
            return stock(states, *args, **named)
        biases = (None, None) if proj.bias is None else proj.bias.chunk(2)
        gated, gate = (
            linear(states, weight, bias)
            for weight, bias in zip(proj.weight.chunk(2), biases, strict=True)
        )
        opened: torch.Tensor = layer.gelu(gate)
        return opened.mul_(gated)

    return forward
