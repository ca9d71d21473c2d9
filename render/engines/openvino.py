"""The OpenVINO engine: networks converted once, kept in the user's cache, computed by OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator

from render.config.schema import RunConfig
from render.engines.protocol import Abilities, Computation, Opened
from render.engines.requirements import int8_flaws, openvino_flaws, whole_network_flaws
from render.errors import Mistake
from render.models.resolve import Model


class OpenVino:
    """For U-Nets on CPUs; LoRAs and ControlNets change what it converted. With
    `compute.quantised=int8` it computes both networks in 8 bits (openvino_int8.py)."""

    abilities = Abilities(quantises_as="openvino", float16_on_cpus=True)

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        yield from whole_network_flaws("openvino", "converts", config, self.abilities)
        yield from openvino_flaws(device, model)
        yield from int8_flaws(config)

    def start(self, opened: Opened) -> Computation:
        from render.engines.openvino_networks import convert_networks

        return convert_networks(opened)
