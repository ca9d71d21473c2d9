"""Linear layers by oneDNN, against the stock layers."""

import pytest
import torch
from diffusers.models.activations import GEGLU
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from peft import LoraConfig
from peft.tuners import lora
from tiny_models import SIDE, assert_predicts_the_same, tiny_denoiser
from torch import nn

from render.config.schema import ComputeConfig
from render.engines.open_model import open_diffusion
from render.kernels.cpu_onednn_linear import (
    PackedGEGLU,
    PackedLinear,
    has_bfloat16,
    is_linear_alone,
    use_onednn,
)
from render.kernels.patches import Patches
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe

PACKED = PackedLinear | PackedGEGLU


class Block(Transformer2DModel):
    """A transformer with the given layers alone."""

    def __init__(self, **layers):
        nn.Module.__init__(self)
        for name, layer in layers.items():
            self.add_module(name, layer)


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_answer_the_same(dtype, bias):
    kind = getattr(torch, dtype)
    # oneDNN has no bfloat16 on a CPU without AVX-512: there such layers stay with torch.
    taken = {"float32": True, "bfloat16": has_bfloat16(), "float64": False}
    layers = {"linear": nn.Linear(6, 10, bias), "gated": GEGLU(6, 10, bias)}
    states = torch.randn(2, 5, 6).to(kind)
    block = Block(**layers).to(kind)
    expected = [layer.double()(states.double()) for layer in layers.values()]
    block.to(kind)
    use_onednn(block, Patches())
    for name, exact in zip(layers, expected, strict=True):
        layer = getattr(block, name)
        assert isinstance(layer, PACKED) == taken[dtype]
        answer = layer(states)
        assert answer.dtype == kind
        error = {"float32": 1e-6, "bfloat16": 0.02, "float64": 1e-6}[dtype]
        torch.testing.assert_close(answer.double(), exact, rtol=error, atol=error)


@torch.no_grad()
def test_only_layers_of_transformers_change():
    unet = tiny_denoiser(use_linear_projection=True)
    use_onednn(unet, Patches())
    packed = {name for name, layer in unet.named_modules() if isinstance(layer, PACKED)}
    assert any("transformer_blocks" in name for name in packed)
    assert any(name.endswith("proj_out") for name in packed)
    assert all("attentions" in name for name in packed)
    left = {name for name, layer in unet.named_modules() if type(layer) is nn.Linear}
    assert not any("attentions" in name for name in left)
    assert "time_embedding.linear_1" in left


@torch.no_grad()
def test_where_there_is_no_onednn_nothing_changes(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    unet = tiny_denoiser()
    use_onednn(unet, Patches())
    assert not any(isinstance(layer, PACKED) for layer in unet.modules())


def test_a_unet_predicts_the_same():
    assert_predicts_the_same(tiny_denoiser(), lambda net: use_onednn(net, Patches()))


class Twice(nn.Linear):
    """As a LoRA's layer is: no plain one."""

    def forward(self, states):
        return 2 * super().forward(states)


@torch.no_grad()
def test_layers_that_are_not_plain_stay():
    block, states = Block(gated=GEGLU(6, 10), linear=Twice(6, 10)), torch.randn(2, 5, 6)
    block.gated.proj.__class__ = Twice
    expected = block.gated(states), block.linear(states)
    use_onednn(block, Patches())
    assert not any(isinstance(layer, PACKED) for layer in block.modules())
    assert torch.equal(block.gated(states), expected[0])
    assert torch.equal(block.linear(states), expected[1])


@torch.no_grad()
def test_a_layer_beneath_a_lora_is_packed():
    layer = lora.Linear(nn.Linear(6, 10), "default", LoraConfig(r=2, init_lora_weights=False), r=2)
    block, states = Block(linear=layer), torch.randn(2, 5, 6)
    expected = layer(states)
    use_onednn(block, Patches())
    assert isinstance(block.linear.base_layer, PackedLinear)
    torch.testing.assert_close(block.linear(states), expected)


def test_a_cpu_without_bfloat16_has_torch_compute(monkeypatch):
    layer = nn.Linear(3, 3).bfloat16()
    for there in (True, False):
        monkeypatch.setattr(
            "render.kernels.cpu_onednn_linear.has_bfloat16", lambda there=there: there
        )
        assert is_linear_alone(layer) == there
    assert is_linear_alone(nn.Linear(3, 3))
    assert not is_linear_alone(nn.Linear(3, 3).half())


@pytest.mark.parametrize("offload", ["none", "sequential"])
def test_a_cpu_computes_so_where_no_part_waits_elsewhere(tiny_sd1, offload):
    source = ModelSource(tiny_sd1, None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, "float32", "noise")
    config = ComputeConfig.model_validate({"offload": offload})
    unet = open_diffusion(source, recipe, "cpu", compute=config).pipeline.unet
    kinds = {type(layer) for layer in unet.modules()}
    assert (PackedGEGLU in kinds, GEGLU in kinds) == (offload == "none", offload != "none")
