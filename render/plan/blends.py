"""Blends: which denoiser rows the prompts of a frame need, and how their predictions become one.

A new blend is one `Blend`. Ours are listed in extensions.py; another package names its own under
the entry points `render.blends`. Without torch: a plan counts rows before anything is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from render import extensions
from render.extensions import Registry

if TYPE_CHECKING:
    from render.plan.conditioning import RowTexts


@dataclass(frozen=True, slots=True)
class Blend:
    """How texts with weights become one prediction on each side of the guidance: of the prompts,
    and of the negatives."""

    rows: Callable[[RowTexts], Mapping[RowTexts, float]]
    """Texts with weights that sum to 1, perhaps none, to the rows and each one's weight. A row is
    itself texts with weights: their embeddings are blended, and the denoiser is computed once."""
    usual_rows: int
    """Rows of the usual frame: between two prompts, with one negative."""
    combine: Callable[[Sequence[Any], Sequence[float]], Any] | None = None
    """Float32 predictions (C, h, w) of a side's rows and their weights, none of them 0, to the
    side's prediction of that shape; None: their weighted sum. Not asked where there is one row."""
    lined_up: bool = False
    """Whether all texts must have one length, as embeddings need that are blended."""
    version: int = 1
    """Raised by hand when the same frame would give another picture; part of its identity."""

    def identity(self, name: str) -> str:
        """The blend as digests have it. A name that ends like one with a version is written as
        JSON, which no name can be."""
        if re.search(r" \d+$", name):
            return json.dumps([name, self.version])
        return name if self.version == 1 else f"{name} {self.version}"


def a_row_for_each(texts: RowTexts) -> Mapping[RowTexts, float]:
    """Every text in a row of its own."""
    return {((text, 1.0),): weight for text, weight in texts}


def one_row_for_all(texts: RowTexts) -> Mapping[RowTexts, float]:
    """All texts in one row."""
    return {texts: 1.0} if texts else {}


NOISE = Blend(a_row_for_each, usual_rows=3)
"""The predictions are blended: composable diffusion (Liu et al. 2022)."""
EMBEDDING = Blend(one_row_for_all, usual_rows=2, lined_up=True)
"""The embeddings of the texts are blended."""
BLENDS = Registry(extensions.BLENDS, Blend)
"""By the names that `sampling.blend` gives."""
