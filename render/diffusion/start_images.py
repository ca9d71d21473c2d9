"""Frames that start from pictures: their latents, noised as the stock image-to-image pipeline does.

The family's own image-to-image pipeline runs over the parts of the loaded one. It cuts the steps
by the strength and adds the noise; which noise (noise.py) and which latents is decided here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
from PIL import Image

from render.diffusion.noise import slerp
from render.diffusion.schedules import own_noise
from render.kernels.patches import Patches
from render.models.family import Family
from render.models.images import known_picture
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec


def image_pipeline(pipeline: Any, family: Family) -> Any:
    """The family's image-to-image pipeline, of the same parts."""
    kind = getattr(diffusers, str(family.from_image))
    # Given the scheduler, some classes would change its settings, for the loaded pipeline too.
    given = {**pipeline.config, **family.loading, **pipeline.components, "scheduler": None}
    takes = inspect.signature(kind.__init__).parameters
    made = kind(**{name: value for name, value in given.items() if name in takes})
    made.register_modules(scheduler=pipeline.scheduler)
    made.set_progress_bar_config(disable=True)
    return made


class Starts:
    """The pictures that frames start from, where keyframes name some.

    Args:
        pipeline: the loaded text-to-image pipeline.
        images: where each picture lies, by its digest.
    """

    def __init__(
        self, pipeline: Any, family: Family, recipe: Recipe, images: Mapping[str, Path]
    ) -> None:
        self.family, self.recipe, self.images = family, recipe, images
        self.pipeline = image_pipeline(pipeline, family)
        self.known: dict[str, torch.Tensor] = {}

    def latents(self, spec: FrameSpec) -> torch.Tensor:
        """Latents (1, C, h, w) of a frame's pictures by their weights, float32 on the CPU."""
        shares = sorted(spec.start)
        each = [self.encoded(digest) for digest, _ in shares]
        mixed, total = each[0], shares[0][1]
        for latents, (_, share) in zip(each[1:], shares[1:], strict=True):
            total += share
            mixed = slerp(mixed, latents, share / total)
        return mixed

    def encoded(self, digest: str) -> torch.Tensor:
        """One picture's latents, encoded once."""
        if digest not in self.known:
            size = self.recipe.width, self.recipe.height
            picture = known_picture(self.images, digest, *size)
            self.known[digest] = encoded(self.pipeline, picture)
        return self.known[digest]

    def call(self, prompt: str, specs: Sequence[FrameSpec], noise: torch.Tensor, steps: int) -> Any:
        """The pictures (B, 3, H, W) in 0..1 of frames that do equally many steps.

        Args:
            prompt: any; every row of it is replaced.
            noise: (B, C, h, w), float32; each frame's own.
            steps: how many of the recipe's steps are done; after none it is the start itself.
        """
        latents = torch.cat([self.latents(spec) for spec in specs])
        latents = latents.to(getattr(torch, self.recipe.dtype))
        image, standing_in = self.taken_as_latents(latents)
        size = {"height": self.recipe.height, "width": self.recipe.width}
        takes = inspect.signature(type(self.pipeline).__call__).parameters
        with own_noise(self.pipeline.scheduler, self.family.flow, noise), standing_in:
            return self.pipeline(
                prompt=prompt,
                image=image,
                strength=strength_for(max(steps, 1), self.recipe.steps, self.family),
                num_images_per_prompt=len(specs),
                num_inference_steps=self.recipe.steps,
                output_type="pt",
                callback_on_step_end=None if steps else self.back_to(latents),
                **{name: value for name, value in size.items() if name in takes},
                **self.family.call,
            ).images

    def taken_as_latents(
        self, latents: torch.Tensor
    ) -> tuple[torch.Tensor, AbstractContextManager[None]]:
        """The pipeline's argument `image` with which it begins with these latents.

        Stable Diffusion's take a tensor of 4 channels for latents and any other for a picture,
        whatever their autoencoder has; they get a picture, and an encoder that knows its latents.
        """
        if latents.shape[1] == self.pipeline.image_processor.config.vae_latent_channels:
            return latents, nullcontext()
        shape = len(latents), 3, self.recipe.height, self.recipe.width
        return latents.new_zeros(shape), encoding_to(self.pipeline.vae, latents)

    def back_to(self, latents: torch.Tensor) -> Callable[..., dict[str, torch.Tensor]]:
        """A callback that undoes the step, so that the pipeline decodes what it began from."""

        def undo(pipeline: Any, step: int, timestep: Any, tensors: Any) -> dict[str, torch.Tensor]:
            start = latents.to(tensors["latents"].device)
            return {"latents": self.family.pack(pipeline, start).to(tensors["latents"].dtype)}

        return undo


def strength_for(done: int, steps: int, family: Family) -> float:
    """A strength at which the pipeline does so many of its steps, however it rounds."""
    return min((done - 0.5 if family.flow else done + 0.5) / steps, 1.0)


def encoded(pipeline: Any, picture: Image.Image) -> torch.Tensor:
    """Latents (1, C, h, w) of a picture: the mode of what the autoencoder finds likely, so that
    the same picture always gives the same. In float32, where no autoencoder overflows."""
    autoencoder = pipeline.vae
    pixels = pipeline.image_processor.preprocess(picture, picture.height, picture.width)
    before = autoencoder.dtype
    autoencoder.to(torch.float32)
    try:
        pixels = pixels.to(pipeline._execution_device, torch.float32)
        found = autoencoder.encode(pixels)
        # A tiny autoencoder gives its latents at once and knows of no others.
        latents = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
    finally:
        autoencoder.to(before)
    mean, factor, deviation = scaling(autoencoder)
    return torch.as_tensor((latents.cpu() - mean) * factor / deviation)


def scaling(autoencoder: Any) -> tuple[Any, float, Any]:
    """(mean, factor, deviation): x of the encoder is (x - mean) factor / deviation of the denoiser.
    The first and the last are numbers, or tensors (1, C, 1, 1)."""
    settings = autoencoder.config
    factor = float(settings.scaling_factor)
    if settings.get("latents_mean") is not None and settings.get("latents_std") is not None:
        mean, deviation = (
            torch.tensor(settings[key]).view(1, -1, 1, 1) for key in ("latents_mean", "latents_std")
        )
        return mean, factor, deviation
    return settings.get("shift_factor") or 0, factor, 1


@contextmanager
def encoding_to(autoencoder: Any, latents: torch.Tensor) -> Iterator[None]:
    """Let an autoencoder find these latents, as the denoiser takes them, in whatever picture."""
    mean, factor, deviation = scaling(autoencoder)
    raw = latents.float().cpu() * deviation / factor + mean
    with Patches() as patches:
        patches.replace(autoencoder, "encode", lambda image: SimpleNamespace(latents=raw.to(image)))
        yield
