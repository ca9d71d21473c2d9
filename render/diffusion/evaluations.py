"""Evaluations of the denoiser for frames that are denoised together, and how rows meet in them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch

from render.kernels.call_arguments import weighted_sum
from render.models.guidance import classifier_free
from render.plan.conditioning import FrameRows

Combine = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
"""(unconditional prediction u, c - u, guidance scale) to the guided prediction."""


class Enough(BaseException):
    """Ends a call of the pipeline after the evaluations that were wanted."""


@dataclass(frozen=True, slots=True)
class Evaluations:
    """Which evaluations of some frames are computed, and how.

    The defaults are the plain way: every row of every frame, every time.
    """

    guided: range | None = None
    """In which there is guidance; None: in all."""
    begins: Sequence[Hashable] = ()
    """A frame's first latents by what they are made of, where equal ones may share rows."""
    given: Sequence[Sequence[torch.Tensor]] = ()
    """Predictions that a frame need not compute: those of its first evaluations."""
    last: int | None = None
    """Evaluations after which the call ends; None: the schedule's own."""
    keep: int = 0
    """First evaluations whose predictions are kept."""
    blank: bool = False
    """Whether nothing comes of them, so that none is computed."""

    def is_guided(self, number: int) -> bool:
        """Whether the evaluation of this number, from 0, has guidance."""
        return self.guided is None or number in self.guided

    def given_at(self, number: int) -> list[torch.Tensor]:
        """Every frame's prediction at that evaluation, if it need not be computed; else none."""
        return [predictions[number] for predictions in self.given if number < len(predictions)]


def combined(
    frame: FrameRows, predictions: Sequence[torch.Tensor], combine: Combine = classifier_free
) -> torch.Tensor:
    """One frame's prediction from its rows' float32 predictions: u + g sum w_i (e_i - u).

    Composable diffusion's conjunction (Liu et al. 2022, eq. 11), or the family's own way in its
    place. Since the weights sum to 1 it holds for epsilon, v, x0 and flow predictions alike.
    """
    if len(predictions) == 1:
        return predictions[0]
    if not any(frame.unconditional):
        return side(frame, predictions, frame.conditional)
    u = side(frame, predictions, frame.unconditional)
    if frame.combine:
        towards = side(frame, predictions, frame.conditional) - u
    else:
        towards = weighted_sum([e - u for e in predictions], frame.conditional)
    return combine(u, towards, frame.guidance)


def side(
    frame: FrameRows, predictions: Sequence[torch.Tensor], weights: Sequence[float]
) -> torch.Tensor:
    """The prediction of the prompts or of the negatives, whose rows have these weights."""
    if frame.combine is None:
        return weighted_sum(predictions, weights)
    pairs = [(e, w) for e, w in zip(predictions, weights, strict=True) if w]
    given = [e for e, _ in pairs], [w for _, w in pairs]
    blended: torch.Tensor = given[0][0] if len(pairs) == 1 else frame.combine(*given)
    return blended
