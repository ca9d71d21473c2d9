"""The usual engine: torch computes layer by layer, some of them in our own faster ways."""

from __future__ import annotations

from collections.abc import Iterator

from render.config.schema import RunConfig
from render.engines.protocol import Abilities, Computation, Opened
from render.errors import Mistake
from render.models.resolve import Model


class TorchEager:
    """The engine `torch`, which serves every film on every device."""

    abilities = Abilities(takes_quantised=True, serves_other_recipes=True)

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        return iter(())

    def start(self, opened: Opened) -> Computation:
        from render.engines.layer_kernels import computed_by_layers

        return computed_by_layers(opened)
