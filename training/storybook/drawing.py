"""Pictures that a model in a diffusers folder draws, through the stock StableDiffusionPipeline."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from training.storybook.captions import caption
from training.storybook.figures import Pixels
from training.storybook.models import Pipeline
from training.storybook.parallel import train_device
from training.storybook.scene import Description, sample_description

STEPS, GUIDANCE = 12, 4.5
UNSEEN_SEED = 970_000_000  # far from every training picture
BATCH = 10


def load_pipeline(folder: Path) -> Pipeline:
    """The model in float32 on this machine's best device, from the folder alone."""
    pipeline: Pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(train_device())


def side_of(pipeline: Pipeline) -> int:
    """Pixels a side of the pictures that the model draws."""
    return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def noise(pipeline: Pipeline, seeds: Iterable[int]) -> torch.Tensor:
    """Unit noise (N, C, H, W) in the model's own size, drawn on the CPU, one generator a seed."""
    config = pipeline.unet.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(draws).to(pipeline.device)


@torch.no_grad()
def embed(pipeline: Pipeline, texts: Sequence[str]) -> torch.Tensor:
    """The embeddings of texts, (N, 40, 128)."""
    embedded: torch.Tensor = pipeline.encode_prompt(list(texts), pipeline.device, 1, False)[0]
    return embedded


@torch.no_grad()
def render(
    pipeline: Pipeline, embeddings: torch.Tensor, seeds: Sequence[int], steps: int | None = None
) -> Pixels:
    """Pictures (N, H, W, 3) of embeddings (N, 40, 128), each from the noise of its seed.

    Args:
        steps: of the scheduler; None: STEPS.
    """
    pictures = []
    for start in range(0, len(seeds), BATCH):
        part = slice(start, start + BATCH)
        made = pipeline(
            prompt_embeds=embeddings[part],
            negative_prompt=[""] * len(seeds[part]),
            num_inference_steps=steps or STEPS,
            guidance_scale=GUIDANCE,
            latents=noise(pipeline, seeds[part]),
            output_type="np",
        ).images
        pictures.append((made * 255).round().astype(np.uint8))
    return np.concatenate(pictures)


def render_texts(
    pipeline: Pipeline, texts: Sequence[str], seeds: Sequence[int], steps: int | None = None
) -> Pixels:
    """Pictures (N, H, W, 3) of texts, likewise."""
    return render(pipeline, embed(pipeline, texts), seeds, steps)


@dataclass(frozen=True)
class Drawn:
    """Descriptions, a caption of each, and what a model drew of it."""

    described: list[Description]
    captions: list[str]
    pictures: Pixels


def draw(pipeline: Pipeline, count: int) -> Drawn:
    """Pictures of captions and noises that the training never drew."""
    rng = np.random.default_rng(UNSEEN_SEED)
    described = [sample_description(rng) for _ in range(count)]
    captions = [caption(found, rng) for found in described]
    return Drawn(described, captions, render_texts(pipeline, captions, range(count)))
