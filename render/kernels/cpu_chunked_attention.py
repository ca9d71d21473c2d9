"""Attention in bfloat16 on a CPU, where the library's own is no faster than in float32.

A head at a time and so many queries at a time, unless all of a row are few, the scores stay in the
caches, and the products are plain matrix products, which CPUs do fast in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import e, log2
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import nn

from render.kernels.patches import Patches

QUERIES = 512  # a product; their scores over 4,096 keys are 4 MB
SCORES = 4 << 20  # of a row that are computed at once: few keys, or few queries
BITS = 80  # powers of 2 that bfloat16 sums up in thousands, 2^-80 to 2^80


def use_chunks(net: nn.Module, patches: Patches) -> None:
    """Let a network's plain attention layers compute in chunks; others keep what they have.

    Not for an engine that traces the network: it would take the loops for fixed.
    """
    for layer in net.modules():
        if isinstance(layer, Attention) and type(layer.processor) is AttnProcessor2_0:
            patches.replace(layer, "processor", ChunkedAttention())


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v of (rows, heads, tokens, d) each (Vaswani et al. 2017, eq. 1)."""
    queries, keys = (q * (q.shape[-1] ** -0.5 * log2(e))).contiguous(), k.contiguous()
    small = largest_scores(queries, keys) <= (BITS if q.dtype == torch.bfloat16 else -1)
    values = torch.cat([v, v.new_ones(*v.shape[:3], 1)], dim=-1)  # the last one sums up
    if q.shape[1] * q.shape[2] * k.shape[2] <= SCORES:
        scores = queries @ keys.mT
        sums = raised(scores, scores, small[..., None, None]) @ values
        return sums[..., :-1] / sums[..., -1:]
    room = [q.new_empty(QUERIES, k.shape[2]) for _ in range(2)]
    out = q.new_empty(q.transpose(1, 2).shape).transpose(1, 2)  # as the next layer reads it
    for row, head in product(range(q.shape[0]), range(q.shape[1])):
        given = keys[row, head].t(), values[row, head].t().contiguous(), small[row, head]
        for some, part in zip(
            queries[row, head].split(QUERIES), out[row, head].split(QUERIES), strict=True
        ):
            attend(some, *given, room, part)
    return out


def attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    small: torch.Tensor,
    room: Sequence[torch.Tensor],
    out: torch.Tensor,
) -> None:
    """Some queries (n, d) of a head to `out` (n, d).

    Args:
        keys: (d, tokens), of scores that are exponents of 2.
        values: (d, tokens) and a row of ones; few rows beat few columns.
        small: as `raised` has it.
        room: for scores and powers, (at least n, tokens) each.
    """
    scores, powers = (each[: len(queries)] for each in room)
    torch.mm(queries, keys, out=scores)
    sums = torch.mm(values, raised(scores, powers, small).t())
    out.copy_(torch.div(sums[:-1], sums[-1]).t())


def raised(scores: torch.Tensor, powers: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
    """2 to the scores (…, tokens), times what does not matter.

    Args:
        powers: what to write them to.
        small: (…), whether the powers, and their sums, are among the numbers that the dtype has;
            others are made to sum up to 1, at the cost of three ways through memory. So a row's
            last bits depend on its own scores alone.
    """
    if small.all():
        return torch.exp2(scores, out=powers)
    scores -= scores.amax(-1, keepdim=True).masked_fill(small, 0)
    torch.exp2(scores, out=powers)
    powers /= powers.sum(-1, keepdim=True, dtype=torch.float32).masked_fill(small, 1)
    return powers


def largest_scores(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """A bound for every q k^T of a row's head, (rows, heads): the product of the largest norms."""
    longest, other = (
        torch.linalg.vector_norm(each, dim=-1, dtype=torch.float32).amax(-1) for each in (q, k)
    )
    return torch.mul(longest, other)


class ChunkedAttention(AttnProcessor2_0):  # type: ignore[misc]
    """In place of the stock processor of a layer; what is not plain goes to that."""

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
        """Shapes as the stock processor has them: (rows, tokens, channels), an autoencoder's (B, C,
        H, W)."""
        special = (attn.spatial_norm, attn.norm_cross, attn.norm_q, attn.norm_k)
        if attention_mask is not None or any(special):
            stock: torch.Tensor = super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs
            )
            return stock
        states = hidden_states if hidden_states.ndim == 3 else hidden_states.flatten(2).mT
        if attn.group_norm is not None:
            states = attn.group_norm(states.mT).mT
        context = states if encoder_hidden_states is None else encoder_hidden_states
        heads = [
            layer(given).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, given in ((attn.to_q, states), (attn.to_k, context), (attn.to_v, context))
        ]
        joined = attention(*heads).transpose(1, 2).flatten(2)
        out: torch.Tensor = attn.to_out[1](attn.to_out[0](joined))
        if hidden_states.ndim == 4:
            out = out.mT.unflatten(2, hidden_states.shape[2:])
        if attn.residual_connection:
            out = out + hidden_states
        return out if attn.rescale_output_factor == 1 else out / attn.rescale_output_factor
