"""The denoiser rows of a frame, how their predictions are combined, and how many evaluations it
takes.

Without torch: a plan counts rows before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from render.models.family import Family
from render.plan.blends import BLENDS

if TYPE_CHECKING:
    from render.timeline.spec import FrameSpec


Weights = tuple[tuple[str, float], ...]
"""Weights of LoRAs by name, none of them 0."""


class RowText(NamedTuple):
    """One text of a row, as the text encoders read it; `negative` where its family reads negatives
    otherwise."""

    text: str
    negative: bool = False
    loras: Weights = ()
    """Weights of the LoRAs that change how it is read."""


RowTexts = tuple[tuple[RowText, float], ...]
"""The texts of one denoiser row with their weights, sorted by text."""

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


def steps_done(spec: FrameSpec, steps: int, family: Family) -> int:
    """Steps of a frame, of which a strength below 1 leaves out the first: rounded as the family's
    image-to-image pipeline does, up where the model predicts a flow, else down."""
    if not spec.start:
        return steps
    if family.flow:
        return steps - int(max(steps - steps * spec.strength, 0))
    return min(int(steps * spec.strength), steps)


def calls_of(
    spec: FrameSpec,
    scheduler_class: str,
    steps: int,
    options: Mapping[str, Any] | None,
    family: Family,
) -> int:
    """How often a frame's schedule calls the denoiser; once at least."""
    left_out = steps - max(steps_done(spec, steps, family), 1)
    stages = 2 if scheduler_class in TWO_STAGE else 1
    return evaluations(scheduler_class, steps, options) - stages * left_out


@dataclass(frozen=True, slots=True)
class FrameRows:
    """The denoiser rows of one frame and how their predictions are combined.

    The prompts' prediction is c = sum w_i e_i over `conditional`, the unconditional one is u = sum
    v_j e_j over `unconditional` (a weight for each row, 0 where it has no part; all are 0 without
    guidance). `guidance` is the scale; all rows are computed with the `loras`. Rows are in the
    order of their texts, so a spec's order of prompts does not matter.
    """

    rows: tuple[RowTexts, ...]
    conditional: tuple[float, ...]
    unconditional: tuple[float, ...]
    guidance: float
    loras: Weights = ()
    combine: Callable[[Sequence[Any], Sequence[float]], Any] | None = None
    """The blend's own function in place of the two sums."""


def frame_rows(
    spec: FrameSpec, blend: str, family: Family, reading: frozenset[str] = frozenset()
) -> FrameRows:
    """The rows a frame needs: equal ones once, and none whose coefficient is zero.

    Args:
        blend: the name of one of `BLENDS`.
        reading: names of the LoRAs that change the text encoders.
    """
    read = tuple(pair for pair in spec.loras if pair[0] in reading)
    guided = family.guidance.uses_negatives(spec.guidance)
    negatives = row_texts(spec.negatives, family.negative is not None, read) if guided else ()
    prompts = row_texts(spec.prompts, loras=read)
    kind = BLENDS[blend]
    wanted, unwanted = kind.rows(prompts), kind.rows(negatives)
    rows = tuple(sorted({*wanted, *unwanted}))
    return FrameRows(
        rows=rows,
        conditional=tuple(wanted.get(row, 0.0) for row in rows),
        unconditional=tuple(unwanted.get(row, 0.0) for row in rows),
        guidance=spec.guidance,
        loras=spec.loras,
        combine=kind.combine,
    )


def unguided(frame: FrameRows) -> FrameRows:
    """The frame without guidance: its prompts' rows alone."""
    if not any(frame.unconditional):
        return frame
    rows, conditional = prompt_rows(frame), tuple(weight for weight in frame.conditional if weight)
    return replace(frame, rows=rows, conditional=conditional, unconditional=(0.0,) * len(rows))


def prompt_rows(frame: FrameRows) -> tuple[RowTexts, ...]:
    """The rows that have a part in the prompts' prediction: those of a frame without guidance."""
    if not any(frame.unconditional):
        return frame.rows
    pairs = zip(frame.rows, frame.conditional, strict=True)
    return tuple(row for row, weight in pairs if weight)


def beginning(spec: FrameSpec, family: Family) -> Hashable:
    """All that the rows of a frame's first evaluation depend on besides their texts; None where its
    first latents are its own, since it starts from pictures."""
    if spec.start:
        return None
    scale = spec.guidance if family.guidance.argument else None
    return tuple(sorted(spec.seeds)), spec.loras, spec.control, scale


def row_texts(
    texts: tuple[tuple[str, float], ...], negative: bool = False, loras: Weights = ()
) -> RowTexts:
    """Texts with weights in their canonical form: equal texts merged, zeros dropped, sorted."""
    merged: dict[RowText, float] = {}
    for given, weight in texts:
        text = RowText(given, negative, loras)
        merged[text] = merged.get(text, 0.0) + weight
    return tuple(sorted((text, weight) for text, weight in merged.items() if weight != 0))


def rows(spec: FrameSpec, blend: str, family: Family) -> int:
    """Denoiser rows of one frame at one evaluation."""
    return len(frame_rows(spec, blend, family).rows)
