"""Guidance: from u, the unconditional prediction, towards the prompts' prediction c.

The functions take u, d = c - u and the scale g.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def classifier_free(u: Any, d: Any, g: float) -> Any:
    """u + g d (Ho and Salimans 2022)."""
    return u + g * d


def beyond_the_prompt(u: Any, d: Any, g: float) -> Any:
    """c + g d: the scale counts from the prompt's own prediction."""
    return u + (1 + g) * d


def length_kept(u: Any, d: Any, g: float) -> Any:
    """u + g d, scaled to the length of c along the last axis."""
    guided = u + g * d
    return guided * ((u + d).norm(dim=-1, keepdim=True) / guided.norm(dim=-1, keepdim=True))


def as_it_is(pipeline: Any, scales: Any) -> Any:
    """The guidance scales (B,) themselves."""
    return scales


def sinusoidal(pipeline: Any, scales: Any) -> Any:
    """Scales (B,) as the embedding (B, D) that a distilled U-Net takes (Meng et al. 2023)."""
    width = pipeline.unet.config.time_cond_proj_dim
    return pipeline.get_guidance_scale_embedding(scales - 1, embedding_dim=width)


@dataclass(frozen=True, slots=True)
class Guidance:
    """How a family guides its pictures towards the prompts."""

    combine: Callable[[Any, Any, float], Any] = classifier_free
    """(u, d, g) to a frame's prediction."""
    off: float = 1.0
    """Scales up to this one are no guidance, as in diffusers: the prompts' prediction alone."""
    negatives: bool = True
    """Whether the model takes negatives; distilled ones do not."""
    argument: str | None = None
    """The denoiser's argument that takes the scale, where the model was distilled so."""
    value: Callable[[Any, Any], Any] = as_it_is
    """(pipeline, scales (B,)) to that argument."""

    @property
    def taken(self) -> bool:
        """Whether the model has any place for a scale."""
        return self.negatives or self.argument is not None

    def uses_negatives(self, scale: float) -> bool:
        """Whether a frame of that scale needs its negatives' rows."""
        return self.negatives and scale > self.off
