"""Approximations that make a film faster: presets (`sampling.speed`) over single keys.

Each changes the picture a little, so each is part of a frame's identity; docs/speed.md has what
they save and what they cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from render.config.schema import SamplingConfig


@dataclass(frozen=True, slots=True)
class Approximations:
    """The single keys, resolved; by default nothing is left out."""

    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Guidance only in this part of the steps (Kynkäänniemi et al. 2024)."""
    anchors: int = 0
    """Into how many parts each segment is divided; early steps are done at these times only. 0: at
    every frame."""
    early_steps: float = 0.5
    """Which part of the steps is early."""
    trunk: float = 0.0
    """This part of the steps is done half-way between the prompts of a segment, and all of its
    frames start from there. 0: every frame has its own."""
    deep_cache: int = 1
    """A U-Net's deep blocks are computed at every n-th evaluation only (Ma et al. 2023)."""
    block_cache: float = 0.0
    """A transformer's blocks but the first are computed again where that one's change differs by
    more than this part from the evaluation before. 0: always."""
    path_parts: int = 0
    """Into how many parts a smooth path is divided. 0: every frame is rendered by itself."""
    every: int = 1
    """Only every n-th frame is rendered, and shown n times."""
    fewer_steps: float = 1.0
    """Part of the usual steps that is done at all."""
    shrink: int = 1
    """Both sides of the picture are divided by this; the noise is the large one's, averaged."""

    @property
    def own_early(self) -> bool:
        """Whether an anchor's own frame takes the early predictions that others take from it. With
        deep features, or cached blocks, it would then not compute them at the evaluations at which
        it does alone."""
        alone = self.deep_cache == 1 and not self.block_cache
        return alone or (self.early_steps == 1 and not self.trunk)

    def evaluations(self, total: int) -> int:
        """How many of a schedule's evaluations are early."""
        if self.trunk:
            return round(self.trunk * total)
        return round(self.early_steps * total) if self.anchors else 0

    def guided(self, total: int, left_out: int = 0) -> range:
        """Evaluations with guidance, of those that a start image's schedule does not leave out."""
        first, last = (round(part * total) - left_out for part in self.guidance_interval)
        return range(max(first, 0), max(last, 0))

    def in_recipe(self) -> dict[str, Any]:
        """The keys that all frames share and that are in no frame's spec, where they differ from
        the default."""
        entry: dict[str, Any] = {}
        if self.guidance_interval != NONE.guidance_interval:
            entry["guidance_interval"] = list(self.guidance_interval)
        if self.anchors:
            entry["early_steps"] = self.early_steps
        if self.trunk:
            entry["trunk"] = self.trunk
        if self.deep_cache > 1:
            entry["deep_cache"] = self.deep_cache
        if self.block_cache:
            entry["block_cache"] = self.block_cache
        if self.shrink > 1:
            entry["shrink"] = self.shrink
        return entry


NONE = Approximations()

PRESETS: Mapping[str, Approximations] = {
    "exact": NONE,
    "balanced": Approximations(anchors=6, early_steps=1.0),
    "draft": Approximations(anchors=2, early_steps=1.0, every=4),
}


PATH_PARTS: Mapping[str, int] = {"exact": 24, "balanced": 12, "draft": 6}
"""Parts of a smooth path, by the speed that was asked for."""


def approximations_of(sampling: SamplingConfig) -> Approximations:
    """The approximations of a preset, with the single keys that a person set. Anchors for no step
    are none, and a smooth path has its nodes in their place."""
    keys = {field.name: getattr(sampling, field.name) for field in fields(Approximations)}
    if sampling.path == "plain":
        del keys["path_parts"]
    taken = replace(PRESETS[sampling.speed], **{k: v for k, v in keys.items() if v is not None})
    if sampling.path == "smooth":
        parts = taken.path_parts or PATH_PARTS[sampling.speed]
        return replace(taken, anchors=0, path_parts=parts)
    return taken if taken.early_steps else replace(taken, anchors=0)
