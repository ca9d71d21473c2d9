"""Every family's frames against its own stock pipeline, on tiny random models."""

from dataclasses import replace
from fractions import Fraction

import diffusers
import numpy as np
import pytest
import torch
from command_line import Place
from pictures import difference, render, same_pictures
from tiny_families import BUILDERS, SIDE, SIDES

from render.engines.open_model import open_diffusion
from render.models.families import FAMILIES
from render.models.model_source import ModelSource
from render.plan.approximations import Approximations
from render.plan.conditioning import evaluations, rows
from render.plan.cost import planned_rows
from render.plan.frame_plan import PlannedFrame, Recipe
from render.timeline.spec import FrameSpec

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed`:FutureWarning")  # by Chroma

CASTLE, FOREST = "a red castle at night", "a green forest with many little birds"
THIRD = "snow"
STEPS, SCALE = 3, 3.0
VISIBLE = 8  # of 255: a difference that no rounding makes
CHOSEN = {  # a scheduler that draws noise of its own, of each kind
    "sdxl": [("EulerAncestralDiscreteScheduler", {}), ("LCMScheduler", {})],
    "sdxl_lcm": [("LCMScheduler", {})],
    "pixart": [("EulerAncestralDiscreteScheduler", {}), ("LCMScheduler", {})],
    "sana": [("model", {"algorithm_type": "sde-dpmsolver++"})],
}
FLOW = [("model", {"stochastic_sampling": True}), ("FlowMatchLCMScheduler", {})]
STOCHASTIC = [(name, *chosen) for name in BUILDERS for chosen in CHOSEN.get(name, FLOW)]

every_family = pytest.mark.parametrize("name", BUILDERS)


@pytest.fixture(scope="session")
def opened(family_folder):
    """Opens a tiny model, once for each recipe that the tests ask for."""
    kept = {}

    def get(name, blend="noise", steps=STEPS, scheduler="model", **options):
        key = (name, blend, steps, scheduler, *options.items())
        if key not in kept:
            source = ModelSource(family_folder(name), None, None, None, None)
            side = SIDES.get(name, SIDE)
            recipe = Recipe("tiny", scheduler, options, steps, side, side, "float32", blend)
            kept[key] = open_diffusion(source, recipe, "cpu")
        return kept[key]

    return get


def blends(diffusion):
    return ["noise", "embedding"] if diffusion.family.lined_up else ["noise"]


def spec(*prompts, seed=1, guidance=SCALE, negative=""):
    texts = prompts if isinstance(prompts[0], tuple) else [(prompts[0], 1.0)]
    return FrameSpec(tuple(texts), ((negative, 1.0),), ((seed, 1.0),), guidance)


def between(t):
    return (CASTLE, 1 - t), (FOREST, t)


def final_latents(diffusion, *specs):
    """The latents that the autoencoder is given, in which no difference is rounded away."""
    kept, decode = [], diffusion.pipeline.vae.decode
    diffusion.pipeline.vae.decode = lambda x, **options: (kept.append(x), decode(x, **options))[1]
    try:
        render(diffusion, *specs)
    finally:
        diffusion.pipeline.vae.decode = decode
    return kept[0].clone()


def film(diffusion):
    """Four frames of different prompts, lengths, seeds, guidance and negatives."""
    negative = "blurry" if diffusion.family.guidance.negatives else ""
    return [
        spec(CASTLE),
        spec(*between(0.25), seed=2, guidance=2.0, negative=negative),
        spec((CASTLE, 0.2), (FOREST, 0.3), (THIRD, 0.5), seed=3),
        spec(THIRD, guidance=0.0),
    ]


# --- the stock pipeline --------------------------------------------------------------------------


def stock_picture(folder, diffusion, text, negative, guidance, **absent):
    """The stock pipeline's own noise, guidance, decoding and rounding."""
    family = diffusion.family
    pipeline = getattr(diffusers, family.pipeline).from_pretrained(
        folder, **family.loading, **absent
    )
    pipeline.set_progress_bar_config(disable=True)
    given = {key: value for key, value in family.call.items() if "scale" not in key}
    given["true_cfg_scale" if "true_cfg_scale" in family.call else "guidance_scale"] = guidance
    if family.pipeline == "Flux2KleinPipeline":  # takes no negative as a text
        given["negative_prompt_embeds"] = pipeline.encode_prompt(negative)[0]
    elif family.guidance.negatives:
        # Where an empty negative and none differ, none is what people do who want none.
        nothing = None if family.pipeline == "StableDiffusionXLPipeline" else ""
        given["negative_prompt"] = negative or nothing
    return np.asarray(
        pipeline(
            prompt=text,
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=STEPS,
            height=diffusion.recipe.height,
            width=diffusion.recipe.width,
            **given,
        ).images[0]
    )


@every_family
def test_one_prompt_is_the_stock_pipelines_picture(family_folder, opened, name):
    diffusion = opened(name)
    negatives = ["", "blurry"] if diffusion.family.guidance.negatives else [""]
    asked = [(CASTLE, negative, SCALE) for negative in negatives] + [(FOREST, "", 1.0)]
    specs = [spec(text, negative=no, guidance=scale) for text, no, scale in asked]
    for wanted, frame in zip(asked, render(diffusion, *specs), strict=True):
        assert difference(frame, stock_picture(family_folder(name), diffusion, *wanted)) <= 1, (
            wanted
        )


def test_stable_diffusion_3_saved_without_its_third_encoder(family_folder, tmp_path):
    absent = {"text_encoder_3": None, "tokenizer_3": None}
    kind = diffusers.StableDiffusion3Pipeline
    kind.from_pretrained(family_folder("sd3"), **absent).save_pretrained(tmp_path)
    recipe = Recipe("tiny", "model", {}, STEPS, SIDE, SIDE, "float32", "noise")
    diffusion = open_diffusion(ModelSource(tmp_path, None, None, None, None), recipe, "cpu")
    (frame,) = render(diffusion, spec(CASTLE, negative="blurry"))
    stock = stock_picture(tmp_path, diffusion, CASTLE, "blurry", SCALE, **absent)
    assert difference(frame, stock) <= 1


@every_family
def test_texts_and_guidance_show(opened, name):
    diffusion = opened(name)
    frame = spec(CASTLE)
    others = [spec(FOREST)]
    if diffusion.family.guidance.negatives:
        others += [spec(CASTLE, negative="blurry"), spec(CASTLE, guidance=5.0)]
    if diffusion.family.guidance.argument:
        others += [spec(CASTLE, guidance=30.0)]
    first, *others = render(diffusion, frame, *others)
    assert min(difference(first, other) for other in others) >= VISIBLE
    assert first.std() > 10


# --- blending ------------------------------------------------------------------------------------


@every_family
def test_the_ends_of_a_blend_are_each_prompt_alone(opened, name):
    alone = render(opened(name), spec(CASTLE), spec(FOREST))
    for blend in blends(opened(name)):
        diffusion = opened(name, blend)
        first, middle, last = render(diffusion, *[spec(*between(t)) for t in (0.0, 0.5, 1.0)])
        assert same_pictures(alone, [first, last])
        assert min(difference(middle, end) for end in alone) >= VISIBLE / 4


@every_family
def test_one_step_of_a_noise_blend_is_the_weighted_mean(opened, name):
    """A step is linear in the prediction, so half way lies on the line between the ends."""
    diffusion = opened(name, steps=1)
    a, b, mean = final_latents(diffusion, *[spec(*between(t), guidance=0.0) for t in (0, 1, 0.3)])
    torch.testing.assert_close(mean, 0.7 * a + 0.3 * b, rtol=1e-4, atol=1e-4 * a.abs().max().item())
    assert (a - b).abs().max() > 1e-2 * a.abs().max()


# --- neighbours and cost -------------------------------------------------------------------------


@every_family
def test_a_frame_alone_is_the_frame_in_a_batch(opened, name):
    for blend in blends(opened(name)):
        diffusion = opened(name, blend)
        together = final_latents(diffusion, *film(diffusion))
        alone = [final_latents(diffusion, frame) for frame in film(diffusion)]
        assert torch.equal(together, torch.cat(alone))
        turned = final_latents(diffusion, *reversed(film(diffusion)))
        assert torch.equal(together, turned.flip(0))
        assert len({picture.numpy().tobytes() for picture in together}) == 4


@pytest.mark.parametrize(("name", "scheduler", "options"), STOCHASTIC)
def test_noise_of_the_steps_is_the_frames_own(opened, name, scheduler, options):
    diffusion = opened(name, scheduler=scheduler, **options)
    frames = film(diffusion)
    together = final_latents(diffusion, *frames)
    torch.manual_seed(99)
    assert torch.equal(together, torch.cat([final_latents(diffusion, frame) for frame in frames]))
    plain = final_latents(opened(name), frames[0])
    assert (together[:1] - plain).abs().max() > 0.1 * plain.std()


@every_family
def test_rows_computed_are_rows_planned(opened, name):
    diffusion = opened(name)
    diffusion.denoiser.forget_first_rows()
    before = diffusion.rows
    render(diffusion, *film(diffusion))
    scheduler = type(diffusion.pipeline.scheduler).__name__
    frames = [PlannedFrame(0, Fraction(0), frame, "") for frame in film(diffusion)]
    planned = planned_rows(frames, diffusion.recipe, scheduler, diffusion.family)
    assert diffusion.rows - before == planned
    each = [rows(frame, "noise", diffusion.family) for frame in film(diffusion)]
    calls = evaluations(scheduler, STEPS)
    assert (calls - 1) * sum(each) + max(each) <= planned <= calls * sum(each)


@every_family
def test_frames_between_anchors_are_the_same_alone_and_together(family_folder, opened, name):
    """And keyframes and anchors are those of a film without anchors, whose digests they have."""
    side, source = SIDES.get(name, SIDE), ModelSource(family_folder(name), None, None, None, None)
    left_out = Approximations(anchors=1, early_steps=0.6)
    recipe = Recipe(
        "tiny", "model", {}, STEPS, side, side, "float32", "noise", approximations=left_out
    )
    start, end = spec(CASTLE), spec(FOREST)
    anchors = ((start, 0.25), (end, 0.75))
    frames = [start, replace(spec(*between(0.75)), early=anchors), spec(*between(0.75)), end]
    diffusion = open_diffusion(source, recipe, "cpu")
    pictures = render(diffusion, *frames)
    assert difference(pictures[1], pictures[2]) > 0
    for place in (0, 2, 3):
        assert same_pictures([pictures[place]], render(opened(name), frames[place]))
    for frame, picture in zip(frames, pictures, strict=True):
        diffusion.anchors.known.clear()
        assert same_pictures([picture], render(diffusion, frame))
    diffusion.close()


@every_family
def test_after_a_resume_noise_of_the_steps_is_the_same(family_folder, opened, name):
    """Another run loads the model again and is given only the frames that are missing."""
    scheduler, options = CHOSEN.get(name, FLOW)[-1]
    first = opened(name, scheduler=scheduler, **options)
    frames = film(first)
    source = ModelSource(family_folder(name), None, None, None, None)
    again = open_diffusion(source, first.recipe, "cpu")
    torch.manual_seed(99)
    missing = render(again, *frames[2:])
    assert same_pictures(render(first, *frames)[2:], missing)


@pytest.mark.parametrize("name", ["sdxl", "flux", "z_image"])
def test_a_film_from_the_command_line_goes_on_where_it_stopped(family_folder, tmp_path, name):
    place = Place(tmp_path, family_folder(name))
    place.timeline("t", [{"at": 0, "prompt": CASTLE, "seed": 1}, {"at": 1, "prompt": FOREST}])
    asked = ["+timeline=t", "output=frames", f"output.width={SIDE}", f"output.height={SIDE}"]
    ended = place.render(*asked, "compute=cpu")
    assert (ended.code, place.counts("t")) == (0, (0, 5)), ended.err
    unconditional = 5 if name != "flux" else 0
    first = 2 + (unconditional > 0)  # of one seed, so computed once for all frames
    assert place.run_json("t")["rows"] == first + 2 + 3 * 2 + unconditional
    before = place.pictures("t")
    for frame in sorted((tmp_path / "outputs").rglob("*.png")):
        if frame.stem[-1] in "13" or frame.parent.parent.name == ".store":
            frame.unlink()
    assert place.render(*asked, "compute=cpu").code == 0
    assert place.counts("t")[1] == 2
    assert same_pictures(before, place.pictures("t"))


def test_every_family_is_built():
    built = {type(build()).__name__ for build in BUILDERS.values()}
    assert built | {"StableDiffusionPipeline"} == set(FAMILIES)
