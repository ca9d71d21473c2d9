"""The shape of one frame's noise in each family, and the latents made of it."""

from __future__ import annotations

from typing import Any


def unet_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (C, h, w) of one frame's noise for a U-Net over a picture of height x width pixels."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.unet.config.in_channels, height // factor, width // factor


def transformer_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (C, h, w) for a transformer that cuts the latents into patches itself."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.transformer.config.in_channels, height // factor, width // factor


def patched_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (C, h, w) before 2 x 2 latent pixels become one token of 4 C channels."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.transformer.config.in_channels // 4, height // factor, width // factor


def film_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (1, C, h, w): a film of one picture, as the pipeline draws it."""
    return 1, *patched_noise(pipeline, height, width)


def token_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (4 C, h / 2, w / 2): drawn with the patches as channels."""
    channels, rows, columns = patched_noise(pipeline, height, width)
    return 4 * channels, rows // 2, columns // 2


def unpacked(pipeline: Any, noise: Any) -> Any:
    """The noise (B, C, h, w) as it was drawn."""
    return noise


def packed(pipeline: Any, noise: Any) -> Any:
    """Noise (B, …, C, h, w) as tokens (B, h w / 4, 4 C)."""
    return pipeline._pack_latents(noise, noise.shape[0], *noise.shape[-3:])
