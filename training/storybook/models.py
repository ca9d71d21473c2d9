"""The three nets of storybook, with sizes for a CPU core or two, and the folder that holds them.

The autoencoder makes latents of 1/8 of the picture's side, so that pictures of 256 pixels cost the
denoiser what pictures of 128 would with 1/4. Its first levels, which have the most pixels, are
thin, and the denoiser's first is without attention.
"""

from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.storybook.tokenizer import MAX_LENGTH

Net: TypeAlias = Any
"""An autoencoder or UNet of diffusers, whose classes show no types."""

Pipeline: TypeAlias = Any
"""A StableDiffusionPipeline, likewise."""

SIZE = 256  # pixels a side
FACTOR = 8  # pixels a latent
CHANNELS = 8  # of the latents
AUTOENCODER_WIDTHS = (16, 32, 64, 128)
DENOISER_WIDTHS = (48, 64, 128, 160)
TEXT_WIDTH = 128

NOISE_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
}
"""As in Stable Diffusion 1.x, but for its end. There .012 leaves .07 of the signal in the noisiest
latents; over 32 × 32 of them the mean brightness can be read through the noise, whose own mean then
decides about day and night instead of the prompt (Lin et al. 2023). With .02 it is .015, less than
the noise's mean varies. A terminal signal of zero would exclude LMS, PNDM and UniPC."""


def make_autoencoder(widths: tuple[int, ...] = AUTOENCODER_WIDTHS) -> Net:
    """Pictures (B, 3, H, W) in -1..1 to latents (B, 8, H/8, W/8) and back."""
    levels = len(widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,  # the latents' scale is folded into the weights
        mid_block_add_attention=False,
    )


def make_denoiser(widths: tuple[int, ...] = DENOISER_WIDTHS) -> Net:
    """The denoiser of latents (B, 8, 32, 32), which predicts v (Salimans and Ho 2022)."""
    attending = len(widths) - 1  # all levels but the first, which has the most pixels
    return UNet2DConditionModel(
        sample_size=SIZE // FACTOR,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * attending),
        up_block_types=(*("CrossAttnUpBlock2D",) * attending, "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        attention_head_dim=tuple(max(1, width // 32) for width in widths),
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        use_linear_projection=True,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Token ids (B, 40) to hidden states (B, 40, 128)."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return CLIPTextModel(config)


def make_scheduler() -> DPMSolverMultistepScheduler:
    """The model's own scheduler; its config also serves LMS, PNDM, DDIM, Euler, Heun and UniPC."""
    scheduler = DPMSolverMultistepScheduler(
        **NOISE_SCHEDULE,
        prediction_type="v_prediction",
        steps_offset=1,
        timestep_spacing="trailing",
    )
    scheduler.register_to_config(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
    return scheduler  # the last three are for DDIM and PNDM, as in Stable Diffusion 1.x


def save_folder(
    folder: Path,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    denoiser: Net,
    autoencoder: Net,
) -> None:
    """Write the standard diffusers folder in float16 safetensors; the nets become float16."""
    pipeline: Pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
