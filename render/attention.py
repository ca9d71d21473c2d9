"""Attention in bfloat16 on a CPU, where the library's own is no faster than in float32.

A head at a time and so many queries at a time, unless all of a row are few, the scores stay in the
caches, and the products are plain matrix products, which CPUs do fast in bfloat16: 1.39 times as
fast for the whole U-Net of Stable Diffusion 1.5 on AMD Zen 5.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

QUERIES = 512  # a product; their scores over 4,096 keys are 4 MB
SCORES = 4 << 20  # of a row that are computed at once: few keys, or few queries


def use_chunks(denoiser: Any) -> None:
    """Let a U-Net's plain attention layers compute in chunks; others keep what they have."""
    denoiser.set_attn_processor(
        {
            name: ChunkedAttention() if type(stock) is AttnProcessor2_0 else stock
            for name, stock in denoiser.attn_processors.items()
        }
    )


def use_whole(denoiser: Any) -> None:
    """Undo `use_chunks`: an engine that traces a network would take its loops for fixed."""
    denoiser.set_attn_processor(
        {
            name: AttnProcessor2_0() if type(used) is ChunkedAttention else used
            for name, used in denoiser.attn_processors.items()
        }
    )


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v of (rows, heads, tokens, d) each (Vaswani et al. 2017, eq. 1)."""
    scaled = q * q.shape[-1] ** -0.5
    if q.shape[1] * q.shape[2] * k.shape[2] <= SCORES:
        return torch.softmax(scaled @ k.mT, dim=-1) @ v
    out = q.new_empty(q.mT.shape)
    for row in range(q.shape[0]):
        for head in range(q.shape[1]):
            keys, values = k[row, head].t(), v[row, head].t().contiguous()
            for first in range(0, q.shape[2], QUERIES):
                some = slice(first, first + QUERIES)
                scores = torch.softmax(torch.mm(scaled[row, head, some], keys), dim=-1)
                out[row, head, :, some] = torch.mm(values, scores.t())  # few rows beat few columns
    return out.mT


class ChunkedAttention(AttnProcessor2_0):  # type: ignore[misc]
    """In place of the stock processor of a U-Net's layer; what is not plain goes to that."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Shapes as the stock processor has them: (rows, tokens, channels)."""
        special = (attn.spatial_norm, attn.group_norm, attn.norm_cross, attn.norm_q, attn.norm_k)
        if attention_mask is not None or hidden_states.ndim != 3 or any(special):
            stock: torch.Tensor = super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs
            )
            return stock
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        heads = [
            layer(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, states in (
                (attn.to_q, hidden_states),
                (attn.to_k, context),
                (attn.to_v, context),
            )
        ]
        joined = attention(*heads).transpose(1, 2).flatten(2)
        out: torch.Tensor = attn.to_out[1](attn.to_out[0](joined))
        out = out + hidden_states if attn.residual_connection else out
        rescaled: torch.Tensor = out / attn.rescale_output_factor
        return rescaled
