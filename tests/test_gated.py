"""Gated layers in halves, against the stock layers."""

import pytest
import torch
from diffusers.models.activations import GEGLU
from tiny_models import SIDE, tiny_denoiser
from torch import nn

from render.config import ComputeConfig
from render.families import ModelSource
from render.gated import split_gates
from render.loading import open_diffusion
from render.plan import Recipe


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
def test_halves_are_the_whole(bias):
    layer, states = GEGLU(6, 10, bias), torch.randn(2, 5, 6)
    whole = layer(states)
    split_gates(layer)
    torch.testing.assert_close(layer(states), whole, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_unet_predicts_the_same():
    unet = tiny_denoiser()
    given = torch.randn(2, 4, 16, 16), 500, torch.randn(2, 16, 32)
    stock = unet(*given).sample
    split_gates(unet)
    torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-4, atol=1e-5)


class Doubled(nn.Linear):
    """As a LoRA's layer is: no plain one."""

    def forward(self, states):
        return 2 * super().forward(states)


@torch.no_grad()
def test_a_layer_that_is_not_plain_computes_itself():
    layer, states = GEGLU(6, 10), torch.randn(2, 5, 6)
    split_gates(layer)
    layer.proj.__class__ = Doubled
    gated, gate = (2 * nn.functional.linear(states, layer.proj.weight, layer.proj.bias)).chunk(
        2, -1
    )
    torch.testing.assert_close(layer(states), gated * nn.functional.gelu(gate))


@pytest.mark.parametrize("offload", ["none", "sequential"])
def test_a_cpu_computes_so_where_no_part_waits_elsewhere(tiny_sd1, offload):
    source = ModelSource(tiny_sd1, None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, "float32", "noise")
    config = ComputeConfig.model_validate({"offload": offload})
    unet = open_diffusion(source, recipe, "cpu", compute=config).pipeline.unet
    layers = [layer for layer in unet.modules() if isinstance(layer, GEGLU)]
    assert layers
    assert {"in_halves" in str(layer.forward) for layer in layers} == {offload == "none"}
