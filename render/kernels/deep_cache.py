"""Deep features of a U-Net, computed at every n-th evaluation only (DeepCache, Ma et al. 2023).

From one step to the next the deep blocks hardly change, and the skip connections carry the detail.
In between, only the first convolution and the last layer of the last up block are computed, on the
deep features that the same row had at its last full evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch


class DeepCache:
    """A U-Net whose blocks were patched on the instance.

    Attributes:
        rows: whose features the next call stores or takes, by keys.
        shallow: whether the next call is one in between.
    """

    def __init__(self, unet: Any) -> None:
        self.features: dict[Hashable, torch.Tensor] = {}
        self.rows: Sequence[Hashable] = ()
        self.shallow = False
        self.last = unet.up_blocks[-1]
        self.last.resnets[-1].register_forward_pre_hook(self.keep)
        self.channels = unet.config.block_out_channels[0]  # of the skip connection that comes last
        for block in unet.down_blocks:
            made = len(block.resnets) + len(block.downsamplers or ())
            block.forward = self.unless_shallow(block.forward, made)
        for block in (unet.mid_block, *unet.up_blocks[:-1]):
            if block is not None:
                block.forward = self.unless_shallow(block.forward)
        self.stock_last = self.last.forward
        self.last.forward = self.last_block

    def unless_shallow(self, stock: Callable[..., Any], skips: int | None = None) -> Any:
        """A block's forward that hands on what it got where nothing of it is used."""

        def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not self.shallow:
                return stock(hidden_states, *args, **kwargs)
            return hidden_states if skips is None else (hidden_states, (hidden_states,) * skips)

        return forward

    def keep(self, _: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        """Remember what reaches the last layer from below, a row (1, C, h, w) each."""
        if not self.shallow:
            deep = given[0][:, : -self.channels]
            self.features |= zip(self.rows, deep.split(1), strict=True)

    def last_block(
        self,
        hidden_states: torch.Tensor,
        res_hidden_states_tuple: tuple[torch.Tensor, ...],
        temb: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """The last up block, or its last layer on remembered features."""
        attentions = getattr(self.last, "attentions", None)
        if attentions is not None:
            kwargs["encoder_hidden_states"] = encoder_hidden_states
        if not self.shallow:
            whole: torch.Tensor = self.stock_last(
                hidden_states, res_hidden_states_tuple, temb, **kwargs
            )
            return whole
        deep = torch.cat([self.features[row] for row in self.rows])  # channels stay last
        joined = torch.cat([deep, res_hidden_states_tuple[0]], dim=1)
        shown: torch.Tensor = self.last.resnets[-1](joined, temb)
        if attentions is None:
            return shown
        taken = ("encoder_hidden_states", "cross_attention_kwargs", "encoder_attention_mask")
        chosen = {name: kwargs[name] for name in taken if name in kwargs}
        attended: torch.Tensor = attentions[-1](shown, **chosen, return_dict=False)[0]
        return attended
