"""Attention interpolation (AID, He et al. 2024), as a way that smooth.py compares.

All pictures of a segment are denoised in step. In the first half of the steps each layer lets a
picture attend to its own keys and those of the segment's two ends, and blends what it finds by the
picture's place between them ("outer", fused). Written from the paper's formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from render.diffusion.noise import slerp

Picture = NDArray[np.uint8]
SHARE = 0.5  # of the steps


class OuterAttention:
    """Attention of a batch whose second half are the pictures of a segment, ends included.

    Attributes:
        places: of the pictures, from 0 to 1, (N, 1, 1, 1).
        on: whether the ends are attended to; else attention is plain.
    """

    def __init__(self, places: Sequence[float]) -> None:
        self.places = torch.tensor(places).view(-1, 1, 1, 1)
        self.on = True

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """The layer's answer to tokens (2 N, tokens, channels), the first N without a condition."""
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (2 N, heads, tokens, size)
            for part in (attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source))
        )
        answer = scaled_dot_product_attention(q, k, v)
        if self.on:
            pictures = len(q) // 2
            answer = torch.cat(
                [answer[:pictures], self.blended(*(x[pictures:] for x in (q, k, v)))]
            )
        joined: Tensor = answer.transpose(1, 2).flatten(2)
        for layer in attn.to_out:
            joined = layer(joined)
        return joined

    def blended(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1 − t) Attn(Q, [K; K₀], [V; V₀]) + t Attn(Q, [K; K₁], [V; V₁]) of N pictures.

        For the ends themselves the doubled keys cancel: they get plain attention.
        """
        towards = [
            scaled_dot_product_attention(
                *(q, torch.cat([k, end_k.expand_as(k)], 2), torch.cat([v, end_v.expand_as(v)], 2))
            )
            for end_k, end_v in ((k[:1], v[:1]), (k[-1:], v[-1:]))
        ]
        return torch.lerp(towards[0], towards[1], self.places.to(q.dtype))


def interpolated(
    pipeline: StableDiffusionPipeline,
    keyframes: Sequence[dict[str, Any]],
    frames: int,
    steps: int,
    guidance: float,
    side: int,
) -> tuple[list[list[Picture]], int]:
    """The pictures of each segment with both ends, `frames` + 1 of them, and the denoiser rows.

    Args:
        side: of the latents.
    """
    found, rows = [], 0
    for one, other in pairwise(keyframes):
        pictures, used = segment(pipeline, one, other, frames + 1, steps, guidance, side)
        found.append(pictures)
        rows += used
    return found, rows


@torch.inference_mode()
def segment(
    pipeline: StableDiffusionPipeline,
    one: dict[str, Any],
    other: dict[str, Any],
    count: int,
    steps: int,
    guidance: float,
    side: int,
) -> tuple[list[Picture], int]:
    """`count` pictures from one keyframe to the other, and the denoiser rows."""
    places = torch.linspace(0, 1, count).tolist()
    shape = (1, pipeline.unet.config.in_channels, side, side)
    noises = [
        torch.randn(shape, generator=torch.Generator("cpu").manual_seed(keyframe["seed"]))
        for keyframe in (one, other)
    ]
    texts = [
        pipeline.encode_prompt(keyframe["prompt"], "cpu", 1, False)[0] for keyframe in (one, other)
    ]
    empty = pipeline.encode_prompt("", "cpu", 1, False)[0]
    embeddings = torch.cat(
        [empty.expand(count, -1, -1), *(torch.lerp(*texts, place) for place in places)]
    )
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    latents = torch.cat([slerp(*noises, place) for place in places]) * scheduler.init_noise_sigma
    stock, processor = pipeline.unet.attn_processors, OuterAttention(places)
    pipeline.unet.set_attn_processor(processor)
    try:
        for number, time in enumerate(scheduler.timesteps):
            processor.on = number < SHARE * len(scheduler.timesteps)
            scaled = scheduler.scale_model_input(torch.cat([latents] * 2), time)
            u, c = pipeline.unet(scaled, time, embeddings).sample.chunk(2)
            latents = scheduler.step(u + guidance * (c - u), time, latents).prev_sample
    finally:
        pipeline.unet.set_attn_processor(stock)
    return [decoded(pipeline, each[None]) for each in latents], 2 * count * len(scheduler.timesteps)


def decoded(pipeline: StableDiffusionPipeline, latents: Tensor) -> Picture:
    """The picture (H, W, 3) of latents (1, C, h, w)."""
    made = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    shown = (made / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0)
    result: Picture = (shown.numpy() * 255).round().astype(np.uint8)
    return result
