"""A plan's facts about each family from its folder, and its refusals, without torch."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from films import composed
from safetensors.numpy import save_file
from tiny_families import BUILDERS

from render.config.model_group import ModelConfig
from render.errors import ConfigError
from render.models.families import FAMILIES
from render.models.family import Reader
from render.models.model_configs import native_size, vae_factor
from render.models.resolve import resolve_model
from render.models.scheduler_signatures import kind_flaw
from render.run.resolve import open_film
from render.run.survey import cut_texts

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed`:FutureWarning")  # by Chroma

LINED_UP = {"sdxl", "sdxl_lcm", "sd3", "flux", "flux_schnell", "flux2", "flux2_klein"}
DISTILLED = {"sdxl_lcm", "flux", "flux_schnell", "flux2"}
FLOW = set(BUILDERS) - {"sdxl", "sdxl_lcm", "pixart"}
EULER = "EulerDiscreteScheduler"
FLOW_EULER = "FlowMatchEulerDiscreteScheduler"
FLOW_SIGMAS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

OPEN = """
import json, sys
from render.run.resolve import open_film
for config in json.load(sys.stdin):
    open_film(config, "", str)
print(sorted({"torch", "diffusers", "transformers"} & set(sys.modules)))
"""

every_family = pytest.mark.parametrize("name", BUILDERS)


@pytest.fixture
def config(family_folder, tmp_path):
    """A composed config for a tiny model of a family."""

    def config(name, **changes):
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        return composed(family_folder(name), tmp_path, dotted)

    return config


def refused(config):
    """The lines that refuse a config; none if it is right."""
    try:
        open_film(config, "", lambda path: f"at {path}")
    except ConfigError as error:
        return str(error).splitlines()
    return []


# --- what a folder says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "side", "multiple", "scheduler", "tokenizer"),
    [
        ("sdxl", 16, 8, EULER, "tokenizer"),
        ("sd3", 16, 8, FLOW_EULER, "tokenizer_3"),
        ("flux", 1024, 8, FLOW_EULER, "tokenizer_2"),
        ("pixart", 16, 8, "DPMSolverMultistepScheduler", "tokenizer"),
        ("sana", 16, 8, "DPMSolverMultistepScheduler", "tokenizer"),
        ("lumina2", 64, 16, FLOW_EULER, "tokenizer"),
        ("chroma", 1024, 8, FLOW_EULER, "tokenizer"),
        ("z_image", 1024, 8, FLOW_EULER, "tokenizer"),
        ("qwen_image", 1328, 8, FLOW_EULER, "tokenizer"),
        ("flux2", 1024, 8, FLOW_EULER, "tokenizer"),
    ],
)
def test_what_a_folder_says(family_folder, name, side, multiple, scheduler, tokenizer):
    written = {"name": "tiny", "path": family_folder(name), "steps": 4, "guidance": 3.0}
    model = resolve_model(ModelConfig.model_validate(written), {}, family_folder(name))
    assert (model.width, model.height, model.multiple) == (side, side, multiple)
    assert model.scheduler == scheduler
    assert model.tokenizer == family_folder(name) / tokenizer


@pytest.mark.parametrize(
    ("vae", "factor"),
    [
        ({"block_out_channels": [128, 256, 512, 512]}, 8),
        ({"encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]}, 32),
        ({"base_dim": 96, "temperal_downsample": [False, True, True]}, 8),
        ({}, None),
    ],
)
def test_factor_of_the_autoencoders_that_there_are(vae, factor):
    assert vae_factor(vae) == factor


def test_native_size_is_the_latents_or_the_familys():
    assert native_size(FAMILIES["StableDiffusionXLPipeline"], {"sample_size": 128}, 8) == (
        1024,
        1024,
    )
    assert native_size(FAMILIES["SanaPipeline"], {"sample_size": 32}, 32) == (1024, 1024)
    assert native_size(FAMILIES["QwenImagePipeline"], {}, 8) == (1328, 1328)


def test_films_of_all_are_opened_without_torch(config):
    command = [sys.executable, "-c", OPEN]
    configs = json.dumps([config(name) for name in BUILDERS])
    done = subprocess.run(command, input=configs, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_a_model_that_is_not_here_is_planned_by_the_family_its_config_names(monkeypatch, tmp_path):
    monkeypatch.setattr("render.models.hub_configs.cached_folder", lambda repository, commit: None)
    written = {"name": "far", "repository": "org/model", "revision": "a" * 40, "steps": 4}
    written |= {"guidance": 3.0, "width": 1024, "height": 1024}

    def found(family):
        whole = ModelConfig.model_validate({**written, "family": family})
        return resolve_model(whole, {}, tmp_path)

    model = found("FluxPipeline")
    assert (model.multiple, model.tokenizer, model.family.half) == (16, None, "bfloat16")
    assert not model.family.guidance.negatives
    with pytest.raises(ConfigError, match=r"^model.family: no model family for .*'Odd'"):
        found("Odd")


@pytest.mark.parametrize("name", ["sd3", "flux", "flux_schnell", "z_image"])
def test_texts_beyond_what_its_reader_reads_are_reported(config, name):
    model = open_film(config(name), "", str).model
    limit = {"sd3": 256, "flux_schnell": 256}.get(name, 512)
    fits, long = "a" * (limit - 20), "a" * limit
    (cut,) = cut_texts(model, [fits, long])
    assert (cut.text, cut.limit) == (long, limit)
    assert cut.tokens > limit


def test_a_model_without_its_longest_reader_has_the_next(config, family_folder, tmp_path):
    folder = shutil.copytree(family_folder("sd3"), tmp_path / "model")
    shutil.rmtree(folder / "tokenizer_3")
    written = {"name": "tiny", "path": folder, "steps": 4, "guidance": 3.0}
    model = resolve_model(ModelConfig.model_validate(written), {}, folder)
    assert (model.reader, model.tokenizer) == (Reader(), folder / "tokenizer")


# --- what makes no sense -------------------------------------------------------------------------


@every_family
def test_plain_config_is_right(config, name):
    assert refused(config(name)) == []


@every_family
def test_embeddings_are_blended_only_where_texts_line_up(config, name):
    lines = refused(config(name, sampling__blend="embedding"))
    if name in LINED_UP:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith("sampling.blend: texts have lengths of their own")
        assert "use sampling.blend=noise" in line


@every_family
def test_negatives_need_something_to_lead_away_from(config, name):
    written = config(name, sampling__negative="blurry")
    written["timeline"]["keyframes"][1]["negative"] = "dark"
    lines = refused(written)
    if name in DISTILLED:
        places = [line.partition(": ")[0] for line in lines]
        assert places == ["sampling.negative", "at timeline.keyframes.1.negative"]
        assert all("takes no negatives; leave them out" in line for line in lines)
    else:
        assert lines == []


@pytest.mark.parametrize(("name", "lines"), [("flux_schnell", 2), ("flux", 0), ("sdxl_lcm", 0)])
def test_guidance_needs_a_model_that_takes_it(config, name, lines):
    written = config(name, sampling__guidance=3.0)
    written["timeline"]["keyframes"][1]["guidance"] = 4.0
    refusals = refused(written)
    assert len(refusals) == lines
    assert all("takes no guidance; leave it out" in line for line in refusals)


@every_family
@pytest.mark.parametrize("scheduler", [EULER, FLOW_EULER])
def test_a_scheduler_of_the_other_kind_is_refused(config, name, scheduler):
    lines = refused(config(name, scheduler__class=scheduler))
    if (scheduler == FLOW_EULER) == (name in FLOW):
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith(f"scheduler: {scheduler} is for models that predict ")
        assert "use scheduler=model" in line


@pytest.mark.parametrize(
    ("family", "scheduler", "settings", "said"),
    [
        ("SanaPipeline", "UniPCMultistepScheduler", FLOW_SIGMAS, None),
        ("SanaPipeline", "FlowMatchHeunDiscreteScheduler", {}, None),
        ("FluxPipeline", "DPMSolverMultistepScheduler", FLOW_SIGMAS, None),
        ("FluxPipeline", "DPMSolverMultistepScheduler", {}, "add scheduler.use_flow_sigmas=true"),
        ("FluxPipeline", "DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "a flow"),
        ("FluxPipeline", "FlowMatchHeunDiscreteScheduler", {}, "takes no sigmas"),
        ("ChromaPipeline", "DPMSolverMultistepScheduler", FLOW_SIGMAS, "takes no sigmas"),
        ("ChromaPipeline", "FlowMatchLCMScheduler", {}, None),
        ("PixArtSigmaPipeline", "UniPCMultistepScheduler", FLOW_SIGMAS, "predict a flow"),
        ("PixArtSigmaPipeline", "UniPCMultistepScheduler", {}, None),
    ],
)
def test_which_scheduler_serves_which_family(family, scheduler, settings, said):
    refusals = kind_flaw(scheduler, settings, FAMILIES[family])
    assert refusals is None if said is None else said in refusals


# --- LoRAs of another width ----------------------------------------------------------------------

WIDTHS = {  # of the tiny transformers' hidden states
    "sd3": 32,
    "flux": 32,
    "sana": 16,
    "lumina2": 32,
    "chroma": 32,
    "z_image": 32,
    "qwen_image": 32,
    "flux2": 32,
    "flux2_klein": 32,
}
QUERIES = {"lumina2": "layers.0.attn.to_q", "z_image": "layers.0.attention.to_q"}


@pytest.mark.parametrize("layer", ["transformer.{}", "lora_unet_double_blocks_0_img_attn_qkv"])
@pytest.mark.parametrize("name", WIDTHS)
def test_a_lora_for_a_wider_transformer_is_refused_by_the_plan(config, tmp_path, name, layer):
    layer = layer.format(QUERIES.get(name, "transformer_blocks.0.attn.to_q"))

    def refusals(width):
        down, up = np.ones((2, width), np.float32), np.ones((3 * width, 2), np.float32)
        file = tmp_path / f"{width}.safetensors"
        save_file({f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}, file)
        return refused(config(name, model__loras=[{"path": str(file), "name": "paint"}]))

    assert refusals(WIDTHS[name]) == []
    (line,) = refusals(3072)
    assert f"is made for layers 3072 wide, and those of this {family_name(name)}" in line


@pytest.mark.parametrize("name", ["flux", "sd3"])
def test_a_lora_for_more_layers_in_a_row_is_refused_by_the_plan(config, tmp_path, name):
    def refusals(number):
        down, up = np.ones((2, WIDTHS[name])), np.ones((WIDTHS[name], 2))
        layer = f"transformer.transformer_blocks.{number}.attn.to_q"
        file = tmp_path / f"{number}.safetensors"
        save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, file)
        return refused(config(name, model__loras=[{"path": str(file), "name": "paint"}]))

    assert refusals(0) == []
    (line,) = refusals(37)
    assert "changes a layer that this model has not (transformer.transformer_blocks.37." in line
    assert "transformer_blocks): it was made for another model" in line


def family_name(name):
    return type(BUILDERS[name]()).__name__


def test_a_size_beyond_the_denoisers_places_is_refused(config):
    """8 places of 2 latents of 2 pixels are 32 pixels; diffusers fails while rendering."""
    assert not refused(config("sd3", output__width=32, output__height=32))
    assert refused(config("sd3", output__width=64, output__height=32)) == [
        "output.width: 64 is more than 32, the longest side of this model"
    ]
