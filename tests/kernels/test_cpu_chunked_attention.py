"""Attention in chunks, against the stock processor."""

import copy

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from tiny_models import (
    SIDE,
    assert_predicts_the_same,
    save_tiny_sd1,
    tiny_autoencoder,
    tiny_denoiser,
)

from render.engines.open_model import open_diffusion
from render.kernels.cpu_chunked_attention import (
    QUERIES,
    ChunkedAttention,
    attention,
    largest_scores,
    use_chunks,
)
from render.kernels.patches import Patches
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe


@pytest.mark.parametrize("tokens", [1, QUERIES - 1, QUERIES, 2 * QUERIES + 3])
@pytest.mark.parametrize("keys", [7, 600])
def test_chunks_are_the_whole(tokens, keys):
    q, k, v = (torch.randn(2, 3, length, 8) for length in (tokens, keys, keys))
    whole = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(q, k, v), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [QUERIES - 1, 2 * QUERIES + 3])
@pytest.mark.parametrize("keys", [7, 600])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("scale", [1, 30])  # scores of some hundred
def test_many_scores_are_rounded_as_few(monkeypatch, tokens, keys, dtype, scale):
    kind = getattr(torch, dtype)
    q, k, v = (torch.randn(2, 3, length, 8).to(kind) for length in (tokens, keys, keys))
    q[1, 2] *= scale  # one head's
    exact = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    few = attention(q, k, v).double() - exact
    monkeypatch.setattr("render.kernels.cpu_chunked_attention.SCORES", 0)
    many = attention(q, k, v).double() - exact
    for row, head in ((0, 0), (1, 2)):
        assert many[row, head].std() < 2 * few[row, head].std()


@pytest.mark.parametrize("few", [True, False])
def test_a_row_does_not_depend_on_others_scores(monkeypatch, few):
    monkeypatch.setattr("render.kernels.cpu_chunked_attention.SCORES", 1 << 30 if few else 0)
    q, k, v = (torch.randn(2, 3, length, 8).bfloat16() for length in (50, 60, 60))
    alone = attention(q, k, v)[0]
    q[1] *= 30
    assert torch.equal(attention(q, k, v)[0], alone)


@pytest.mark.parametrize("size", [1, 8])
def test_no_score_is_beyond_its_bound(size):
    q, k = size * torch.randn(2, 3, 50, 8), torch.randn(2, 3, 60, 8)
    bounds = largest_scores(q, k)
    found = (q @ k.mT).abs().amax((-2, -1))
    assert bool((found <= bounds).all())
    assert bool((found > bounds / 4).all())


def test_numbers_that_are_none_stay_none(monkeypatch):
    monkeypatch.setattr("render.kernels.cpu_chunked_attention.SCORES", 0)
    q, k, v = (torch.randn(1, 1, 9, 8).bfloat16() for _ in range(3))
    q[0, 0, 3] = float("nan")
    assert attention(q, k, v).isnan().any(-1).sum() == 1


def test_a_unet_predicts_the_same():
    unet = tiny_denoiser()
    assert_predicts_the_same(unet, lambda net: use_chunks(net, Patches()), (64, 64))
    assert {type(each) for each in unet.attn_processors.values()} == {ChunkedAttention}


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


@torch.no_grad()
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_autoencoder_answers_the_same(monkeypatch, few, dtype):
    monkeypatch.setattr("render.kernels.cpu_chunked_attention.SCORES", 1 << 30 if few else 0)
    kind = getattr(torch, dtype)
    vae = tiny_autoencoder().eval().to(kind)
    exact, stock = copy.deepcopy(vae).double(), copy.deepcopy(vae)
    picture = torch.randn(1, 3, 32, 32).to(kind)
    patches = Patches()
    use_chunks(vae, patches)
    assert {type(each) for each in vae.attn_processors.values()} == {ChunkedAttention}
    latents = torch.randn(1, 4, 8, 8).to(kind)
    nets = (vae, stock, exact)
    for answer, usual, expected in (
        [net.encode(picture.to(net.dtype)).latent_dist.mean.double() for net in nets],
        [net.decode(latents.to(net.dtype)).sample.double() for net in nets],
    ):
        error, usual_error = ((each - expected).std() / expected.std() for each in (answer, usual))
        # In 16 bits the convolutions around the layer err most, and by how much hangs on the CPU.
        assert error < (1e-5 if dtype == "float32" else 1.5 * usual_error)
    patches.close()
    assert {type(each) for each in vae.attn_processors.values()} == {AttnProcessor2_0}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_used_in_bfloat16_on_a_cpu(tmp_path, dtype):
    source = ModelSource(save_tiny_sd1(tmp_path / "sd1"), None, None, None, None)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, dtype, "noise")
    diffusion = open_diffusion(source, recipe, "cpu")
    for net in (diffusion.pipeline.unet, diffusion.pipeline.vae):
        chunked = {type(each) is ChunkedAttention for each in net.attn_processors.values()}
        assert chunked == {dtype == "bfloat16"}
    last = diffusion.pipeline.unet.conv_out.weight.is_contiguous(memory_format=torch.channels_last)
    assert last
    diffusion.close()
