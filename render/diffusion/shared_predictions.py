"""Predictions that frames share: first rows of equal latents, and early ones between anchors.

Frames with one seed begin with the same latents, so the rows of their first evaluation are equal
and are computed once. Farther on they part slowly: with `sampling.anchors` the early evaluations
are done at a few times only, and the frames between two of these take the blend of their
predictions, with the weights that slerp the anchors' noise. A deterministic solver is linear in
noise and predictions, so this is the slerp of the anchors' latents (a lerp where the seed stays),
and what a solver remembers of earlier steps is right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import torch

from render.diffusion.noise import slerp_weights
from render.kernels.call_arguments import weighted_sum
from render.timeline.spec import FrameSpec

REMEMBERED_ROWS = 64  # so that memory stays flat where every frame has noise of its own


class FirstRows:
    """The latest rows of first evaluations, by what their latents are made of and their texts."""

    def __init__(self) -> None:
        self.rows: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        """Whether the row is there; asking keeps it among the latest."""
        if key in self.rows:
            self.rows.move_to_end(key)
        return key in self.rows

    def __getitem__(self, key: Hashable) -> torch.Tensor:
        """The row's prediction."""
        return self.rows[key]

    def keep(self, found: Mapping[Hashable, torch.Tensor]) -> None:
        """Remember predictions, and forget the oldest for them."""
        self.rows.update(found)
        while len(self.rows) > REMEMBERED_ROWS:
            self.rows.popitem(last=False)


class Early(NamedTuple):
    """A frame's noise (C, h, w) and the predictions of its first evaluations."""

    noise: torch.Tensor
    predictions: tuple[torch.Tensor, ...]


class Anchors:
    """Early predictions of the frames that others take theirs from.

    Args:
        evaluations: how many of each schedule are early.
        remembered: anchors whose predictions are kept, the latest ones.
        own: whether an anchor's own frame takes its early predictions, too.
    """

    def __init__(self, evaluations: int, remembered: int, own: bool = True) -> None:
        self.evaluations, self.remembered, self.own = evaluations, remembered, own
        self.known: OrderedDict[FrameSpec, Early] = OrderedDict()
        self.coming: dict[FrameSpec, int] = {}
        self.order: list[FrameSpec] = []

    def of(self, spec: FrameSpec) -> tuple[tuple[FrameSpec, float], ...]:
        """Whose early predictions a frame takes: its anchors', or its own if they are known; none
        of so few steps that none is early."""
        if not self.evaluations:
            return ()
        return spec.early or (((spec, 1.0),) if self.own and spec in self.known else ())

    def expect(self, specs: Sequence[FrameSpec]) -> None:
        """Name the frames that are coming, so that their anchors can be computed together."""
        wanted = dict.fromkeys(anchor for spec in specs for anchor, _ in spec.early)
        self.coming = {anchor: place for place, anchor in enumerate(wanted)}
        self.order = list(wanted)

    def missing(self, specs: Sequence[FrameSpec], fill: int) -> list[FrameSpec]:
        """Anchors of these frames that are not known, each once, and some that come next.

        Args:
            fill: how many are done together.
        """
        if not self.evaluations:
            return []
        wanted = dict.fromkeys(anchor for spec in specs for anchor, _ in spec.early)
        for anchor in wanted:
            if anchor in self.known:
                self.known.move_to_end(anchor)
        found = [anchor for anchor in wanted if anchor not in self.known]
        if found and len(found) % fill:
            following = self.order[self.coming.get(found[-1], len(self.order)) + 1 :]
            new = (a for a in following if a not in self.known and a not in wanted)
            found += islice(new, fill - len(found) % fill)
        return found

    def keep(
        self, specs: Sequence[FrameSpec], noise: torch.Tensor, predictions: Sequence[torch.Tensor]
    ) -> None:
        """Remember frames' noise (frames, C, h, w) and predictions (frames, …), an evaluation
        each."""
        for place, spec in enumerate(specs):
            early = tuple(together[place] for together in predictions)
            self.known[spec] = Early(noise[place], early)
        while len(self.known) > self.remembered:
            self.known.popitem(last=False)

    def given(self, spec: FrameSpec) -> list[torch.Tensor]:
        """A frame's early predictions: sum c_a x_a over its anchors, in float32."""
        shares = self.of(spec)
        each = [self.known[anchor] for anchor, _ in shares]
        weights = [weight for _, weight in shares]
        if len(each) == 2:
            weights = list(slerp_weights(each[0].noise, each[1].noise, weights[1]))
        predictions = zip(*(one.predictions for one in each), strict=True)
        return [weighted_sum(together, weights) for together in predictions]
