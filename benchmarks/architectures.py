"""The exact networks of large models with random weights, made here and not downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

import render.storybook

STORYBOOK = render.storybook.WEIGHTS


def make_sd15(folder: Path) -> None:
    """Stable Diffusion 1.5's networks with random weights, in float16 (2 GB); exact but for the
    table of the text encoder, which has storybook's tokens."""
    with made_quickly():
        unet = diffusers.UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8
        )
        parts = (clip_tokenizer(), unet, scheduler(), None, None)
        pipeline = diffusers.StableDiffusionPipeline(
            autoencoder(512, 0.18215), CLIPTextModel(clip(768, 12, 12)), *parts,
            requires_safety_checker=False,
        )  # fmt: skip
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)


def make_sdxl(folder: Path) -> None:
    """Stable Diffusion XL's exact networks with random weights, in float16 (7 GB)."""
    with made_quickly():
        unet = diffusers.UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
        second = CLIPTextModelWithProjection(
            clip(1280, 32, 20, hidden_act="gelu", projection_dim=1280)
        )
        pipeline = diffusers.StableDiffusionXLPipeline(
            autoencoder(1024, 0.13025), CLIPTextModel(clip(768, 12, 12)), second,
            clip_tokenizer(), clip_tokenizer(), unet, scheduler(), add_watermarker=False,
        )  # fmt: skip
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)


@contextmanager
def made_quickly() -> Iterator[None]:
    """Random weights drawn on a GPU, if there is one."""
    torch.manual_seed(0)
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_default_dtype(torch.float16 if torch.cuda.is_available() else torch.float32)
    try:
        yield
    finally:
        torch.set_default_device("cpu")
        torch.set_default_dtype(torch.float32)


def clip_tokenizer() -> CLIPTokenizer:
    """storybook's, in place of the models' own, which can't be made; text encoders fit it."""
    return CLIPTokenizer.from_pretrained(STORYBOOK / "tokenizer", model_max_length=77)


def clip(width: int, layers: int, heads: int, **more: Any) -> CLIPTextConfig:
    """A text encoder; 768, 12, 12 is that of Stable Diffusion 1, and the first of XL's."""
    return CLIPTextConfig(
        vocab_size=len(clip_tokenizer()),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        eos_token_id=clip_tokenizer().eos_token_id,
        **{"hidden_act": "quick_gelu", **more},
    )


def autoencoder(side: int, scale: float) -> diffusers.AutoencoderKL:
    """That of both, for pictures of such a side."""
    return diffusers.AutoencoderKL(
        sample_size=side,
        scaling_factor=scale,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )


def scheduler() -> diffusers.PNDMScheduler:
    """With the noise schedule of both."""
    return diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        steps_offset=1,
    )  # fmt: skip
