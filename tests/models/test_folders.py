"""Folders that the stock pipelines load: old indices, mixed variants, parts left out, and those of
sister pipelines, which are read as their family's own where that is exact."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from command_line import Place
from films import edit
from pictures import same_pictures
from PIL import Image
from safetensors.torch import load_file, save_file

from render.models.families import FAMILIES
from render.models.sister_pipelines import OWN_SISTERS, family_flaw

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def model(place, tmp_path):
    """A copy of the tiny model, which is the one that `place` renders with."""
    place.model = shutil.copytree(place.model, tmp_path / "model")
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}])
    return place.model


def pictures(place, name, *more):
    ended = place.render("+timeline=t", "output=frames", f"name={name}", *more)
    assert ended.code == 0, ended.err
    return place.pictures(name)


def refused(place, *more):
    ended = place.render("+timeline=t", "mode=plan", *more)
    assert ended.code == 2, ended.err
    return ended.err


def as_variant(folder, component, variant):
    for file in (folder / component).glob("*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))


def test_an_index_of_an_old_version_is_read(place, model):
    before = pictures(place, "new")
    extractor = ["transformers", "CLIPFeatureExtractor"]
    edit(model / "model_index.json", feature_extractor=extractor, _diffusers_version="0.6.0")
    assert same_pictures(pictures(place, "old"), before)


def test_only_the_unet_as_a_variant(place, model):
    before = pictures(place, "plain")
    as_variant(model, "unet", "fp16")
    plan = place.render("+timeline=t", "mode=plan")
    assert "are there as fp16 only: model.variant=fp16" in plan.out + plan.err
    assert same_pictures(pictures(place, "taken"), before)
    assert same_pictures(pictures(place, "asked", "model.variant=fp16"), before)
    assert place.counts("asked") == (1, 0)


def test_a_variant_of_the_unet_beside_plain_weights(place, model):
    before = pictures(place, "plain")
    (weights,) = (model / "unet").glob("*.safetensors")
    shutil.copy(weights, weights.with_name(f"{weights.stem}.non_ema.safetensors"))
    assert same_pictures(pictures(place, "non_ema", "model.variant=non_ema"), before)


def test_a_choice_of_variants_is_reported_in_the_plan(place, model):
    (weights,) = (model / "unet").glob("*.safetensors")
    for variant in ("fp16", "bf16"):
        shutil.copy(weights, weights.with_name(f"{weights.stem}.{variant}.safetensors"))
    weights.unlink()
    said = refused(place)
    assert f"{model}/unet: has no diffusion_pytorch_model.safetensors but weights of the" in said
    assert "variant bf16 and fp16; add model.variant=bf16" in said
    pictures(place, "one", "model.variant=fp16")


def test_a_variant_that_is_nowhere_is_reported_in_the_plan(place, model):
    assert "model.variant: no component has weights of the variant 'ema'" in refused(
        place, "model.variant=ema"
    )


def test_the_sisters_are_classes_of_diffusers_or_would_be():
    there = [name for name in OWN_SISTERS if hasattr(diffusers, name)]
    assert len(there) > 25
    assert set(OWN_SISTERS.values()) <= FAMILIES.keys()


@pytest.mark.parametrize(
    "sister",
    ["StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
     "StableDiffusionControlNetPipeline"],
)  # fmt: skip
def test_a_sisters_folder_is_read_as_the_family(place, model, sister):
    before = pictures(place, "own")
    edit(model / "model_index.json", _class_name=sister)
    if "ControlNet" in sister:
        edit(model / "model_index.json", controlnet=["diffusers", "ControlNetModel"])
    assert same_pictures(pictures(place, "sister"), before)


def test_a_sister_that_takes_other_channels_is_refused_with_what_comes_nearest(place, model):
    edit(model / "model_index.json", _class_name="StableDiffusionInpaintPipeline")
    edit(model / "unet" / "config.json", in_channels=9)
    said = refused(place)
    assert "takes 9 channels and gives 4: it was trained to change given pictures" in said
    assert "the nearest is the StableDiffusionPipeline that it was made from" in said


def test_a_refiner_is_refused_with_its_base(place, model):
    name = "StableDiffusionXLImg2ImgPipeline"
    edit(model / "model_index.json", _class_name=name, requires_aesthetics_score=True)
    assert "the nearest is its base, a StableDiffusionXLPipeline" in refused(place)


@torch.no_grad()
def test_a_latent_consistency_pipeline_is_stable_diffusion_with_its_scheduler(tiny_sd1):
    """The stock pipelines themselves, which give the same picture of the same parts."""
    from tiny_models import randomised, tiny_denoiser

    own = diffusers.StableDiffusionPipeline.from_pretrained(tiny_sd1, safety_checker=None)
    own.scheduler = diffusers.LCMScheduler.from_config(own.scheduler.config)
    own.unet = randomised(tiny_denoiser(time_cond_proj_dim=8))
    given = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "np"}
    made = [
        kind(**parts)("a castle", generator=torch.Generator().manual_seed(3), **given).images
        for kind, parts in (
            (diffusers.StableDiffusionPipeline, own.components),
            (diffusers.LatentConsistencyModelPipeline, own.components),
        )
    ]
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("StableDiffusionXLInstructPix2PixPipeline", "StableDiffusionXLPipeline"),
        ("FluxKontextPipeline", "FluxPipeline"),
        ("SanaSprintPipeline", "SanaPipeline"),
    ],
)
def test_an_unknown_pipeline_is_refused_with_its_needs_and_the_nearest(name, near):
    said = str(family_flaw(name))
    assert f"no model family for the pipeline {name!r}; it would need a row" in said
    assert f"the nearest by name is {near};" in said


# --- weights that whole files lack ---------------------------------------------------------------


def without_a_weight(folder, ends="weight"):
    """Take one tensor out of a component's weights; its name."""
    file = sorted(folder.glob("*.safetensors"))[-1]
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith(ends))
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    return name


