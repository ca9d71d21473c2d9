"""Attention in chunks, against the stock processor."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from tiny_models import SIDE, save_tiny_sd1, tiny_denoiser

from render.attention import QUERIES, ChunkedAttention, attention, use_chunks
from render.families import ModelSource
from render.loading import open_diffusion
from render.plan import Recipe


@pytest.mark.parametrize("tokens", [1, QUERIES - 1, QUERIES, 2 * QUERIES + 3])
@pytest.mark.parametrize("keys", [7, 600])
def test_chunks_are_the_whole(tokens, keys):
    q, k, v = (torch.randn(2, 3, length, 8) for length in (tokens, keys, keys))
    whole = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(q, k, v), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_unet_predicts_the_same():
    unet = tiny_denoiser()
    given = torch.randn(2, 4, 64, 64), 500, torch.randn(2, 16, 32)
    stock = unet(*given).sample
    use_chunks(unet)
    assert {type(each) for each in unet.attn_processors.values()} == {ChunkedAttention}
    torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"residual_connection": True, "rescale_output_factor": 2}])
@pytest.mark.parametrize("masked", [False, True])
def test_a_layer_answers_as_with_the_stock_processor(options, masked):
    layer = Attention(16, cross_attention_dim=12, heads=2, dim_head=8, **options)
    states, text = torch.randn(2, 9, 16), torch.randn(2, 5, 12)
    mask = torch.tensor([[0.0, 0, 0, -1e4, -1e4]] * 2)[:, None] if masked else None
    answers = []
    for processor in (AttnProcessor2_0(), ChunkedAttention()):
        layer.set_processor(processor)
        answers.append(layer(states, encoder_hidden_states=text, attention_mask=mask))
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_used_in_bfloat16_on_a_cpu(tmp_path, dtype):
    source = ModelSource(save_tiny_sd1(tmp_path / "sd1"), None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, dtype, "noise")
    diffusion = open_diffusion(source, recipe, "cpu")
    chunked = {
        type(p) is ChunkedAttention for p in diffusion.pipeline.unet.attn_processors.values()
    }
    assert chunked == {dtype == "bfloat16"}
    last = diffusion.pipeline.unet.conv_out.weight.is_contiguous(memory_format=torch.channels_last)
    assert last
    diffusion.close()
