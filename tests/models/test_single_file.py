"""A checkpoint in one file gives the pictures of its folder; what can't be one is refused."""

import shutil

import diffusers
import numpy as np
import pytest
import tiny_families
import torch
from films import composed, edit
from safetensors.torch import load_file, save_file
from single_files import save_single_file
from tiny_models import randomised
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.run.resolve import open_film
from render.timeline.spec import FrameSpec

CASTLE = "a red castle at night"


@pytest.fixture(autouse=True)
def no_hub(tmp_path, monkeypatch):
    """An empty cache of the hub's client."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def wider_sdxl():
    """SDXL whose encoders differ in width, as the real ones do: so a layer's width says whose it
    is."""
    pipeline = tiny_families.sdxl()
    wide = CLIPTextConfig.from_dict(pipeline.text_encoder_2.config.to_dict() | {"hidden_size": 48})
    wide.projection_dim = 48
    unet = dict(pipeline.unet.config) | {"cross_attention_dim": 32 + 48}
    unet["projection_class_embeddings_input_dim"] = 6 * 8 + 48
    parts = pipeline.components | {
        "text_encoder_2": randomised(CLIPTextModelWithProjection(wide)),
        "unet": randomised(diffusers.UNet2DConditionModel.from_config(unet)),
    }
    return diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)


@pytest.fixture(scope="module")
def made(tiny_sd1, tmp_path_factory):
    """(folder with everything, file of all weights, folder of what is no weight) by family."""
    kept, root = {}, tmp_path_factory.mktemp("single")

    def get(name):
        if name not in kept:
            whole, file, bare = root / name, root / f"{name}.safetensors", root / f"{name}-configs"
            if name == "sd1":
                shutil.copytree(tiny_sd1, whole)
                pipeline = diffusers.StableDiffusionPipeline.from_pretrained(whole)
            else:
                pipeline = wider_sdxl()
                pipeline.save_pretrained(whole)
            save_single_file(pipeline, file)
            shutil.copytree(whole, bare, ignore=shutil.ignore_patterns("*.safetensors"))
            kept[name] = whole, file, bare
        return kept[name]

    return get


@pytest.fixture
def film(tmp_path):
    """The film of a model's keys."""

    def film(path, **model):
        changes = {f"model.{key}": value for key, value in model.items()}
        return open_film(composed(path, tmp_path / "out", changes), "", str)

    return film


def identity(film):
    return film.plan.recipe.model


def refused(film, path, **model):
    with pytest.raises(ConfigError) as error:
        film(path, **model)
    (line,) = str(error.value).splitlines()
    return line


def picture(film, text=CASTLE):
    spec = FrameSpec(((text, 1.0),), (("", 1.0),), ((1, 1.0),), 3.0)
    diffusion = open_diffusion(film.model.source, film.plan.recipe, "cpu")
    return diffusion.render([spec], lambda done, total: None).all()[0]


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_a_single_file_gives_its_folders_picture(made, film, name):
    whole, file, bare = made(name)
    assert np.array_equal(picture(film(file, config=bare)), picture(film(whole)))


def test_a_file_of_the_denoiser_alone_takes_the_rest_from_its_folder(family_folder, film, tmp_path):
    whole, file = family_folder("flux"), tmp_path / "flux.safetensors"
    weights = load_file(whole / "transformer" / "diffusion_pytorch_model.safetensors")
    save_file({name: weight.flip(0) for name, weight in weights.items()}, file)
    sides = {"width": 16, "height": 16}
    changed = film(file, config=whole, **sides)
    shutil.copytree(whole, tmp_path / "whole")
    save_file(
        {name: weight.flip(0) for name, weight in weights.items()},
        tmp_path / "whole" / "transformer" / "diffusion_pytorch_model.safetensors",
    )
    expected = picture(film(tmp_path / "whole", **sides))
    assert np.array_equal(picture(changed), expected)
    assert not np.array_equal(picture(film(whole, **sides)), expected)


# --- identity ------------------------------------------------------------------------------------


def test_a_file_is_its_content_and_its_configs(made, film, tmp_path):
    whole, file, bare = made("sd1")
    before = identity(film(file, config=bare))
    assert identity(film(shutil.copy(file, tmp_path / "other.safetensors"), config=bare)) == before
    assert identity(film(file, config=whole)) == before  # the folder's weights are not used
    assert before != identity(film(whole))
    weights = load_file(file)
    weights["model.diffusion_model.out.2.bias"] += 1
    save_file(weights, tmp_path / "trained.safetensors")
    assert identity(film(tmp_path / "trained.safetensors", config=bare)) != before
    configs = shutil.copytree(bare, tmp_path / "configs")
    edit(configs / "scheduler" / "scheduler_config.json", beta_end=0.02)
    assert identity(film(file, config=configs)) != before


