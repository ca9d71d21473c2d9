"""The compiled engine: torch.compile of the denoiser and the decoder, kept between runs."""

from __future__ import annotations

from collections.abc import Iterator

from render.config.schema import RunConfig
from render.engines.protocol import Abilities, Computation, Opened
from render.engines.requirements import mistakes_in_whole_networks, mistakes_with_compiler
from render.errors import Mistake
from render.models.resolve import Model


class TorchCompile:
    """For CPUs and CUDA GPUs, with a compiler; LoRAs and ControlNets change what it compiled."""

    abilities = Abilities(compiles=True)

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        yield from mistakes_in_whole_networks("compiled", "compiles", config)
        yield from mistakes_with_compiler(device)

    def start(self, opened: Opened) -> Computation:
        from render.engines.compiled_networks import compile_networks

        return compile_networks(opened, opened.stock.device.type)
