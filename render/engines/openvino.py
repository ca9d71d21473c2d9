"""The OpenVINO engine: networks converted once, kept in the user's cache, computed by OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator

from render.config.schema import RunConfig
from render.engines.protocol import Abilities, Computation, Opened
from render.engines.requirements import (
    mistakes_in_whole_networks,
    mistakes_with_int8,
    mistakes_with_openvino,
)
from render.errors import Mistake
from render.models.resolve import Model


class OpenVino:
    """For U-Nets on CPUs; LoRAs and ControlNets change what it converted. With
    `compute.quantised=int8` it computes both networks in 8 bits (openvino_int8.py)."""

    abilities = Abilities(quantises_as="openvino", float16_on_cpus=True)

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        yield from mistakes_in_whole_networks("openvino", "converts", config, self.abilities)
        yield from mistakes_with_openvino(device, model)
        yield from mistakes_with_int8(config)

    def start(self, opened: Opened) -> Computation:
        from render.engines.openvino_networks import convert_networks

        return convert_networks(opened)
