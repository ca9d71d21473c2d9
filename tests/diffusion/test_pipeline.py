"""Which models are loaded, and which are refused before anything of them runs."""

import pickle
import shutil
import socket
import sys
from pathlib import Path

import diffusers
import huggingface_hub
import pytest
import torch
from films import edit
from tiny_models import BETAS, SIDE, save_tiny_sd1, tiny_denoiser

from render.diffusion.pipeline import check_device, hub_folder, load_pipeline
from render.diffusion.schedules import make_scheduler
from render.errors import ConfigError
from render.models.model_source import ModelSource
from render.models.safety import check_folder
from render.plan.frame_plan import Recipe

# diffusers hands tensors to numpy in ways that numpy 2 asks torch to change

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return save_tiny_sd1(tmp_path_factory.mktemp("pristine") / "sd1")


@pytest.fixture
def folder(pristine, tmp_path):
    """A copy of the tiny model, to be spoilt."""
    return shutil.copytree(pristine, tmp_path / "model")


@pytest.fixture
def canary(tmp_path):
    """A file that the code hidden in a model would make."""
    return tmp_path / "canary"


def recipe(scheduler="model", steps=4, dtype="float32", **options):
    return Recipe("tiny", scheduler, options, steps, SIDE, SIDE, dtype, "noise")


def load(folder, **wanted):
    return load_pipeline(ModelSource(folder, None, None, None, None), recipe(**wanted), "cpu")


def stock(folder):
    """The model as diffusers loads it, to be saved otherwise."""
    return diffusers.StableDiffusionPipeline.from_pretrained(folder)


def refusal(folder):
    """The lines that refuse a folder."""
    with pytest.raises(ConfigError) as refused:
        load(folder)
    return str(refused.value).splitlines()


