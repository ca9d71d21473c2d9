"""Deep features of a U-Net, computed at every n-th evaluation only (DeepCache, Ma et al. 2023).

From one step to the next the deep blocks hardly change, and the skip connections carry the detail.
In between, only the first convolution and the last layer of the last up block are computed, on the
deep features that the same row had at its last full evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from render.kernels.patches import Patches

TAKEN = ("encoder_hidden_states", "cross_attention_kwargs", "encoder_attention_mask")
"""Arguments of an up block that its attention layers take, too."""


class DeepCache:
    """Keeps the deep features of rows, and skips the deep blocks of a U-Net on demand.

    Args:
        unet: the `forward` of its blocks is replaced on the instances.
    """

    def __init__(self, unet: Any, patches: Patches) -> None:
        self.features: dict[Hashable, torch.Tensor] = {}
        self.rows: Sequence[Hashable] = ()
        self.shallow = False
        self.last = unet.up_blocks[-1]
        self.stock_last = self.last.forward
        self.channels = unet.config.block_out_channels[0]  # of the skip connection that comes last
        patches.add(self.last.resnets[-1].register_forward_pre_hook(self.keep).remove)
        for block in unet.down_blocks:
            made = len(block.resnets) + len(block.downsamplers or ())
            patches.replace(block, "forward", self.unless_shallow(block.forward, made))
        for block in (unet.mid_block, *unet.up_blocks[:-1]):
            if block is not None:
                patches.replace(block, "forward", self.unless_shallow(block.forward))
        patches.replace(self.last, "forward", self.last_block)

    @contextmanager
    def computing(self, rows: Sequence[Hashable], shallow: bool) -> Iterator[None]:
        """Inside of the block, calls of the U-Net compute these rows.

        Args:
            rows: keys under which each row's deep features are kept, or found.
            shallow: whether the deep blocks are left out.
        """
        self.rows, self.shallow = rows, shallow
        try:
            yield
        finally:
            self.rows, self.shallow = (), False

    def forget(self) -> None:
        """Drop all features: other frames are to come."""
        self.features.clear()

    def unless_shallow(self, stock: Callable[..., Any], skips: int | None = None) -> Any:
        """A block's forward that hands on its input where nothing of the block is used.

        Args:
            skips: how many skip connections the block makes; None: it makes none.
        """

        def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not self.shallow:
                return stock(hidden_states, *args, **kwargs)
            return hidden_states if skips is None else (hidden_states, (hidden_states,) * skips)

        return forward

    def keep(self, _: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        """Remember the deep features (rows, C, h, w) that the last layer is given."""
        if not self.shallow:
            deep = given[0][:, : -self.channels]
            self.features |= zip(self.rows, deep.split(1), strict=bool(self.rows))

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
        resnet: torch.Tensor = self.last.resnets[-1](joined, temb)
        if attentions is None:
            return resnet
        chosen = {name: kwargs[name] for name in TAKEN if name in kwargs}
        attended: torch.Tensor = attentions[-1](resnet, **chosen, return_dict=False)[0]
        return attended
