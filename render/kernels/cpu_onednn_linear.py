"""Linear layers on a CPU by oneDNN, with what follows them in the same pass.

torch hands float32 to MKL, which takes up to half as long again on AMD's CPUs, adds a bias in
bfloat16 in a pass of its own, and has weights laid out anew in every call. It brings oneDNN's
product for its compiler, of weights that are laid out once, with the bias and a GELU behind it;
here layers call it as they are. A gated feed-forward layer (GEGLU, Shazeer 2020, arXiv:2002.05202)
is two such products: as the stock layer's one, all that follows would read and write in stretches.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from render.kernels.patches import Patches


def use_onednn(network: nn.Module, patches: Patches) -> None:
    """Let the linear layers of a network's transformers compute so, where oneDNN can. From then on
    nothing can change their weights."""
    if not torch.backends.mkldnn.is_available():
        return
    for transformer in list(network.modules()):
        if isinstance(transformer, Transformer2DModel):
            for parent in list(transformer.modules()):
                pack_layers(parent, patches)


def pack_layers(parent: nn.Module, patches: Patches) -> None:
    """Put packed layers in the places of a module's linear ones.

    A DoRA (Liu et al. 2024, arXiv:2402.09353) measures its layer's weights in every call.
    """
    if getattr(parent, "lora_magnitude_vector", ()):
        return
    children: list[tuple[str, Any]] = list(parent.named_children())
    for name, layer in children:
        if is_linear_alone(layer):
            patches.exchange(parent, name, PackedLinear(layer.weight, layer.bias))
        elif type(layer) is GEGLU and is_linear_alone(layer.proj):
            patches.exchange(parent, name, PackedGEGLU(layer.proj))


class PackedLinear(nn.Module):
    """A linear layer whose weights lie as oneDNN multiplies them.

    Args:
        weight: (out, in).
        bias: (out,), or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, states: torch.Tensor, after: str = "none", kind: str = "") -> torch.Tensor:
        """(…, in) to (…, out), with what comes after: for GELU of kind `none`, the exact one."""
        answer: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.weight, self.bias, after, [], kind
        )
        return answer


class PackedGEGLU(nn.Module):
    """A gated layer's two halves, what is gated and its gate.

    Args:
        proj: both, one after the other.
    """

    def __init__(self, proj: nn.Linear) -> None:
        super().__init__()
        bias: torch.Tensor | None = proj.bias  # torch declares it as never None
        biases = (None, None) if bias is None else bias.chunk(2)
        self.gated, self.gate = map(PackedLinear, proj.weight.chunk(2), biases)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out)."""
        gate: torch.Tensor = self.gate(states, "gelu", "none")
        return gate.mul_(self.gated(states))


def is_linear_alone(layer: Any) -> bool:
    """Whether a layer is linear and nothing more, not a LoRA's or in 8 bits, in a dtype that oneDNN
    has on this CPU."""
    weight: Any = layer.weight if type(layer) is nn.Linear else None
    if type(weight) is not nn.Parameter:
        return False
    if weight.dtype == torch.bfloat16:
        return has_bfloat16()
    return bool(weight.dtype == torch.float32)


@cache
def has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