class Payload:
    """Makes the canary when unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


# --- what loads --------------------------------------------------------------------------------


def test_a_folder_is_loaded_as_its_family(folder):
    pipeline, family, *_ = load(folder)
    assert type(pipeline) is diffusers.StableDiffusionPipeline
    assert family.pipeline == "StableDiffusionPipeline"
    assert pipeline.safety_checker is None
    assert isinstance(pipeline.scheduler, diffusers.PNDMScheduler)


def test_weights_take_the_recipes_dtype(folder):
    half, *_ = load(folder, dtype="bfloat16")
    for component in (half.unet, half.vae, half.text_encoder):
        assert {weight.dtype for weight in component.parameters()} == {torch.bfloat16}
    stock(folder).to(torch.float16).save_pretrained(folder)
    single, *_ = load(folder)
    assert single.unet.dtype == single.vae.dtype == single.text_encoder.dtype == torch.float32


def test_a_variant_is_loaded(folder):
    pipeline = stock(folder)
    shutil.rmtree(folder)
    pipeline.save_pretrained(folder, variant="fp16")
    source = ModelSource(folder, None, None, "fp16", None)
    assert load_pipeline(source, recipe(), "cpu")[0].unet.dtype == torch.float32
    with pytest.raises(ConfigError, match="no component has weights of the variant 'bf16'"):
        check_folder(folder, "bf16")


def test_a_safety_checker_is_neither_loaded_nor_missed(folder):
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    extractor = ["transformers", "CLIPImageProcessor"]
    edit(folder / "model_index.json", safety_checker=checker, feature_extractor=extractor)
    pipeline, *_ = load(folder)
    assert pipeline.safety_checker is None
    assert pipeline.feature_extractor is None


def test_loading_says_nothing(folder, capfd):
    load(folder)
    assert capfd.readouterr() == ("", "")


# --- what is refused ---------------------------------------------------------------------------


def test_no_diffusers_folder(tmp_path):
    (line,) = refusal(tmp_path)
    assert line == f"model.path: {tmp_path} is no diffusers folder (it has no model_index.json)"


def test_broken_index(folder):
    index = folder / "model_index.json"
    index.write_text("{")
    (line,) = refusal(folder)
    assert line.startswith(f"{index}: can't be read as JSON")
    index.write_text("[]")
    assert refusal(folder) == [f"{index}: is no JSON object"]


@pytest.mark.parametrize("name", ["OddPipeline", "DiffusionPipeline", ["pipeline", "Odd"], None])
def test_unknown_pipeline_is_named(folder, name):
    edit(folder / "model_index.json", _class_name=name)
    (line,) = refusal(folder)
    assert "no model family for the pipeline" in line
    assert "known: " in line
    assert "StableDiffusionPipeline" in line


def test_odd_library_is_refused_before_it_is_imported(folder, canary, tmp_path, monkeypatch):
    code = f"import pathlib; pathlib.Path({str(canary)!r}).touch()\nclass Net: pass\n"
    (tmp_path / "odd_library.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    edit(folder / "model_index.json", unet=["odd_library", "Net"])
    (line,) = refusal(folder)
    assert "component 'unet' wants the library 'odd_library'" in line
    assert not canary.exists()
    assert "odd_library" not in sys.modules


@pytest.mark.parametrize("library", ["stable_diffusion", "os", "diffusers.utils", ["diffusers"], 3])
def test_only_two_libraries_are_imported(folder, library):
    edit(folder / "model_index.json", unet=[library, "UNet2DConditionModel"])
    (line,) = refusal(folder)
    assert f"wants the library {library!r}" in line


@pytest.mark.parametrize("name", ["NoSuchNet", None, 3])
def test_a_class_that_is_not_there(folder, name):
    edit(folder / "model_index.json", unet=["diffusers", name])
    (line,) = refusal(folder)
    assert f"component 'unet' is a {name}, " in line
    assert "needs a UNet2DConditionModel" in line


def test_a_class_that_is_no_name(folder):
    edit(folder / "model_index.json", unet=["diffusers", ["UNet2DConditionModel"]])
    (line,) = refusal(folder)
    assert "wants diffusers.['UNet2DConditionModel'], which is not there" in line


def test_python_files_are_never_run(folder, canary):
    code = f"open({str(canary)!r}, 'w').close()"
    for place in ("unet/net.py", "pipeline.py", "vae/autoencoder_kl.py", "tokenizer/__init__.py"):
        (folder / place).write_text(code)
    load(folder)
    assert not canary.exists()
    (folder / "unet" / "diffusers.py").write_text(code)
    (line,) = refusal(folder)
    assert "diffusers.py: is code; models are data here" in line
    assert not canary.exists()


def test_auto_map_is_refused(folder):
    edit(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "net.Net"})
    (line,) = refusal(folder)
    assert "has an auto_map" in line


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_refused_and_not_read(folder, canary, component):
    for weights in (folder / component).glob("*.safetensors"):
        weights.unlink()
    names = {"text_encoder": "pytorch_model.bin"}
    name = names.get(component, "diffusion_pytorch_model.bin")
    (folder / component / name).write_bytes(pickle.dumps(Payload(canary)))
    (line,) = refusal(folder)
    assert f"{component}: has {name} but no .safetensors" in line
    assert not canary.exists()


def test_a_pickle_beside_safetensors_is_not_read(folder, canary):
    pickled = pickle.dumps(Payload(canary))
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickled)
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(pickled)
    load(folder)
    assert not canary.exists()


def test_a_pickle_named_safetensors_is_one_line(folder, canary):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(pickle.dumps(Payload(canary)))
    (line,) = refusal(folder)
    assert f"{weights}: is no whole safetensors file" in line
    assert not canary.exists()


@pytest.mark.parametrize("spoil", [b"", b"\xff" * 64, None])
def test_broken_weights_are_one_line_each(folder, spoil):
    paths = sorted(folder.glob("*/*.safetensors"))
    for path in paths:
        path.write_bytes(path.read_bytes()[:-10] if spoil is None else spoil)
    lines = refusal(folder)
    assert len(lines) == len(paths) == 3
    assert all("is no whole safetensors file" in line for line in lines)


def test_missing_weights_are_one_line(folder):
    shutil.rmtree(folder / "vae")
    assert refusal(folder) == [f"{folder / 'vae'}: is missing or empty"]
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text("{}")
    assert refusal(folder) == [f"{folder / 'vae'}: has no .safetensors weights"]


def test_weights_that_do_not_fit_their_config_are_one_line(folder):
    edit(folder / "unet" / "config.json", out_channels=8)
    (line,) = refusal(folder)
    assert line.startswith(f"model: {folder} can't be loaded: ")


def test_a_model_that_takes_guidance_as_an_input_has_no_negatives(folder, pristine):
    assert load(pristine)[1].guidance.negatives
    pipeline = stock(pristine)
    pipeline.unet = tiny_denoiser(time_cond_proj_dim=8)
    pipeline.save_pretrained(folder)
    assert not load(folder)[1].guidance.negatives


@pytest.mark.parametrize("device", ["cuda:99", "cuda:100"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ConfigError, match=rf"^compute.device: {device} is asked for, but torch"):
        check_device(device)


# --- the hub -----------------------------------------------------------------------------------


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture
def offline(empty_cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return empty_cache


@pytest.fixture
def unreachable(empty_cache, monkeypatch):
    """No name resolves, as on a machine without network."""

    def fail(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.mark.parametrize("state", ["offline", "unreachable"])
def test_hub_model_that_is_missing_is_one_line_with_the_ways_out(state, request):
    request.getfixturevalue(state)
    source = ModelSource(None, "org/model", COMMIT, None, None)
    with pytest.raises(ConfigError) as refused:
        load_pipeline(source, recipe(), "cpu")
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"model.repository: org/model@{COMMIT} is not on this machine")
    for way_out in (f"`hf download org/model --revision {COMMIT}`", "model.path=", "storybook"):
        assert way_out in line


@pytest.mark.parametrize("state", ["offline", "unreachable"])
def test_hub_model_in_the_cache_needs_no_network(state, request, empty_cache, folder):
    request.getfixturevalue(state)
    snapshot = empty_cache / "models--org--model" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    source = ModelSource(None, "org/model", COMMIT, None, None)
    assert hub_folder(source) == snapshot
    assert load_pipeline(source, recipe(), "cpu")[0].unet.dtype == torch.float32


def test_hub_model_that_is_half_in_the_cache_is_missing(unreachable, empty_cache, folder):
    snapshot = empty_cache / "models--org--model" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    shutil.rmtree(snapshot / "vae")
    with pytest.raises(ConfigError, match="is not on this machine"):
        hub_folder(ModelSource(None, "org/model", COMMIT, None, None))


def test_hub_model_is_checked_like_a_folder(offline, folder):
    snapshot = offline / "models--org--model" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    edit(snapshot / "model_index.json", unet=["odd_library", "Net"])
    with pytest.raises(ConfigError, match="wants the library 'odd_library'"):
        load_pipeline(ModelSource(None, "org/model", COMMIT, None, None), recipe(), "cpu")


# --- schedulers --------------------------------------------------------------------------------


def test_scheduler_keeps_the_models_noise_schedule_and_prediction():
    own = diffusers.DDIMScheduler(**BETAS, prediction_type="v_prediction", steps_offset=1)
    made = make_scheduler(own, recipe("EulerDiscreteScheduler", use_karras_sigmas=True))
    assert type(made) is diffusers.EulerDiscreteScheduler
    assert {key: made.config[key] for key in BETAS} == BETAS
    assert made.config.prediction_type == "v_prediction"
    assert made.config.use_karras_sigmas


def test_another_solvers_method_is_not_carried_over():
    own = diffusers.DPMSolverMultistepScheduler(**BETAS, algorithm_type="sde-dpmsolver++")
    made = make_scheduler(own, recipe("SASolverScheduler"))
    assert made.config.algorithm_type == "data_prediction"
    assert make_scheduler(own, recipe()).config.algorithm_type == "sde-dpmsolver++"


def test_own_scheduler_takes_options_too():
    own = diffusers.DPMSolverMultistepScheduler(**BETAS, steps_offset=1)
    made = make_scheduler(own, recipe("model", solver_order=3))
    assert type(made) is type(own)
    assert made.config.solver_order == 3


def test_latents_are_not_clipped_like_pixels_unless_the_model_says_so():
    own = diffusers.DPMSolverMultistepScheduler(**BETAS)
    assert not make_scheduler(own, recipe("DDIMScheduler")).config.clip_sample
    assert make_scheduler(own, recipe("PNDMScheduler")).config.skip_prk_steps
    clipped = diffusers.DDIMScheduler.from_config(own.config, clip_sample=True)
    clipped.config["_use_default_values"].clear()
    assert make_scheduler(clipped, recipe("DDIMScheduler")).config.clip_sample
    assert make_scheduler(own, recipe("DDIMScheduler", clip_sample=True)).config.clip_sample


def test_options_that_diffusers_refuses_are_one_line():
    own = diffusers.DPMSolverMultistepScheduler(**BETAS)
    with pytest.raises(ConfigError) as refused:
        make_scheduler(own, recipe("model", solver_type="odd"))
    (line,) = str(refused.value).splitlines()
    assert line.startswith("scheduler: DPMSolverMultistepScheduler with 4 steps: ")
