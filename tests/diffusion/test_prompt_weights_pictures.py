"""Weights inside a text give the stock pipeline's picture of compel's own embeddings."""

import re

import diffusers
import numpy as np
import pytest
import torch
from pictures import difference, render

from render.engines.open_model import open_diffusion
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

SIDE, STEPS, SCALE = 16, 3, 3.0
VISIBLE = 8  # of 255

both = pytest.mark.parametrize("name", ["sd", "sdxl"])


@pytest.fixture(scope="module")
def folder(family_folder, tiny_sd1):
    return lambda name: tiny_sd1 if name == "sd" else family_folder(name)


@pytest.fixture(scope="module")
def opened(folder):
    kept = {}

    def get(name):
        if name not in kept:
            source = ModelSource(folder(name), None, None, None, None)
            recipe = Recipe("tiny", "model", {}, STEPS, SIDE, SIDE, "float32", "noise")
            kept[name] = open_diffusion(source, recipe, "cpu")
        return kept[name]

    return get


def spec(text, negative=""):
    return FrameSpec(((text, 1.0),), ((negative, 1.0),), ((1, 1.0),), SCALE)


def unweighted(text):
    """A text in compel's spelling, `a (red)1.5 fox`, without weights."""
    return re.sub(r"\((\w+)\)[\d.]+", r"\1", text)


def stock_picture(pipeline, text, negative):
    """The stock pipeline given what compel itself makes of its own spelling of the texts."""
    import compel

    xl = isinstance(pipeline, diffusers.StableDiffusionXLPipeline)
    reader = (compel.CompelForSDXL if xl else compel.CompelForSD)(pipeline)
    read = reader(text, negative_prompt=negative)
    given = {"prompt_embeds": read.embeds, "negative_prompt_embeds": read.negative_embeds}
    if xl:
        # compel pools the brackets and numbers too; here it is what the plain texts pool.
        words = reader(unweighted(text), negative_prompt=unweighted(negative))
        given["pooled_prompt_embeds"] = words.pooled_embeds
        given["negative_pooled_prompt_embeds"] = words.negative_pooled_embeds
    return np.asarray(
        pipeline(
            **given,
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=STEPS,
            guidance_scale=SCALE,
            height=SIDE,
            width=SIDE,
        ).images[0]
    )


@both
@pytest.mark.parametrize(
    ("ours", "compels"),
    [
        (("a (red:1.5) fox", "fog"), ("a (red)1.5 fox", "fog")),
        (("a (red:0.4) fox", "(fog:1.3)"), ("a (red)0.4 fox", "(fog)1.3")),
    ],
)
def test_weights_are_compels(folder, opened, name, ours, compels):
    family = opened(name).family
    pipeline = getattr(diffusers, family.pipeline).from_pretrained(folder(name), **family.loading)
    pipeline.set_progress_bar_config(disable=True)
    (frame,) = render(opened(name), spec(*ours))
    with torch.inference_mode():
        assert difference(frame, stock_picture(pipeline, *compels)) <= 1


@both
def test_a_weight_shows_and_a_weight_of_one_does_not(opened, name):
    texts = ["a red fox", "a (red:1.0) fox", "a (red:2) fox", "a (red:0.2) fox"]
    plain, one, more, less = render(opened(name), *map(spec, texts))
    assert difference(plain, one) <= 1
    assert min(difference(plain, more), difference(plain, less)) >= VISIBLE


# --- long prompts --------------------------------------------------------------------------------

LONG = ", ".join(["a red fox", "fog", "a town by the sea", "an old castle"] * 12)


@pytest.fixture
def reading_whole(folder):
    """The tiny model that reads long texts whole."""
    opened = []

    def open_it(name):
        source = ModelSource(folder(name), None, None, None, None, long_prompts=True)
        recipe = Recipe("tiny", "model", {}, STEPS, SIDE, SIDE, "float32", "noise")
        opened.append(open_diffusion(source, recipe, "cpu"))
        return opened[-1]

    yield open_it
    for diffusion in opened:
        diffusion.close()


@both
def test_a_long_text_is_read_whole(opened, reading_whole, name):
    texts = [LONG, LONG.removesuffix("castle") + "tower"]
    cut, cut_too = render(opened(name), *map(spec, texts))
    whole, whole_too = render(reading_whole(name), *map(spec, texts))
    assert difference(cut, cut_too) == 0
    assert difference(whole, whole_too) > 0
    assert difference(cut, whole) > 1


@both
def test_a_long_text_is_compels(folder, reading_whole, name):
    diffusion = reading_whole(name)
    kind = getattr(diffusers, diffusion.family.pipeline)
    pipeline = kind.from_pretrained(folder(name), **diffusion.family.loading)
    pipeline.set_progress_bar_config(disable=True)
    (frame,) = render(diffusion, spec(LONG, LONG.upper()))
    with torch.inference_mode():
        assert difference(frame, stock_picture(pipeline, LONG, LONG.upper())) <= 1


@both
def test_texts_of_other_lengths_meet_in_a_frame(reading_whole, name):
    """As each does alone, and whatever it is rendered with."""
    diffusion = reading_whole(name)
    mixed = FrameSpec(((LONG, 0.5), ("fog", 0.5)), (("", 1.0),), ((1, 1.0),), SCALE)
    ends = [FrameSpec(((LONG, w), ("fog", 1 - w)), mixed.negatives, mixed.seeds, SCALE)
            for w in (1.0, 0.0)]  # fmt: skip
    together = render(diffusion, mixed, *ends)
    alone = [render(diffusion, one)[0] for one in (mixed, spec(LONG), spec("fog"))]
    assert all(map(np.array_equal, together, alone))
