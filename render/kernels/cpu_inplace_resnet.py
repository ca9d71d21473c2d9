"""Blocks of a U-Net and an autoencoder that write over what nobody else will read.

What a norm or a convolution returns is the block's own; changing it in place saves a way through
memory each time. The stock blocks also divide by 1 at their end, and put channels first after a
transformer wherever they lay before. Bit for bit the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn
from torch.nn.functional import silu

from render.kernels.patches import Patches


def write_in_place(network: nn.Module, patches: Patches) -> None:
    """Let a network's plain residual blocks compute so, and the ends of its transformers, which lie
    channels last; others stay."""
    layers: Iterator[Any] = network.modules()
    for layer in layers:
        if is_usual_block(layer):
            patches.replace(layer, "forward", partial(residual, layer))
        elif type(layer) is Transformer2DModel:
            patches.replace(layer, "_get_output_for_continuous_inputs", partial(end, layer))


def is_usual_block(layer: Any) -> bool:
    """Whether a layer is the usual block: SiLU, the time added, the picture's size kept."""
    return (
        type(layer) is ResnetBlock2D
        and type(layer.nonlinearity) is nn.SiLU
        and layer.time_embedding_norm in ("default", "group")
        and layer.upsample is None
        and layer.downsample is None
    )


def residual(block: Any, picture: torch.Tensor, temb: torch.Tensor | None, *_: Any) -> torch.Tensor:
    """The block's `forward`.

    Args:
        picture: (B, in, H, W).
        temb: (B, time channels), the time's embedding; a decoder's blocks have none.

    Returns:
        (B, out, H, W), the picture and what was added to it.
    """
    added: torch.Tensor = block.conv1(silu(block.norm1(picture), inplace=True))
    if block.time_emb_proj is not None and temb is not None:
        time = temb if block.skip_time_act else silu(temb)
        added += block.time_emb_proj(time)[:, :, None, None]
    added = block.conv2(block.dropout(silu(block.norm2(added), inplace=True)))
    added += picture if block.conv_shortcut is None else block.conv_shortcut(picture)
    if block.output_scale_factor != 1:
        added /= block.output_scale_factor
    return added


def end(
    transformer: Any,
    hidden_states: torch.Tensor,
    residual: torch.Tensor,
    batch_size: int,
    height: int,
    width: int,
    inner_dim: int,
) -> torch.Tensor:
    """How a transformer puts its tokens (B, height width, inner_dim) back into the picture
    (B, C, height, width); the arguments are those of the stock method."""
    if transformer.use_linear_projection:
        hidden_states = transformer.proj_out(hidden_states)
    added: torch.Tensor = hidden_states.unflatten(1, (height, width)).permute(
        0, 3, 1, 2
    )  # channels stay last
    if not transformer.use_linear_projection:
        added = transformer.proj_out(added)
    added += residual
    return added