def test_the_folders_weights_count_where_the_file_lacks_them(made, film, tmp_path):
    whole, file, _ = made("sd1")
    weights = {name: w for name, w in load_file(file).items() if "first_stage" not in name}
    save_file(weights, tmp_path / "no_vae.safetensors")
    folder = shutil.copytree(whole, tmp_path / "whole")
    before = film(tmp_path / "no_vae.safetensors", config=folder)
    assert np.array_equal(picture(before), picture(film(whole)))
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: weight.flip(0) for name, weight in load_file(vae).items()}, vae)
    assert identity(film(before.model.source.file, config=folder)) != identity(before)


def test_the_hubs_cache_serves_as_configs(made, film, no_hub):
    _, file, bare = made("sd1")
    store = no_hub / "models--stable-diffusion-v1-5--stable-diffusion-v1-5" / "snapshots"
    shutil.copytree(bare, store / ("a" * 40))
    assert identity(film(file)) == identity(film(file, config=bare))


# --- what is refused -----------------------------------------------------------------------------


def test_a_file_without_configs_says_what_to_give(made, film):
    line = refused(film, made("sd1")[1])
    assert line.startswith("model.config: ")
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --include" in line
    assert "hf download stabilityai/stable-diffusion-xl-base-1.0" in refused(film, made("sdxl")[1])


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "bin", "CKPT"])
def test_a_pickle_is_refused_by_its_name(film, tmp_path, suffix):
    (tmp_path / f"model.{suffix}").write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    line = refused(film, tmp_path / f"model.{suffix}")
    assert line.startswith("model.path: ")
    assert "is a pickle, which can run code; get or make a .safetensors" in line


def test_a_pickle_by_another_name_is_refused(made, film, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'exit'\ntR.")
    assert "is no whole safetensors file" in refused(film, tmp_path / "model.safetensors")
    assert "is not there" in refused(film, tmp_path / "nowhere.safetensors")


def test_a_pickle_beside_the_configs_is_refused(made, film, tmp_path):
    _, file, bare = made("sd1")
    folder = shutil.copytree(bare, tmp_path / "configs")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    line = refused(film, file, config=folder)
    assert line.startswith(str(folder / "unet" / "diffusion_pytorch_model.bin"))


def test_configs_and_variants_that_make_no_sense(made, film):
    whole, file, bare = made("sd1")
    assert refused(film, whole, config=bare).startswith("model: model.config goes with a single")
    said = refused(film, file, config=bare, variant="fp16")
    assert "model.variant chooses among a folder's files" in said
    said = refused(film, file, config=file.parent)
    assert said.startswith(f"model.config: {file.parent} is no diffusers folder")


def test_pixart_has_no_single_files(family_folder, film, made):
    line = refused(film, made("sd1")[1], config=family_folder("pixart"))
    assert "diffusers reads no single files for PixArtSigmaPipeline" in line


def test_a_part_that_is_nowhere_is_reported_before_loading(made, film, tmp_path):
    _, file, bare = made("sd1")
    weights = {name: w for name, w in load_file(file).items() if "first_stage" not in name}
    save_file(weights, tmp_path / "no_vae.safetensors")
    line = refused(film, tmp_path / "no_vae.safetensors", config=bare)
    assert line == f"{bare / 'vae'}: has no .safetensors weights"


def without_one(weights):
    return {name: w for name, w in weights.items() if name != "model.diffusion_model.out.2.bias"}


def of_another_shape(weights):
    return weights | {"model.diffusion_model.out.2.bias": torch.zeros(9)}


@pytest.mark.parametrize("spoilt", [without_one, of_another_shape])
def test_weights_that_do_not_fill_the_model_are_reported(made, film, tmp_path, spoilt):
    _, file, bare = made("sd1")
    save_file(spoilt(load_file(file)), tmp_path / "spoilt.safetensors")
    with pytest.raises(ConfigError) as error:
        picture(film(tmp_path / "spoilt.safetensors", config=bare))
    (line,) = str(error.value).splitlines()
    assert f"does not fit the configs in {bare}" in line
    assert "conv_out.bias" in line
