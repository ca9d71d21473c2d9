"""Linear layers by oneDNN, against the stock layers."""

import pytest
import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock
from tiny_models import SIDE, tiny_denoiser
from torch import nn

from render.config import ComputeConfig
from render.families import ModelSource
from render.linear import is_plain, use_onednn
from render.loading import open_diffusion
from render.plan import Recipe


class Block(BasicTransformerBlock):
    """A transformer's block with the given layers alone."""

    def __init__(self, **layers):
        nn.Module.__init__(self)
        for name, layer in layers.items():
            self.add_module(name, layer)


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_answer_the_same(dtype, bias):
    kind = getattr(torch, dtype)
    layers = {"linear": nn.Linear(6, 10, bias), "gated": GEGLU(6, 10, bias)}
    states = torch.randn(2, 5, 6).to(kind)
    block = Block(**layers).to(kind)
    expected = [layer.double()(states.double()) for layer in layers.values()]
    block.to(kind)
    use_onednn(block)
    for layer, exact in zip(layers.values(), expected, strict=True):
        answer = layer(states)
        assert answer.dtype == kind
        error = {"float32": 1e-6, "bfloat16": 0.02, "float64": 1e-6}[dtype]
        torch.testing.assert_close(answer.double(), exact, rtol=error, atol=error)


@torch.no_grad()
def test_only_layers_of_transformers_change():
    unet = tiny_denoiser()
    use_onednn(unet)
    changed = {name for name, layer in unet.named_modules() if "forward" in vars(layer)}
    assert changed
    assert all("transformer_blocks" in name for name in changed)
    assert "forward" not in vars(unet.time_embedding.linear_1)


@torch.no_grad()
def test_where_there_is_no_onednn_nothing_changes(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    unet = tiny_denoiser()
    use_onednn(unet)
    assert not any("forward" in vars(layer) for layer in unet.modules())


@torch.no_grad()
def test_a_unet_predicts_the_same():
    unet = tiny_denoiser()
    given = torch.randn(2, 4, 16, 16), 500, torch.randn(2, 16, 32)
    stock = unet(*given).sample
    use_onednn(unet)
    torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-4, atol=1e-5)


class Twice(nn.Linear):
    """As a LoRA's layer is: no plain one."""

    def forward(self, states):
        return 2 * super().forward(states)


@torch.no_grad()
def test_layers_that_are_not_plain_compute_themselves():
    block, states = Block(gated=GEGLU(6, 10)), torch.randn(2, 5, 6)
    use_onednn(block)
    proj = block.gated.proj
    del proj.forward  # what takes a layer's place has its own
    proj.__class__ = Twice
    gated, gate = (2 * nn.functional.linear(states, proj.weight, proj.bias)).chunk(2, -1)
    torch.testing.assert_close(block.gated(states), gated * nn.functional.gelu(gate))


def test_a_cpu_without_bfloat16_has_torch_compute(monkeypatch):
    layer = nn.Linear(3, 3).bfloat16()
    for there in (True, False):
        monkeypatch.setattr("render.linear.has_bfloat16", lambda there=there: there)
        assert is_plain(layer) == there
    assert is_plain(nn.Linear(3, 3))
    assert not is_plain(nn.Linear(3, 3).half())


@pytest.mark.parametrize("offload", ["none", "sequential"])
def test_a_cpu_computes_so_where_no_part_waits_elsewhere(tiny_sd1, offload):
    source = ModelSource(tiny_sd1, None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, "float32", "noise")
    config = ComputeConfig.model_validate({"offload": offload})
    unet = open_diffusion(source, recipe, "cpu", compute=config).pipeline.unet
    layers = [layer for layer in unet.modules() if isinstance(layer, GEGLU)]
    assert layers
    assert {"in_halves" in str(layer.forward) for layer in layers} == {offload == "none"}
