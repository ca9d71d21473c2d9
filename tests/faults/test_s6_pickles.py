"""S6: weights that are pickles, under whatever name: refused before anything unpickles them."""

import json
import shutil

import pytest
from films import WEIGHTS, write_model
from outside import tree
from traps import network_canary, pickled, trap_network

FILM = [{"at": 0, "prompt": "a", "seed": 1}]
COMPONENTS = ("text_encoder", "unet", "vae")
NAMES = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.pt", "model.ckpt", "w.pth")
LOCAL = ("+timeline=t", "model=local", "model.steps=2", "model.guidance=7.5", "output=frames")


@pytest.fixture
def model(calls):
    """A model's folder without torch, to be spoilt, in the folder the command is called in."""
    calls.site.timeline("t", FILM)
    folder = write_model(calls.site.here / "model")
    yield folder
    shutil.rmtree(folder)


def made(calls):
    """The file that a pickle makes when it is opened."""
    return calls.site.logs / "unpickled"


def refused(calls, *arguments, mode="plan"):
    """The lines of a command that ends with 2, before torch and with nothing opened or written."""
    before = tree(calls.site.here)
    answer = calls(*LOCAL, "model.path=model", f"mode={mode}", *arguments)
    assert answer.code == 2, answer.err
    assert not made(calls).exists()
    assert not answer.modules
    assert tree(calls.site.here) == before
    return answer.err


def without_weights(folder):
    for weights in folder.glob("*.safetensors"):
        weights.unlink()


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("name", NAMES)
def test_pickles_in_place_of_weights_are_refused(calls, model, component, name):
    without_weights(model / component)
    (model / component / name).write_bytes(pickled(made(calls)))
    said = refused(calls)
    assert f"model/{component}: has {name} but no .safetensors" in said
    assert "save_pretrained(…, safe_serialization=True)" in said


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pickle_that_is_called_safetensors_is_refused(calls, model, component):
    weights = model / component / f"{WEIGHTS[component]}.safetensors"
    weights.write_bytes(pickled(made(calls)))
    said = refused(calls)
    assert f"model/{component}/{weights.name}: is no whole safetensors file" in said
    assert "download it again" in said


def test_it_is_refused_by_a_render_as_by_a_plan(calls, model):
    (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pickled(made(calls)))
    assert "is no whole safetensors file" in refused(calls, mode="render")


def test_all_three_are_reported_at_once(calls, model):
    for component in COMPONENTS:
        without_weights(model / component)
        (model / component / "weights.bin").write_bytes(pickled(made(calls)))
    assert refused(calls).count("pickled weights can run code") == 3


@pytest.mark.parametrize("shard", ["evil.bin", "../../../evil.safetensors", "/evil.safetensors", 3])
def test_a_list_of_shards_names_only_safetensors_beside_it(calls, model, shard):
    index = model / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    assert f"index.json: names {shard!r}" in refused(calls)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.ckpt", "is a pickle"),
        ("model.safetensors", "is no whole safetensors file"),
        ("l.safetensors", "is no whole safetensors file"),
        ("l.bin", "is a pickle"),
    ],
)
def test_a_pickle_in_place_of_a_single_file_is_refused(calls, model, name, message):
    (calls.site.here / name).write_bytes(pickled(made(calls)))
    assert f"{name} {message}" in refused(calls, f"model.path={name}")
    (calls.site.here / name).unlink()


def test_a_lora_is_no_key_of_a_model(calls, model):
    assert "model.lora: unknown key" in refused(calls, "model.lora=lora.bin")


def test_an_adapter_in_a_component_is_refused(calls, model):
    """The libraries would look for a base model elsewhere, and take pickles."""
    adapter = {"base_model_name_or_path": "someone/else"}
    (model / "text_encoder" / "adapter_config.json").write_text(json.dumps(adapter))
    (model / "text_encoder" / "adapter_model.bin").write_bytes(pickled(made(calls)))
    assert "adapter_config.json: names a model elsewhere" in refused(calls)


def test_pickles_beside_the_weights_are_never_opened(site, tiny_sd1):
    """The model itself, with every trap set: it renders, and asks nobody on the network."""
    site.timeline("t", FILM)
    folder, opened = shutil.copytree(tiny_sd1, site.here / "model"), site.logs / "unpickled"
    for component in COMPONENTS:
        for name in NAMES:
            (folder / component / name).write_bytes(pickled(opened))
    for name in ("pytorch_lora_weights.bin", "learned_embeds.bin", "model.ckpt"):
        (folder / name).write_bytes(pickled(opened))
    path = f"{trap_network(site)}:{site.environment()['PYTHONPATH']}"
    env = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "0"}
    ended = site.render(*LOCAL, "model.path=model", model="real", env=env)
    assert ended.code == 0, ended.err
    assert not opened.exists()
    assert not network_canary(site).exists()
    assert len(site.frames("t")) == 1


def test_right_weights_in_a_pickle_are_refused_behind_a_decoy(site, tiny_sd1):
    """Safetensors of another name stand there, so only the loader itself can refuse."""
    import torch
    from safetensors.torch import load_file

    site.timeline("t", FILM)
    folder = shutil.copytree(tiny_sd1, site.here / "model")
    (weights,) = (folder / "unet").glob("*.safetensors")
    torch.save(load_file(weights), folder / "unet" / "diffusion_pytorch_model.bin")
    weights.rename(weights.with_name("decoy.safetensors"))
    ended = site.render(*LOCAL, "model.path=model", model="real")
    assert ended.code == 2, ended.err
    assert "has no diffusion_pytorch_model.safetensors" in ended.err
    assert site.frames("t") == []
