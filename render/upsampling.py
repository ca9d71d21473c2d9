"""Upsampling on a CPU with 4 products a pixel instead of 9.

Doubling a picture's sides and convolving it with 3 x 3 weights multiplies equal neighbours by
several weights each. Their sums are the weights of one transposed convolution, 4 x 4 with stride 2,
and the picture is the same to within rounding. It halves the time of these layers: a twentieth of
Stable Diffusion 1.5's U-Net, a seventh of its decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from diffusers.models.upsampling import Upsample2D
from torch import nn
from torch.nn.functional import pad


def merge_upsampling(pipeline: Any, latents: Sequence[int], unet_too: bool) -> None:
    """Let the decoder's upsampling layers compute so, and the U-Net's; not those that LoRAs change.

    Args:
        latents: shape (…, h, w).
        unet_too: whether the pipeline has a U-Net whose layers nothing will change from now on.
    """
    merge_layers(pipeline.vae.decoder)
    if unet_too and doubles_everywhere(pipeline.unet, latents):
        merge_layers(pipeline.unet)


def merge_layers(network: nn.Module) -> None:
    """Merge those layers that double both sides and convolve; others stay."""
    for layer in network.modules():
        if type(layer) is Upsample2D and layer.norm is None and is_plain(layer):
            layer.conv = transposed(layer.conv)
            layer.use_conv_transpose = True  # diffusers' own way of having such a layer


def doubles_everywhere(unet: Any, latents: Sequence[int]) -> bool:
    """Whether latents of that size are halved evenly all the way down. A U-Net brings odd sides
    back by upsampling to other sizes than the double."""
    halvings = sum(block.upsamplers is not None for block in unet.up_blocks)
    return all(side % 2**halvings == 0 for side in latents[-2:])


def is_plain(layer: Upsample2D) -> bool:
    """Whether the layer doubles both sides and convolves with 3 x 3 weights."""
    return bool(layer.interpolate) and keeps_size(getattr(layer, "conv", None))


def keeps_size(conv: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a plain convolution of 3 x 3 weights that keeps a picture's size."""
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros":
        return False
    same_size = (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
    return same_size and conv.dilation == (1, 1) and conv.groups == 1


def transposed(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """The convolution after a doubling, and the doubling, as one layer.

    With up[j] = x[j // 2] and out[y] = sum_k w[k] up[y + k - 1], x[i] takes part in out[y] by
    w[2 - d] + w[3 - d] where d = y - 2 i + 1, in both directions.
    """
    weight = conv.weight.detach().float()  # (out, in, 3, 3)
    wide = sum(pad(weight, (x, 1 - x, y, 1 - y)) for x in (0, 1) for y in (0, 1))
    kernel = torch.as_tensor(wide).flip(2, 3).transpose(0, 1)  # (in, out, 4, 4)
    merged = nn.ConvTranspose2d(
        conv.in_channels, conv.out_channels, 4, stride=2, padding=1, bias=conv.bias is not None
    )
    merged.weight = nn.Parameter(kernel.to(conv.weight.dtype).contiguous(), requires_grad=False)
    if conv.bias is not None:
        merged.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return merged