def refused_at_work(place, *more):
    ended = place.render("+timeline=t", "output=frames", *more)
    assert ended.code == 2, ended.err
    assert not list(place.folder.rglob("frame_*.png"))
    return ended.err


@pytest.mark.parametrize(
    ("component", "kind"),
    [
        ("text_encoder", "CLIPTextModel"),
        ("unet", "UNet2DConditionModel"),
        ("vae", "AutoencoderKL"),
    ],
)
def test_a_component_without_one_of_its_weights_is_refused(place, model, component, kind):
    name = without_a_weight(model / component, "norm1.weight" if component != "vae" else "weight")
    said = refused_at_work(place)
    assert f"the {kind}'s files lack 1 of its weights, the first" in said
    assert name.rpartition(".")[0].removeprefix("text_model.") in said
    assert "download it again" in said


def test_shards_without_one_of_the_weights_are_refused(place, model):
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    shutil.rmtree(model / "unet")
    unet.save_pretrained(model / "unet", max_shard_size="100KB")
    pictures(place, "whole")
    shutil.rmtree(place.folder / "outputs")
    without_a_weight(model / "unet")
    assert "the UNet2DConditionModel's files lack 1 of its weights" in refused_at_work(place)


@pytest.mark.parametrize("key", ["vae", "controlnet"])
def test_a_part_without_one_of_its_weights_is_refused(place, model, tmp_path, key):
    part = tmp_path / "part"
    if key == "vae":
        diffusers.AutoencoderKL.from_pretrained(model / "vae").save_pretrained(part)
        chosen = f"model.vae={part}"
    else:
        unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
        sizes = {"conditioning_embedding_out_channels": (8, 8, 8, 8)}
        diffusers.ControlNetModel.from_unet(unet, **sizes).save_pretrained(part)
        Image.new("RGB", (64, 64)).save(tmp_path / "edges.png")
        chosen = f"+model.controlnet={{path: {part}, image: {tmp_path}/edges.png}}"
    without_a_weight(part)
    said = refused_at_work(place, chosen)
    assert f"model.{key}: {part}" in said
    assert "files lack 1 of its weights" in said


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"steps_offset": "1"}, "steps_offset: '1' does not fit; PNDMScheduler takes int"),
        ({"beta_start": None}, "beta_start: None does not fit; PNDMScheduler takes float"),
        ({"skip_prk_steps": "yes"}, "skip_prk_steps: 'yes' does not fit"),
        ({"prediction_type": 3}, "prediction_type: 3 does not fit"),
        ({"trained_betas": ["a"]}, "trained_betas: ['a'] does not fit"),
    ],
)
@pytest.mark.parametrize("more", [[], ["scheduler=ddim"]], ids=["own", "another"])
def test_a_value_of_another_type_in_a_schedulers_json_is_refused_in_the_plan(
    tiny_sd1, tmp_path, written, message, more
):
    place = Place(tmp_path / "here", shutil.copytree(tiny_sd1, tmp_path / "model"))
    place.folder.mkdir()
    path = place.model / "scheduler" / "scheduler_config.json"
    own = json.loads(path.read_text())
    place.timeline("t", [{"at": 0, "prompt": "a"}])
    path.write_text(json.dumps({**own, **written}))
    ended = place.render("t", "mode=plan", *more)
    key = next(iter(written))
    if more and key == "skip_prk_steps":  # which DDIM does not take over
        assert ended.code == 0
        return
    assert ended.code == 2
    assert message.replace("PNDM", "DDIM" if more else "PNDM") in ended.err
    assert str(path) in ended.err


