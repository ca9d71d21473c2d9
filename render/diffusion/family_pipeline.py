"""A family's stock pipeline, called with its own guidance off and one row a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from render.diffusion.batch_size import rows_per_call
from render.diffusion.call_layout import RowsPerCall
from render.diffusion.lora_adapters import Adapters
from render.diffusion.pipeline import Loaded
from render.diffusion.recording import recorded
from render.diffusion.schedules import give_scheduler
from render.kernels.cuda_async import sent
from render.models.prompt_weights import has_weights
from render.plan.conditioning import FrameRows, RowText
from render.plan.frame_plan import Recipe


class FamilyPipeline:
    """A loaded pipeline with the recipe by which it is called.

    Args:
        loaded: the pipeline, its family, and what was patched to load it.
        steps_here: whether a scheduler's time steps stay in main memory, so that nothing waits for
            a GPU.
        adapters: its LoRAs; None: it has none.

    Attributes:
        noise_shape: (1, C, h, w) of one frame's noise.
    """

    def __init__(
        self,
        loaded: Loaded,
        recipe: Recipe,
        device: str,
        adapters: Adapters | None = None,
        steps_here: bool = False,
    ) -> None:
        self.pipeline, self.family, self.patches, self.schedule = loaded
        self.recipe, self.device, self.steps_here = recipe, torch.device(device), steps_here
        self.adapters = adapters or Adapters(self.pipeline, self.family)
        shape = self.family.noise_shape(self.pipeline, recipe.height, recipe.width)
        self.noise_shape = (1, *shape)

    @property
    def denoiser(self) -> Any:
        """The network that denoises."""
        return getattr(self.pipeline, self.family.denoiser)

    def rows_per_call(self, batch: int) -> RowsPerCall:
        """Rows of every call of the denoiser with so many frames at a time."""
        recipe = self.recipe
        given = (self.device.type, self.noise_shape, batch, self.family, recipe.blend)
        return rows_per_call(*given, alone=recipe.approximations.block_cache > 0)

    def turn_to(self, recipe: Recipe) -> None:
        """Call it by this recipe from now on, with its scheduler and steps.

        Raises:
            ConfigError: the scheduler refuses its options or the number of steps.
        """
        give_scheduler(self.pipeline, recipe, self.schedule, self.steps_here)
        self.recipe = recipe

    def evaluations(self, steps: int) -> int:
        """How often the denoiser is called in the last steps of the schedule; once at least."""
        scheduler = self.pipeline.scheduler
        left_out: int = scheduler.order * (self.recipe.steps - max(steps, 1))
        return len(scheduler.timesteps) - left_out

    def scales(self, frames: Sequence[FrameRows]) -> dict[str, torch.Tensor]:
        """The guidance scales (B,) as an argument of the denoiser, where it takes them itself."""
        guidance = self.family.guidance
        if guidance.argument is None:
            return {}
        scales = torch.tensor([frame.guidance for frame in frames], dtype=torch.float32)
        return {guidance.argument: guidance.value(self.pipeline, scales)}

    def call(
        self,
        given: Mapping[str, Any],
        noise: torch.Tensor,
        generators: list[torch.Generator] | None,
    ) -> Any:
        """The pictures (B, 3, H, W) in 0..1.

        Args:
            given: the prompt, as a text or as its embeddings.
            noise: (B, C, h, w), float32.
        """
        dtype = getattr(torch, self.family.noise_dtype or self.recipe.dtype)
        return self.pipeline(
            num_images_per_prompt=noise.shape[0],
            latents=sent(self.family.pack(self.pipeline, noise), self.device, dtype),
            generator=generators,
            height=self.recipe.height,
            width=self.recipe.width,
            num_inference_steps=self.recipe.steps,
            output_type="pt",
            **{**self.family.call, **given},
        ).images

    def recorded_call(self, text: RowText, pictures: int) -> dict[str, Any]:
        """The arguments that reach the denoiser when so many pictures of a text are asked for."""
        self.adapters.apply(text.loras)
        noise = torch.zeros(pictures, *self.noise_shape[1:])
        return recorded(self.denoiser, lambda: self.call(self.prompt(text), noise, None))

    def prompt(self, text: RowText) -> dict[str, Any]:
        """A text as arguments of the pipeline's call."""
        family = self.family
        whole = family.whole_texts and bool(text.text)
        if family.weighted and (whole or has_weights(text.text)):
            return family.weighted(self.pipeline, text.text)
        if text.negative and family.negative:
            return family.negative(self.pipeline, text.text)
        return {"prompt": text.text}

    def close(self) -> None:
        """Make the pipeline the stock one again."""
        self.schedule.close()
        self.patches.close()

    def weights(self) -> int:
        """Bytes of all components' weights."""
        parts = self.pipeline.components.values()
        networks = [part for part in parts if isinstance(part, torch.nn.Module)]
        return sum(weight.nbytes for part in networks for weight in part.parameters())
