"""Blocks that write over their own, against the stock ones: the same bits."""

import copy

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from tiny_models import SIDE, tiny_autoencoder, tiny_denoiser

from render.config.schema import ComputeConfig
from render.engines.open_model import open_diffusion
from render.kernels.cpu_inplace_resnet import is_usual_block, write_in_place
from render.kernels.memory_format import put_channels_last
from render.kernels.patches import Patches
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe

PLAIN = {
    "as in Stable Diffusion": {},
    "with a shortcut": {"out_channels": 16},
    "of a decoder": {"temb_channels": None, "time_embedding_norm": "group"},
    "with the time as it is": {"skip_time_act": True},
    "with a smaller sum": {"output_scale_factor": 2.0},
}
OTHER = {
    "scaled by the time": {"time_embedding_norm": "scale_shift"},
    "with another activation": {"non_linearity": "gelu"},
    "that doubles": {"up": True},
    "that halves": {"down": True},
}


def block(**options):
    return ResnetBlock2D(**{"in_channels": 8, "temb_channels": 12, "groups": 4, **options}).eval()


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", PLAIN)
def test_a_block_answers_the_same_and_leaves_what_it_got(kind, dtype):
    stock = block(**PLAIN[kind]).to(getattr(torch, dtype))
    own = copy.deepcopy(stock)
    write_in_place(own, Patches())
    assert "forward" in vars(own)
    for layer in (stock, own):
        put_channels_last(layer, Patches())
    picture, time = (torch.randn(shape).to(stock.conv1.weight) for shape in ((2, 8, 6, 5), (2, 12)))
    time = None if stock.time_emb_proj is None else time
    kept = [None if given is None else given.clone() for given in (picture, time)]
    assert torch.equal(own(picture, time), stock(picture, time))
    assert torch.equal(picture, kept[0])
    assert time is None or torch.equal(time, kept[1])


@pytest.mark.parametrize("kind", OTHER)
def test_other_blocks_stay(kind):
    layer = block(**OTHER[kind])
    write_in_place(layer, Patches())
    assert not is_usual_block(layer)
    assert "forward" not in vars(layer)


@torch.no_grad()
@pytest.mark.parametrize("projection", [True, False])
def test_a_unet_and_a_decoder_predict_the_same_and_stay_channels_last(projection):
    unet, vae = tiny_denoiser(use_linear_projection=projection).eval(), tiny_autoencoder().eval()
    given = torch.randn(2, 4, 16, 16), 500, torch.randn(2, 16, 32)
    latents = torch.randn(1, 4, 8, 8)
    for net in (unet, vae):
        put_channels_last(net, Patches())
    stock = unet(*given).sample, vae.decode(latents).sample
    for net in (unet, vae):
        write_in_place(net, Patches())
    seen = []
    unet.mid_block.attentions[0].register_forward_hook(
        lambda layer, given, answer: seen.append(answer[0])
    )
    for answer, expected in zip(
        (unet(*given).sample, vae.decode(latents).sample), stock, strict=True
    ):
        torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("offload", ["none", "sequential"])
def test_a_cpu_writes_in_place_where_no_part_waits_elsewhere(tiny_sd1, offload):
    source = ModelSource(tiny_sd1, None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, "float32", "noise")
    config = ComputeConfig.model_validate({"offload": offload})
    pipeline = open_diffusion(source, recipe, "cpu", compute=config).pipeline
    for net in (pipeline.unet, pipeline.vae):
        changed = {"residual" in str(vars(layer).get("forward")) for layer in net.modules()}
        assert (True in changed) == (offload == "none")
