"""The shared layers of a frame's rows, against every row computed by itself."""

import pytest
import torch
from tiny_models import tiny_denoiser

from render.kernels.cuda_graphs import Graphed
from render.kernels.patches import Patches
from render.kernels.shared_prefix import (
    CapturedPrefix,
    SharedPrefix,
    compute_first_row,
    layers_before_texts,
)

FIRST_LEVEL = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
KINDS = {
    "text at the first level": FIRST_LEVEL,
    "text at the second level": {},
    "linear projection": {**FIRST_LEVEL, "use_linear_projection": True},
}
OWNERS = [0, 0, 0, 2, 2, 1]


def of_frames(owners):
    """Latents, time and texts of rows: latents are the owner's."""
    latents, texts = torch.randn(3, 4, 8, 8), torch.randn(len(owners), 5, 32)
    return latents[torch.tensor(owners)], 500, texts


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 4, 12])
def test_rows_come_out_the_same(kind, size):
    unet, given = tiny_denoiser(**KINDS[kind]), of_frames(OWNERS)
    stock = unet(*given).sample
    with SharedPrefix(unet, Patches()).among(tuple(OWNERS), size):
        torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_layers_before_the_texts_compute_a_row_a_frame(kind):
    unet, seen = tiny_denoiser(**KINDS[kind]), []
    layers = list(layers_before_texts(unet))
    for layer in layers:
        layer.forward = counted(layer.forward, seen)
    prefix = SharedPrefix(unet, Patches())
    given = of_frames(OWNERS)
    unet(*given)
    assert seen == [len(OWNERS)] * len(layers)
    seen.clear()
    with prefix.among(tuple(OWNERS), 3):
        unet(*given)
    assert seen == [3] * len(layers)


def counted(stock, seen):
    def forward(rows, *args, **named):
        seen.append(len(rows))
        return stock(rows, *args, **named)

    return forward


def again(call):
    """In place of a capture: the call itself."""
    return call


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_call_computes_a_row_a_frame_whoever_they_are(kind):
    unet, seen = tiny_denoiser(**KINDS[kind]), []
    layers = [each for each in layers_before_texts(unet) if hasattr(each, "conv1")]
    for layer in layers:
        layer.forward = counted(layer.forward, seen)
    stock, captured = unet.forward, []
    prefix = CapturedPrefix(
        unet,
        lambda call: captured.append(Graphed(call, again)) or captured[-1],
        unet.forward,
        Patches(),
    )
    for owners in (OWNERS, [0, 0, 0, 0, 1, 1], [2] * 6):
        given = of_frames(owners)
        expected = stock(*given).sample
        seen.clear()
        with prefix.among(tuple(owners), 3):
            answer = prefix(*given).sample
        assert seen == [3] * len(layers)
        torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    assert len(captured[0].captured) == 1


@torch.no_grad()
@pytest.mark.parametrize("owners", [(), (0, 1, 2, 2), (0, 1)])
def test_a_captured_call_computes_every_row_where_more_frames_share_it(owners):
    unet, seen = tiny_denoiser(), []
    prefix = CapturedPrefix(unet, again, unet.forward, Patches())
    stock = unet.down_blocks[0].resnets[0].forward
    unet.down_blocks[0].resnets[0].forward = counted(stock, seen)
    given = of_frames(owners or (0, 0))
    with prefix.among(owners, 2):
        prefix(*given)
    assert seen == [len(owners) or 2]


@torch.no_grad()
def test_a_frame_does_not_depend_on_how_many_share_the_call():
    unet, (latents, time, texts) = tiny_denoiser(**FIRST_LEVEL), of_frames([0, 0, 1, 1, 2, 2])
    prefix = SharedPrefix(unet, Patches())
    with prefix.among((0, 0, 1, 1, 2, 2), 3):
        together = unet(latents, time, texts).sample[:2]
    alone = [0, 1, 1, 1, 1, 1]  # rows, the last one repeated to fill the call
    with prefix.among((0,) * 6, 3):
        assert torch.equal(unet(latents[alone], time, texts[alone]).sample[:2], together)


def test_where_a_text_goes_into_the_time_nothing_is_shared():
    sdxl = tiny_denoiser(
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
    )  # fmt: skip
    assert list(layers_before_texts(sdxl)) == []
    assert len(list(layers_before_texts(tiny_denoiser()))) == 8


def test_the_prefix_ends_at_a_transformer_of_another_kind():
    first = {"only_cross_attention": True, "use_linear_projection": True}
    names = [type(each).__name__ for each in layers_before_texts(tiny_denoiser(**first))]
    assert names == ["Conv2d", "ResnetBlock2D", "Downsample2D", "ResnetBlock2D"]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_first_row_serves_all_of_a_frame(kind, rows):
    unet, given = tiny_denoiser(**KINDS[kind]), of_frames([1] * rows)
    stock = unet(*given).sample
    compute_first_row(unet, Patches())
    torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-4, atol=1e-5)
