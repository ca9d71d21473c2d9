"""Merged upsampling, against doubling and convolving."""

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from diffusers.models.upsampling import Upsample2D
from tiny_loras import lora_layers
from tiny_models import SIDE, assert_predicts_the_same, tiny_denoiser

from render.config.schema import ComputeConfig
from render.engines.open_model import open_diffusion
from render.kernels.fused_upsampling import Doubling, FourPhases, doubles_everywhere, merge_layers
from render.kernels.patches import Patches
from render.models.lora_files import Lora
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe


def upsamplers(network):
    return [layer for layer in network.modules() if isinstance(layer, Upsample2D)]


WAYS = (Doubling, FourPhases)


@torch.no_grad()
@pytest.mark.parametrize("merge", WAYS)
@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_one_convolution_is_the_doubling_and_the_other(merge, size, bias):
    conv = torch.nn.Conv2d(3, 5, 3, padding=1, bias=bias).double()
    picture = torch.randn(2, 3, *size).double()
    doubled = torch.nn.functional.interpolate(picture, scale_factor=2.0, mode="nearest")
    merged = merge(conv)
    torch.testing.assert_close(merged(picture), conv(doubled), rtol=1e-6, atol=1e-6)
    assert (merged.bias is not None) == bias


@pytest.mark.parametrize("merge", WAYS)
def test_a_unet_predicts_the_same(merge):
    unet = tiny_denoiser()
    assert_predicts_the_same(unet, lambda net: merge_layers(net, merge, Patches()), (16, 24))
    assert all(layer.use_conv_transpose for layer in upsamplers(unet))


@torch.no_grad()
@pytest.mark.parametrize("merge", WAYS)
def test_a_decoder_decodes_the_same(merge):
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 3}
    kinds["up_block_types"] = ("UpDecoderBlock2D",) * 3
    vae = AutoencoderKL(block_out_channels=(8, 8, 16), norm_num_groups=4, **kinds)
    latents = torch.randn(1, 4, 7, 5)
    stock = vae.decode(latents).sample
    merge_layers(vae.decoder, merge, Patches())
    assert len(upsamplers(vae.decoder)) == 2
    torch.testing.assert_close(vae.decode(latents).sample, stock, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "given", [{"use_conv": False}, {"use_conv": True, "kernel_size": 1, "padding": 0},
              {"use_conv": True, "interpolate": False}, {"use_conv": True, "norm_type": "ln_norm",
              "eps": 1e-6, "elementwise_affine": True}],
)  # fmt: skip
@torch.no_grad()
def test_layers_of_another_kind_stay(given):
    layer, picture = Upsample2D(4, **given), torch.randn(1, 4, 3, 3)
    stock = layer(picture)
    merge_layers(layer, Doubling, Patches())
    torch.testing.assert_close(layer(picture), stock, rtol=0, atol=0)
    assert not layer.use_conv_transpose


def test_a_unet_that_meets_odd_sides_keeps_its_layers():
    unet = tiny_denoiser()
    halvings = len(upsamplers(unet))
    assert doubles_everywhere(unet, (1, 4, 2**halvings, 3 * 2**halvings))
    assert not doubles_everywhere(unet, (1, 4, 2**halvings, 3 * 2**halvings - 1))


def merged_in(*networks):
    return [{layer.use_conv_transpose for layer in upsamplers(network)} for network in networks]


def opened(folder, loras=(), **compute):
    source = ModelSource(folder, None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, "float32", "noise")
    config = ComputeConfig.model_validate(compute)
    return open_diffusion(source, recipe, "cpu", loras=loras, compute=config)


@pytest.mark.parametrize("offload", ["none", "model", "sequential"])
def test_a_cpu_computes_so_where_no_part_waits_elsewhere(tiny_sd1, offload):
    pipeline = opened(tiny_sd1, offload=offload).pipeline
    assert merged_in(pipeline.vae.decoder, pipeline.unet) == [{offload == "none"}] * 2


@pytest.mark.parametrize(("wanted", "merged"), [("to_q", True), ("upsamplers.0.conv", False)])
def test_layers_that_a_lora_changes_stay(tiny_sd1, tmp_path, wanted, merged):
    layers = lora_layers(tiny_denoiser(), [wanted], 1)
    file = tmp_path / "paint.safetensors"
    StableDiffusionPipeline.save_lora_weights(tmp_path, layers, weight_name=file.name)
    pipeline = opened(tiny_sd1, [Lora("paint", "model.loras.0", "sha256:1", file)]).pipeline
    assert merged_in(pipeline.vae.decoder, pipeline.unet) == [{True}, {merged}]
