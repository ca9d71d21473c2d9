"""Convolving in tiles, against the stock convolution."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline
from diffusers.models.upsampling import Upsample2D
from pictures import difference, render
from tiny_loras import lora_layers
from tiny_models import SIDE, tiny_denoiser
from torch import nn

from render.config.schema import ComputeConfig
from render.diffusion import batch_size
from render.engines import layer_kernels
from render.engines.open_model import open_diffusion
from render.engines.protocol import Opened
from render.kernels import cpu_winograd
from render.kernels.cpu_winograd import (
    DOUBLING,
    LARGE,
    SMALL,
    TiledConv2d,
    strips,
    tiling_for,
    use_tiles,
)
from render.kernels.fused_upsampling import Doubling, keeps_size, merge_layers
from render.kernels.patches import Patches
from render.models.lora_files import Lora
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

KINDS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
PLENTY = 1 << 40
TILINGS = [(SMALL, SMALL), (LARGE, SMALL), (SMALL, LARGE), (LARGE, LARGE)]


def tiled(network):
    return [layer for layer in network.modules() if isinstance(layer, TiledConv2d)]


def plain(network):
    found = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return [layer for layer in found if keeps_size(layer)]


@pytest.fixture
def thin(monkeypatch):
    """Tiles for layers as thin as tiny models have them."""
    monkeypatch.setattr(cpu_winograd, "CHANNELS", 1)


@torch.no_grad()
@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 3), (9, 22)])
@pytest.mark.parametrize("bias", [True, False])
def test_tiles_are_the_convolution(tiling, size, bias):
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=bias).double()
    picture = torch.randn(2, 3, *size).double()
    tiles = TiledConv2d(conv.float(), tiling)
    torch.testing.assert_close(
        tiles(picture.float()).double(), conv.double()(picture), rtol=1e-4, atol=1e-5
    )
    assert (tiles.bias is not None) == bias


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "tiling", "error"),
    [
        ("float32", (LARGE, LARGE), 3e-6),
        ("float32", (SMALL, SMALL), 1e-6),
        ("bfloat16", (LARGE, SMALL), 0.01),
        ("bfloat16", (SMALL, SMALL), 0.007),
    ],
)
def test_their_rounding_is_small(dtype, tiling, error):
    conv = nn.Conv2d(64, 64, 3, padding=1)
    picture = torch.randn(1, 64, 16, 16)
    exact = conv.double()(picture.double())
    tiles = TiledConv2d(conv.to(getattr(torch, dtype)), tiling)
    off = tiles(picture.to(getattr(torch, dtype))).double() - exact
    assert off.std() < error * exact.std()


@pytest.mark.parametrize(
    ("count", "down", "across"), [(1, 1, 1), (3, 16, 16), (3, 8, 8), (2, 16, 32), (1, 3, 700)]
)
def test_strips_cover_every_tile_once(count, down, across):
    seen = torch.zeros(count, down, across)
    for some in strips(count, down, across):
        part = seen[some]
        part += 1
        assert 0 < part.numel() <= max(cpu_winograd.TILES, across)
    assert bool((seen == 1).all())


@torch.no_grad()
def test_a_picture_in_strips_is_the_picture_in_one(monkeypatch):
    conv = nn.Conv2d(8, 8, 3, padding=1)
    picture = torch.randn(3, 8, 12, 20)
    for tiles in (1, 7, 31):
        monkeypatch.setattr(cpu_winograd, "TILES", tiles)
        torch.testing.assert_close(
            TiledConv2d(conv, (LARGE, LARGE))(picture), conv(picture), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("channels", "sides", "dtype", "tiling"),
    [
        ((320, 320), (64, 64), torch.float32, (LARGE, LARGE)),
        ((320, 320), (64, 64), torch.bfloat16, (LARGE, SMALL)),
        ((1280, 1280), (8, 8), torch.float32, (SMALL, SMALL)),
        ((256, 256), (256, 256), torch.float32, (LARGE, LARGE)),
        ((128, 128), (512, 512), torch.float32, None),
        ((640, 4), (64, 64), torch.float32, None),
    ],
)
def test_layers_with_many_channels_gain(channels, sides, dtype, tiling):
    conv = nn.Conv2d(*channels, 3, padding=1, device="meta", dtype=dtype)
    assert tiling_for(conv, *sides) == tiling


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (9, 22)])
@pytest.mark.parametrize("bias", [True, False])
def test_tiles_are_the_convolution_after_a_doubling(size, bias):
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=bias)
    picture = torch.randn(2, 3, *size)
    doubled = nn.functional.interpolate(picture, scale_factor=2.0, mode="nearest")
    tiles = TiledConv2d(Doubling(conv), (DOUBLING, DOUBLING))
    torch.testing.assert_close(tiles(picture), conv(doubled), rtol=1e-4, atol=1e-5)
    assert len(tiles.weight) == 9


@pytest.mark.parametrize(("channels", "gains"), [(512, True), (256, False)])
def test_thin_layers_after_a_doubling_stay(channels, gains):
    conv = Doubling(nn.Conv2d(channels, channels, 3, padding=1))
    assert (tiling_for(conv, 256, 256) is not None) == gains


def test_a_layer_that_is_not_merged_with_its_doubling_stays(thin):
    layers = nn.ModuleList([Upsample2D(4, use_conv=True)])
    assert list(cpu_winograd.convolutions(layers)) == []
    merge_layers(layers, Doubling, Patches())
    assert [name for _, name, _ in cpu_winograd.convolutions(layers)] == ["conv"]


@pytest.mark.parametrize(
    "given", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}, {"kernel_size": 1},
              {"padding_mode": "reflect"}],
)  # fmt: skip
def test_other_convolutions_stay(given, thin):
    layers = nn.ModuleList([nn.Conv2d(4, 4, **{"kernel_size": 3, "padding": 1, **given})])
    assert list(cpu_winograd.convolutions(layers)) == []


@torch.no_grad()
@pytest.mark.parametrize("sides", [(16, 24), (9, 15)])
def test_a_unet_and_a_decoder_paint_the_same(sides, thin):
    unet = tiny_denoiser()
    vae = AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, **KINDS)
    given, latents = (
        (torch.randn(2, 4, *sides), 500, torch.randn(2, 16, 32)),
        torch.randn(1, 4, *sides),
    )
    stock, decoded = unet(*given).sample, vae.decode(latents).sample
    before = len(plain(unet)), len(plain(vae.decoder)), len(plain(vae.encoder))
    use_tiles([unet], vae, latents.shape, PLENTY, Patches())
    assert len(tiled(unet)) > 6
    assert len(tiled(vae.decoder)) > 6
    assert not tiled(vae.encoder)
    after = len(plain(unet)), len(plain(vae.decoder)), len(plain(vae.encoder))
    assert after == (before[0] - len(tiled(unet)), before[1] - len(tiled(vae.decoder)), before[2])
    torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(vae.decode(latents).sample, decoded, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_controlnet_adds_the_same(thin):
    net, vae = ControlNetModel.from_unet(tiny_denoiser()), AutoencoderKL()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.1)  # new ones add nothing
    latents, hint = torch.randn(1, 4, 16, 16), torch.randn(1, 3, 128, 128)
    given = latents, 500, torch.randn(1, 16, 32), hint
    down, middle = net(*given, return_dict=False)
    use_tiles([net], vae, latents.shape, PLENTY, Patches())
    assert tiled(net)
    tiled_down, tiled_middle = net(*given, return_dict=False)
    torch.testing.assert_close([*tiled_down, tiled_middle], [*down, middle], rtol=1e-3, atol=1e-4)


def test_the_largest_pictures_come_first_where_room_is_short(thin):
    vae = AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, **KINDS)
    use_tiles([], vae, (1, 4, 8, 8), 0, Patches())
    assert not tiled(vae)
    large = vae.decoder.up_blocks[1].resnets
    needed = sum(conv.weight.nbytes * 3 for conv in plain(large))  # 36 points of 9 weights
    use_tiles([], vae, (1, 4, 8, 8), needed, Patches())
    assert not plain(large)
    assert tiled(vae) == tiled(large)


def open_tiny(folder, loras=(), blend="noise", **compute):
    source = ModelSource(folder, None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, "float32", blend)
    config = ComputeConfig.model_validate(compute)
    return open_diffusion(source, recipe, "cpu", loras=loras, compute=config)


@pytest.mark.parametrize(
    ("alone", "compute", "unet", "decoder"),
    [
        (True, {}, True, True),
        (False, {}, False, False),  # a row's bits would depend on its frame's place in the call
        (True, {"offload": "model"}, False, False),
    ],
)
def test_where_a_frame_is_a_call_of_its_own(
    tiny_sd1, thin, monkeypatch, alone, compute, unet, decoder
):
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1 if alone else PLENTY)
    pipeline = open_tiny(tiny_sd1, **compute).pipeline
    assert bool(tiled(pipeline.unet)) == unet
    assert bool(tiled(pipeline.vae.decoder)) == decoder


def shown(text, weight=1.0, other="a castle"):
    prompts = ((text, weight), (other, 1 - weight)) if weight < 1 else ((text, 1.0),)
    return FrameSpec(prompts, (("", 1.0),), ((1, 1.0),), 7.5)


FILM = [shown("a town"), shown("a town", 0.7), shown("a town", 0.3), shown("a castle")]


@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_frames_are_the_same_in_any_batch_and_those_without_tiles(
    tiny_sd1, thin, monkeypatch, blend
):
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)
    diffusion = open_tiny(tiny_sd1, blend=blend)
    together = render(diffusion, *FILM)
    assert tiled(diffusion.pipeline.unet)
    assert tiled(diffusion.pipeline.vae.decoder)
    for frame, picture in zip(FILM, together, strict=True):
        assert np.array_equal(render(diffusion, frame)[0], picture)
    monkeypatch.setattr(cpu_winograd, "CHANNELS", 1 << 20)
    stock = open_tiny(tiny_sd1, blend=blend)
    assert not tiled(stock.pipeline.unet)
    assert max(map(difference, together, render(stock, *FILM))) <= 1


@pytest.mark.parametrize(
    ("gibibytes", "taken", "room"), [(100, 10, 20), (100, 60, 15), (100, 80, 0)]
)
def test_weights_for_tiles_leave_room_for_others(tiny_sd1, monkeypatch, gibibytes, taken, room):
    diffusion = open_tiny(tiny_sd1)
    loaded = sum(
        weight.nbytes
        for part in (
            diffusion.pipeline.unet,
            diffusion.pipeline.vae,
            diffusion.pipeline.text_encoder,
        )
        for weight in part.parameters()
    )
    monkeypatch.setattr(layer_kernels, "whole_memory", lambda: loaded * gibibytes / taken)
    opened = Opened(diffusion.stock, ComputeConfig(), diffusion.rows_per_call())
    assert layer_kernels.room_for_tiles(opened) == pytest.approx(loaded * room / taken, abs=2)


def test_layers_that_loras_may_change_stay(tiny_sd1, tmp_path, thin, monkeypatch):
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)
    layers = lora_layers(tiny_denoiser(), ["to_q"], 1)
    file = tmp_path / "paint.safetensors"
    StableDiffusionPipeline.save_lora_weights(tmp_path, layers, weight_name=file.name)
    pipeline = open_tiny(tiny_sd1, [Lora("paint", "model.loras.0", "sha256:1", file)]).pipeline
    assert not tiled(pipeline.unet)
    assert tiled(pipeline.vae.decoder)
