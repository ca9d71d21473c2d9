"""Upsampling with 4 products a pixel instead of 9.

Doubling a picture's sides and convolving it with 3 x 3 weights multiplies equal neighbours by
several weights each. Their sums are the weights of one transposed convolution, 4 x 4 with stride 2,
or of four convolutions, 2 x 2, whose pixels take turns; the picture is the same to within rounding.
These layers are a tenth of Stable Diffusion 1.5's U-Net, a quarter of its decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from diffusers.models.upsampling import Upsample2D
from torch import nn
from torch.nn.functional import conv2d, pad

from render.kernels.patches import Patches

Merged = Callable[[nn.Conv2d], nn.Module]


def merge_upsampling(
    decoder: nn.Module, unet: Any, latents: Sequence[int], merged: Merged, patches: Patches
) -> None:
    """Merge the upsampling layers of the decoder and the U-Net, but not those that LoRAs change.

    Args:
        unet: whose layers nothing will change from now on; None: there is no such network.
        latents: shape (…, h, w).
        merged: makes a convolution after a doubling one layer: `Doubling` or `FourPhases`.
    """
    merge_layers(decoder, merged, patches)
    if unet is not None and doubles_everywhere(unet, latents):
        merge_layers(unet, merged, patches)


def merge_layers(network: nn.Module, merged: Merged, patches: Patches) -> None:
    """Merge those layers that double both sides and convolve; others stay."""
    for layer in network.modules():
        if type(layer) is Upsample2D and layer.norm is None and doubles_and_convolves(layer):
            patches.exchange(layer, "conv", merged(layer.conv))
            # diffusers' own way of having such a layer
            patches.exchange(layer, "use_conv_transpose", True)


def doubles_everywhere(unet: Any, latents: Sequence[int]) -> bool:
    """Whether latents of that size are halved evenly all the way down. A U-Net brings odd sides
    back by upsampling to other sizes than the double."""
    halvings = sum(block.upsamplers is not None for block in unet.up_blocks)
    return all(side % 2**halvings == 0 for side in latents[-2:])


def doubles_and_convolves(layer: Upsample2D) -> bool:
    """Whether the layer doubles both sides and convolves with 3 x 3 weights."""
    return bool(layer.interpolate) and keeps_size(getattr(layer, "conv", None))


def keeps_size(conv: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a plain convolution of 3 x 3 weights that keeps a picture's size."""
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros":
        return False
    same_size = (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
    return same_size and conv.dilation == (1, 1) and conv.groups == 1


class Doubling(nn.ConvTranspose2d):
    """A doubling, and the convolution of 3 x 3 weights after it, as one layer.

    With up[j] = x[j // 2] and out[y] = sum_k w[k] up[y + k - 1], x[i] takes part in out[y] by
    w[2 - d] + w[3 - d] where d = y - 2 i + 1, in both directions.

    Args:
        conv: the one after the doubling.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        with_bias = conv.bias is not None
        super().__init__(
            conv.in_channels, conv.out_channels, 4, stride=2, padding=1, bias=with_bias
        )
        weight = conv.weight.detach().float()  # (out, in, 3, 3)
        wide = sum(pad(weight, (x, 1 - x, y, 1 - y)) for x in (0, 1) for y in (0, 1))
        kernel = torch.as_tensor(wide).flip(2, 3).transpose(0, 1)  # (in, out, 4, 4)
        self.weight = nn.Parameter(kernel.to(conv.weight.dtype).contiguous(), requires_grad=False)
        if conv.bias is not None:
            self.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)


class FourPhases(nn.Module):
    """The same as one convolution, 2 x 2, that makes the four pixels around each corner, and then
    puts them in their places. Compiled, it is a GPU's fastest way: what cuDNN has for transposed
    convolutions was slower, and some of it adds in no fixed order.

    Args:
        conv: the one after the doubling.
    """

    # What of the weights (w0, w1, w2) the two small pixels are multiplied by that a large pixel
    # sees: an even one x[i - 1] and x[i], an odd one x[i] and x[i + 1].
    SUMS = (((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)))

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach().float()  # (out, in, 3, 3)
        sums = torch.tensor(self.SUMS, device=weight.device)  # (phase, small pixel, w)
        phases = torch.einsum("pay,qbx,oiyx->pqoiab", sums, sums, weight).flatten(0, 2)
        phases = phases.to(conv.weight.dtype).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(phases, requires_grad=False)  # (4 out, in, 2, 2)
        self.bias = conv.bias

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(B, in, H, W) to (B, out, 2 H, 2 W), channels last."""
        height, width = picture.shape[2:]
        corners = conv2d(picture, self.weight, padding=1).unflatten(1, (2, 2, -1))
        rows = [
            torch.stack(
                [
                    corners[:, down, across, :, down : down + height, across : across + width]
                    for across in (0, 1)
                ],
                dim=-1,
            )
            for down in (0, 1)
        ]  # (B, out, H, W, 2) each
        large = torch.stack(rows, dim=3).reshape(len(picture), -1, 2 * height, 2 * width)
        if self.bias is not None:
            large = large + self.bias[:, None, None]
        return large.contiguous(memory_format=torch.channels_last)
