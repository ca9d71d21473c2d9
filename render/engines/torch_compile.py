"""The compiled engine: torch.compile of the denoiser and the decoder, kept between runs."""

from __future__ import annotations

from collections.abc import Iterator

from render.config.schema import RunConfig
from render.engines.protocol import Computation, Opened
from render.engines.requirements import compiler_flaws, whole_network_flaws
from render.errors import Mistake
from render.models.resolve import Model


class TorchCompile:
    """For CPUs and CUDA GPUs, with a compiler; LoRAs and ControlNets change what it compiled."""

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        yield from whole_network_flaws("compiled", "compiles", config)
        yield from compiler_flaws(device)

    def start(self, opened: Opened) -> Computation:
        from render.engines.compiled_networks import compile_networks

        return compile_networks(opened, opened.stock.device.type)
