"""Keys of a config that change no pixel where they stand; the plan names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from render.config.changing import MOST_GUIDANCE
from render.config.schema import KeyframeConfig, RunConfig
from render.errors import Mistake
from render.plan.approximations import approximations_of
from render.timeline.over_time import changes

if TYPE_CHECKING:
    from render.run.facts import Facts

NO_GUIDANCE = 1.0
"""A scale up to this one says that there is none, whatever the model's own way of counting."""
USUAL_GUIDANCE = 7.5
"""Of a model whose config names none."""


def unused_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Keys that change nothing with this model, or beside one another."""
    if (model := facts.model) is None:
        return
    written, sampling, guidance = config.model, config.sampling, model.family.guidance
    if written.guidance is not None and written.guidance > NO_GUIDANCE and not guidance.taken:
        yield Mistake("model.guidance", "this model takes no guidance; leave it out")
    if written.family not in (None, model.family.pipeline):
        what = f"the model's own index says {model.family.pipeline}, which counts; leave it out"
        yield Mistake("model.family", what)
    smooth = sampling.path == "smooth"
    if sampling.path_parts is not None and not smooth:
        what = "changes nothing on a plain path; leave it out, or add sampling.path=smooth"
        yield Mistake("sampling.path_parts", what)
    for key in ("anchors", "early_steps") if smooth else ():
        if getattr(sampling, key) is not None:
            what = "a smooth path has nodes in place of anchors; use sampling.path_parts"
            yield Mistake(f"sampling.{key}", what)
    if sampling.trunk and (smooth or approximations_of(sampling).anchors):
        beside = "smooth path" if smooth else "anchors"
        yield Mistake("sampling.trunk", f"goes with no {beside}; leave one of them out")
    if sampling.early_steps is not None and not smooth and not approximations_of(sampling).anchors:
        what = "changes nothing without anchors; leave it out, or add sampling.anchors=6"
        yield Mistake("sampling.early_steps", what)
    unguided = not any(guidance.uses_negatives(scale) for scale in scales(config))
    if sampling.guidance_interval and guidance.negatives and unguided:
        what = f"there is no guidance at any keyframe (up to {guidance.off:g} is none)"
        yield Mistake("sampling.guidance_interval", f"{what}; leave it out")


def scales(config: RunConfig) -> Iterator[float]:
    """The guidance scale of every keyframe; of one that changes over time the largest that any may
    have."""
    usual = usual_guidance(config)
    curve = config.timeline.curves.guidance
    for keyframe in config.timeline.keyframes.values():
        given = curve if keyframe.guidance is None else keyframe.guidance
        yield MOST_GUIDANCE if changes(given) else usual if given is None else given


def usual_guidance(config: RunConfig) -> float:
    """The scale of keyframes that name none: the sampling's, else the model's."""
    if config.sampling.guidance is not None:
        return config.sampling.guidance
    return USUAL_GUIDANCE if config.model.guidance is None else config.model.guidance


def fallback_warnings(config: RunConfig) -> Iterator[str]:
    """Values of `sampling` that no keyframe falls back to."""
    sampling, frames = config.sampling, list(config.timeline.keyframes.values())
    if sampling.seed and any(frame.seed is not None for frame in frames if at_start(frame)):
        yield f"sampling.seed={sampling.seed} changes nothing: the first keyframe names its seed"
    for key in ("guidance", "negative"):
        if getattr(sampling, key) and all(getattr(frame, key) is not None for frame in frames):
            yield f"sampling.{key} changes nothing: every keyframe names its own"
    if sampling.guidance is not None and config.timeline.curves.guidance is not None:
        yield "sampling.guidance changes nothing: timeline.curves has one for the whole film"


def at_start(frame: KeyframeConfig) -> bool:
    """Whether a keyframe stands at 0, as a film's first one does."""
    return not (frame.at.seconds or frame.at.frames)