MISMATCHED = [
    ("sd1", "text_encoder", {"num_hidden_layers": 1}, "num_hidden_layers gives 1, the weights"),
    ("sd1", "text_encoder", {"num_hidden_layers": 9}, "num_hidden_layers gives 9, the weights"),
    ("sd1", "text_encoder", {"hidden_size": 48}, "hidden_size is 48, in the weights it is 32"),
    ("sd1", "unet", {"layers_per_block": 3}, "layers_per_block gives 3"),
    ("sd1", "unet", {"block_out_channels": [32, 32, 64]}, "block_out_channels gives 3"),
    ("sd1", "unet", {"cross_attention_dim": 48}, "cross_attention_dim is 48"),
    ("sd1", "vae", {"layers_per_block": 4}, "layers_per_block gives 4"),
    ("sd3", "text_encoder_3", {"num_layers": 1}, "num_layers gives 1, the weights have 2"),
    ("sd3", "transformer", {"num_layers": 1}, "num_layers gives 1, the weights have 2"),
    ("flux", "transformer", {"num_single_layers": 4}, "num_single_layers gives 4"),
    ("sd1", "unet", {"transformer_layers_per_block": 10**6},
     "transformer_layers_per_block: 1,000,000 are more layers than any model has"),
    ("sd1", "unet", {"transformer_layers_per_block": [1, [1, 10**9]]},
     "transformer_layers_per_block: 1,000,000,000 are more layers"),
    ("sd1", "vae", {"encoder": {"depth": 10**6}}, "depth: 1,000,000 are more layers"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "part", "change", "message"), MISMATCHED)
def test_a_config_that_is_not_that_of_the_weights_is_refused_in_the_plan(
    tiny_sd1, family_folder, tmp_path, name, part, change, message
):
    folder = tiny_sd1 if name == "sd1" else family_folder(name)
    place = Place(tmp_path / "here", shutil.copytree(folder, tmp_path / "model"))
    place.timeline("t", [{"at": 0, "prompt": "a"}])
    path = place.model / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    ended = place.render("t", "mode=plan", "model.width=64", "model.height=64")
    assert ended.code == 2
    assert f"{path}: {message}" in ended.err
