"""The compiled engine without a compiler, for any kind of device."""

import torch

from render.engines.compiled_networks import compile_networks
from render.kernels.cuda_graphs import Graphed


class Compiled:
    """The compiled engine for a kind of device, without a compiler."""

    def __init__(self, kind="cpu", graphed=Graphed):
        self.kind, self.graphed = kind, graphed

    def start(self, opened):
        torch._dynamo.utils.counters.clear()
        return compile_networks(opened, self.kind, "eager", self.graphed)
