"""A U-Net's layers before the first cross-attention, once for all rows of a frame.

The rows of a frame differ in their texts alone, and no text has reached these layers yet: their
answers are equal, so one row of each frame is computed and the others are copies. In Stable
Diffusion 1.5 that is the first block's first layers, its largest self-attention among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from render.kernels.call_arguments import index_on
from render.kernels.patches import Patches

Forward = Callable[..., Any]
Wrapper = Callable[[Forward], Forward]
Places = tuple[torch.Tensor, torch.Tensor]
"""Which rows are computed, and of which of them each row has the answer."""


class Prefix:
    """The layers that rows of one frame have in common; nothing outside of an `among` block."""

    def __init__(self) -> None:
        self.owners: tuple[int, ...] = ()
        self.frames_per_call = 1

    @contextmanager
    def among(self, owners: tuple[int, ...], frames_per_call: int) -> Iterator[None]:
        """Inside of the block, rows of one owner have the prefix in common.

        Args:
            owners: the frame of each row of the call.
            frames_per_call: frames whose rows usually share a call.
        """
        self.owners, self.frames_per_call = owners, frames_per_call
        try:
            yield
        finally:
            self.owners = ()

    @property
    def firsts(self) -> dict[int, int]:
        """The owners of the rows, and the first row of each."""
        return {owner: self.owners.index(owner) for owner in self.owners}


class SharedPrefix(Prefix):
    """The layers of a U-Net that no text reaches, patched.

    Every call of these layers has a row for each of `frames_per_call` (or all that there are), the
    last one padded, so that a frame's pixels do not depend on how many others it is rendered with.

    Args:
        unet: its layers' `forward` is replaced on the instances.
    """

    def __init__(self, unet: Any, patches: Patches) -> None:
        super().__init__()
        for layer in layers_before_texts(unet):
            patches.replace(layer, "forward", self.shared(layer.forward))

    def shared(self, stock: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """A layer's `forward` that computes one row an owner."""

        def forward(*args: Any, **named: Any) -> torch.Tensor:
            if not self.owners:
                return stock(*args, **named)
            answers: list[torch.Tensor] = []
            rows = len(self.owners)
            firsts = self.firsts
            size = min(self.frames_per_call, rows)
            for start in range(0, len(firsts), size):
                places = list(firsts.values())[start : start + size]
                places += [places[-1]] * (size - len(places))
                given = [rows_of(value, places, rows) for value in args]
                options = {key: rows_of(value, places, rows) for key, value in named.items()}
                answers += stock(*given, **options).split(1)
            of = dict(zip(firsts, answers, strict=False))  # the rest is padding
            return torch.cat([of[owner] for owner in self.owners])  # channels stay last

        return forward


class CapturedPrefix(Prefix):
    """The same for calls that are compiled and captured: tensors say which rows are computed and
    whose answer each row has, so that one graph serves all frames. Where more than
    `frames_per_call` frames share a call, every row is computed.

    Args:
        unet: `forward` of the layers that are worth it is replaced on the instances.
        capture: makes a call one that is captured, by the shapes of its arguments.
        call: the U-Net's.
    """

    def __init__(self, unet: Any, capture: Wrapper, call: Forward, patches: Patches) -> None:
        super().__init__()
        self.places: Places | None = None
        self.captured = capture(self.placed(call))
        for layer in layers_before_texts(unet):
            if isinstance(layer, ResnetBlock2D | Attention):
                patches.replace(layer, "forward", self.shared(layer.forward))

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The U-Net's call."""
        firsts = self.firsts
        if not 0 < len(firsts) <= self.frames_per_call < len(self.owners):
            return self.captured(None, *args, **named)
        order = list(firsts)
        rows = [*firsts.values()] + [0] * (self.frames_per_call - len(firsts))
        places = tuple(map(order.index, self.owners))
        device = next(value.device for value in (*args, *named.values()) if torch.is_tensor(value))
        chosen = index_on(device, tuple(rows)), index_on(device, places)
        return self.captured(chosen, *args, **named)

    def placed(self, call: Forward) -> Forward:
        """The call, during which its layers see the places."""

        def forward(places: Places | None, *args: Any, **named: Any) -> Any:
            self.places = places
            try:
                return call(*args, **named)
            finally:
                self.places = None

        return forward

    def shared(self, stock: Forward) -> Forward:
        """A layer's `forward` that computes one row an owner."""

        def forward(*args: Any, **named: Any) -> torch.Tensor:
            if self.places is None:
                answer: torch.Tensor = stock(*args, **named)
                return answer
            firsts, places = self.places
            rows = len(places)
            given = [selected(value, firsts, rows) for value in args]
            options = {key: selected(value, firsts, rows) for key, value in named.items()}
            answer = stock(*given, **options).index_select(0, places)
            if answer.ndim < 4:
                return answer
            return answer.contiguous(memory_format=torch.channels_last)

        return forward


def selected(value: Any, firsts: torch.Tensor, rows: int) -> Any:
    """Those rows of a layer's argument; what has no rows as it is."""
    return value.index_select(0, firsts) if has_rows(value, rows) else value


def compute_first_row(unet: Any, patches: Patches) -> None:
    """Patch the same layers for calls whose rows are all one frame's: the first row is computed,
    and the others are copies, whatever their number. So it can be traced."""
    for layer in layers_before_texts(unet):
        patches.replace(layer, "forward", of_first_row(layer.forward))


def of_first_row(stock: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A layer's `forward` that computes the first row for all."""

    def forward(*args: Any, **named: Any) -> torch.Tensor:
        rows = args[0].shape[0]
        options = {key: rows_of(value, [0], rows) for key, value in named.items()}
        answer = stock(*(rows_of(value, [0], rows) for value in args), **options)
        return answer.expand(rows, *answer.shape[1:])

    return forward


def rows_of(value: Any, places: Sequence[int], rows: int) -> Any:
    """Those rows of a layer's argument; what has no rows as it is."""
    if has_rows(value, rows):
        return torch.cat([value[place : place + 1] for place in places])
    return value


def has_rows(value: Any, rows: int) -> bool:
    """Whether a layer's argument has so many rows."""
    return isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[0] == rows


def layers_before_texts(unet: Any) -> Iterator[nn.Module]:
    """Layers that see latents and the time alone, in order. In models that add a text to the time
    (Stable Diffusion XL) or ask for a class there are none worth the name."""
    added = (unet.config.addition_embed_type, unet.config.class_embed_type)
    if any(kind is not None for kind in added):
        return
    yield unet.conv_in
    for block in unet.down_blocks:
        attentions = getattr(block, "attentions", None)
        if attentions is not None:
            yield block.resnets[0]
            yield from before_texts(attentions[0])
            return
        yield from block.resnets
        yield from block.downsamplers or ()


def before_texts(transformer: nn.Module) -> Iterator[nn.Module]:
    """The layers of a transformer up to its first cross-attention, if it is of the usual kind."""
    if isinstance(transformer, Transformer2DModel):
        first = transformer.transformer_blocks[0]
        usual = isinstance(first, BasicTransformerBlock) and first.norm_type == "layer_norm"
        if usual and not first.only_cross_attention:
            yield from (transformer.norm, transformer.proj_in, first.norm1, first.attn1)
