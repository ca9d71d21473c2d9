"""Model families as data, and what a frame costs on them. Without torch: a plan reads it.

A family is one row of `FAMILIES`: how the stock diffusers pipeline is called so that its own
guidance is off and this project's blend (blend.py) stands where the guidance would. Another family
is another row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from render.plan import FrameSpec

Mix = tuple[tuple[str, float], ...]
"""Texts with weights, sorted by text: what one denoiser row is conditioned on."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's weights are: a diffusers folder, or a repository of the hub at a commit."""

    folder: Path | None
    repository: str | None
    revision: str | None
    variant: str | None
    family: str | None

    def __str__(self) -> str:
        if self.folder is not None:
            return str(self.folder)
        return f"{self.repository}@{self.revision}" if self.revision else str(self.repository)


def unet_noise_shape(pipeline: Any, height: int, width: int) -> tuple[int, int, int]:
    """Shape (C, h, w) of one frame's noise for a U-Net over a picture of height x width pixels."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.unet.config.in_channels, height // factor, width // factor


@dataclass(frozen=True, slots=True)
class Family:
    """How the pipelines of one family are loaded and called."""

    pipeline: str
    """Name of the pipeline's class in diffusers, as `model_index.json` gives it."""
    denoiser: str
    """The component whose `forward` is patched."""
    guidance_off: Mapping[str, Any]
    """Arguments of the pipeline's call that switch its own guidance off."""
    state: frozenset[str]
    """Arguments of the denoiser that belong to the frame; the others are the text's."""
    noise_shape: Callable[[Any, int, int], tuple[int, ...]]
    """(pipeline, height, width) to the shape of one frame's noise."""
    multiple: int
    """What width and height must be a multiple of, in pixels."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `from_pretrained`; a component given as None is never loaded."""


FAMILIES = {
    family.pipeline: family
    for family in (
        Family(  # Stable Diffusion 1.x and 2.x, epsilon and v-prediction; storybook
            pipeline="StableDiffusionPipeline",
            denoiser="unet",
            guidance_off={"guidance_scale": 1.0},
            state=frozenset({"sample", "timestep"}),
            noise_shape=unet_noise_shape,
            multiple=8,
            loading={
                "safety_checker": None,
                "feature_extractor": None,
                "image_encoder": None,
                "requires_safety_checker": False,
            },
        ),
    )
}


def family_mistake(pipeline: str) -> str | None:
    """What is wrong with a pipeline class, or None if its family is known."""
    if pipeline in FAMILIES:
        return None
    return f"no model family for the pipeline {pipeline!r}; known: {', '.join(sorted(FAMILIES))}"


TWO_STAGE = frozenset(
    {
        "DPMSolverSDEScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
    }
)
"""Schedulers that call the denoiser twice a step, but once in the last."""


def evaluations(scheduler_class: str, steps: int, options: Mapping[str, Any] | None = None) -> int:
    """How often a schedule of `steps` steps calls the denoiser."""
    if scheduler_class in TWO_STAGE:
        return 2 * steps - 1
    if scheduler_class == "PNDMScheduler":
        runge_kutta = not (options or {}).get("skip_prk_steps", True)
        return steps + 9 if runge_kutta else steps + (steps > 1)
    return steps


@dataclass(frozen=True, slots=True)
class Branches:
    """The denoiser rows of one frame and how their predictions are combined.

    The frame's prediction is u + g (c - u) with g the guidance scale, c = sum w_i e_i over
    `conditional` and u = sum v_j e_j over `unconditional` (weights a row, 0 where it has no part).
    Rows are in the order of their texts, so a spec's order of prompts does not matter.
    """

    rows: tuple[Mix, ...]
    conditional: tuple[float, ...]
    unconditional: tuple[float, ...]
    guidance: float


def branches(spec: FrameSpec, blend: str) -> Branches:
    """The rows a frame needs: equal ones once, and none whose coefficient is zero.

    `noise` takes a row for every text and blends predictions; `embedding` takes one row for the
    blended prompts and one for the blended negatives.
    """
    prompts = mix(spec.prompts) if spec.guidance != 0 else ()
    negatives = mix(spec.negatives) if spec.guidance != 1 else ()
    wanted, unwanted = weighted_rows(prompts, blend), weighted_rows(negatives, blend)
    rows = tuple(sorted(wanted | unwanted))
    return Branches(
        rows=rows,
        conditional=tuple(wanted.get(row, 0.0) for row in rows),
        unconditional=tuple(unwanted.get(row, 0.0) for row in rows),
        guidance=spec.guidance,
    )


def mix(texts: tuple[tuple[str, float], ...]) -> Mix:
    """Texts with weights as a canonical mix: equal texts merged, zeros dropped, sorted."""
    merged: dict[str, float] = {}
    for text, weight in texts:
        merged[text] = merged.get(text, 0.0) + weight
    return tuple(sorted((text, weight) for text, weight in merged.items() if weight != 0))


def weighted_rows(texts: Mix, blend: str) -> dict[Mix, float]:
    """The rows for one side of the guidance, each with its weight in the prediction."""
    if blend == "embedding":
        return {texts: 1.0} if texts else {}
    return {((text, 1.0),): weight for text, weight in texts}


def rows(spec: FrameSpec, blend: str) -> int:
    """Denoiser rows of one frame at one evaluation."""
    return len(branches(spec, blend).rows)
