"""Transformer blocks that are skipped at evaluations at which they would hardly add anything new.

First Block Cache, as diffusers has it (`enable_cache`), after TeaCache (Liu et al. 2024,
arXiv:2411.19108): when a transformer's first block changes its input by nearly as much as at the
evaluation before, the other blocks' changes of then are taken again.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager
from typing import Any

from diffusers import FirstBlockCacheConfig

from render.kernels.patches import Patches


class BlockCache:
    """Keeps what each row's blocks changed, apart from all other rows.

    diffusers measures the change over a whole call, so that a row would depend on those beside it:
    calls have one row each.

    Args:
        transformer: diffusers' hooks are put on it.
        threshold: of the first block's change against the last one's, relative, in the mean; the
            other blocks are computed above it.
    """

    def __init__(self, transformer: Any, threshold: float, patches: Patches) -> None:
        self.transformer = transformer
        patches.watch(transformer)  # `disable_cache` leaves traces
        transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
        patches.add(transformer.disable_cache)

    def of(self, row: Hashable) -> AbstractContextManager[None]:
        """The context in which a call computes this row."""
        context: AbstractContextManager[None] = self.transformer.cache_context(repr(row))
        return context

    def forget(self) -> None:
        """Drop the changes of all rows: other frames are to come."""
        self.transformer._reset_stateful_cache()
