"""Linear layers on a CPU by oneDNN, with what follows them in the same pass.

torch hands float32 to MKL, which takes up to half as long again on AMD's CPUs, and adds a bias in
bfloat16 in a pass of its own. torch brings oneDNN's product for its compiler, with the bias and a
GELU behind it; here layers call it as they are. A gated feed-forward layer (GEGLU, Shazeer 2020,
arXiv:2002.05202) is two such products: as the stock layer's one, everything after it would read and
write in stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock
from torch import nn

Forward = Callable[..., torch.Tensor]


def use_onednn(network: nn.Module) -> None:
    """Let the linear layers of a network's transformers compute so, where oneDNN can."""
    if not torch.backends.mkldnn.is_available():
        return
    blocks = (each for each in network.modules() if isinstance(each, BasicTransformerBlock))
    layers: Iterator[Any] = (layer for block in blocks for layer in block.modules())
    for layer in layers:
        kind = type(layer)
        if kind is nn.Linear:
            layer.forward = by_onednn(layer, layer.forward)
        elif kind is GEGLU:
            layer.forward = in_halves(layer, layer.forward)


def by_onednn(layer: nn.Linear, stock: Forward) -> Forward:
    """A linear layer's `forward`."""

    def forward(states: torch.Tensor) -> torch.Tensor:
        if not is_plain(layer):
            return stock(states)
        return product(states, layer.weight, layer.bias)

    return forward


def in_halves(layer: GEGLU, stock: Forward) -> Forward:
    """A gated layer's `forward`."""

    def forward(states: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
        proj = layer.proj
        if not is_plain(proj):
            return stock(states, *args, **named)
        weights = proj.weight.chunk(2)
        biases = (None, None) if proj.bias is None else proj.bias.chunk(2)
        gate = product(states, weights[1], biases[1], "gelu", "none")
        return gate.mul_(product(states, weights[0], biases[0]))

    return forward


def product(
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    after: str = "none",
    kind: str = "",
) -> torch.Tensor:
    """(…, in) to (…, out), with what comes after: for GELU of the kind `none`, the exact one."""
    answer: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, after, [], kind)
    return answer


def is_plain(layer: Any) -> bool:
    """Whether a layer is linear and nothing more, not a LoRA's or in 8 bits, in a dtype that oneDNN
    has on this CPU."""
    if (type(layer), type(layer.weight)) != (nn.Linear, nn.Parameter):
        return False
    if layer.weight.dtype == torch.bfloat16:
        return has_bfloat16()
    return bool(layer.weight.dtype == torch.float32)


@cache
def has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
