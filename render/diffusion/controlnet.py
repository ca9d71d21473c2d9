"""The ControlNet beside the denoiser: what it adds to each row, for that row's own text.

It is asked inside of every call of the denoiser with the very rows of that call
(blended_denoiser.py). Asked once a frame instead, as the pipelines' own class would be under the
blend, it would see one text for all rows, and the pixels would be wrong without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from diffusers.image_processor import VaeImageProcessor

from render.diffusion.components import all_weights_there, fitting
from render.kernels.call_arguments import index_on
from render.models.images import known_picture
from render.models.model_source import ModelSource
from render.models.weight_files import lone_variant
from render.plan.conditioning import RowTexts
from render.plan.frame_plan import Recipe


class Residuals:
    """Zhang et al. 2023: a copy of the denoiser's encoder that reads a picture.

    Args:
        net: the ControlNet, on the run's device.
        scale: of what it adds.
        images: where each picture lies, by its digest.
    """

    def __init__(self, net: Any, scale: float, recipe: Recipe, images: Mapping[str, Path]) -> None:
        self.net, self.scale, self.recipe, self.images = net, scale, recipe, images
        self.processor = VaeImageProcessor(do_convert_rgb=True, do_normalize=False)
        self.hints: dict[str, torch.Tensor] = {}
        self.shown = torch.empty(0)

    def follow(self, digests: Sequence[str]) -> None:
        """The frames of the next calls follow these pictures, one each."""
        self.hints = {digest: self.hint(digest) for digest in dict.fromkeys(digests)}
        shown = torch.cat([self.hints[digest] for digest in digests])
        self.shown = shown.to(self.net.device, self.net.dtype)

    def hint(self, digest: str) -> torch.Tensor:
        """A picture (1, 3, H, W) in 0..1."""
        if digest in self.hints:
            return self.hints[digest]
        width, height = self.recipe.width, self.recipe.height
        picture = known_picture(self.images, digest, width, height)
        return torch.as_tensor(self.processor.preprocess(picture, height, width))

    def __call__(
        self, given: Mapping[str, Any], rows: Sequence[tuple[int, RowTexts]]
    ) -> dict[str, Any]:
        """Arguments to add to a call of the denoiser with these ones.

        Args:
            rows: each row's frame, and its texts.
        """
        sample = given["sample"]
        owners = tuple(owner for owner, _ in rows)
        down, middle = self.net(
            sample,
            given["timestep"],
            encoder_hidden_states=given["encoder_hidden_states"],
            controlnet_cond=self.shown.index_select(0, index_on(self.shown.device, owners)),
            conditioning_scale=self.scale,
            added_cond_kwargs=given.get("added_cond_kwargs"),
            return_dict=False,
        )
        if self.net.config.global_pool_conditions:
            free = [all(text.negative for text, _ in mix) for _, mix in rows]
            *down, middle = (without(free, added) for added in (*down, middle))
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }


def without(rows: Sequence[bool], added: torch.Tensor) -> torch.Tensor:
    """The additions (rows, C, …), with nothing for some rows. They are computed all the same, as a
    row's last bits depend on how many others are in the call."""
    left_out = index_on(added.device, tuple(map(int, rows))).bool()
    return added.masked_fill(left_out.view(-1, *[1] * (added.ndim - 1)), 0)


def load_residuals(
    source: ModelSource, recipe: Recipe, device: str, images: Mapping[str, Path]
) -> Residuals | None:
    """The model's ControlNet, if it has one.

    Raises:
        ConfigError: it can't be loaded.
    """
    if source.controlnet is None:
        return None
    path, scale = source.controlnet
    dtype = getattr(torch, recipe.dtype)
    with (
        fitting("model.controlnet", f"{path} can't be loaded", "give another"),
        all_weights_there(),
    ):
        net = ControlNetModel.from_pretrained(
            path,
            dtype=dtype,
            variant=lone_variant(path),
            use_safetensors=True,
            local_files_only=True,
        )
    return Residuals(net.to(device).eval(), scale, recipe, images)
