"""S7: a model with code of its own: refused before anything is imported, and without network."""

import json
import os
import shutil

import pytest
from commands import Commands
from films import edit, write_model
from outside import CHECKOUT, tree
from traps import network_canary, trap_network

FILM = [{"at": 0, "prompt": "a", "seed": 1}]
LOCAL = ("+timeline=t", "model=local", "model.steps=2", "model.guidance=7.5", "model.path=model")
LIBRARIES = ["os", "subprocess", "evil_here", "evil_model", "diffusers.utils",
             "diffusers.pipelines", "stable_diffusion", "transformers_modules.evil",
             "torch.hub", ".", "", "render", "evil/evil", ["diffusers"], 3, True]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(calls):
    """Commands that may not touch the network, and could import from here and from the model."""
    site = calls.site
    parts = [trap_network(site), site.logs / "trap-torch", CHECKOUT, site.here, site.here / "model"]
    path = os.pathsep.join(map(str, parts))
    commands = Commands(site, {"PYTHONPATH": path, "HF_HUB_OFFLINE": "0"})
    yield commands
    commands.close()


def evil(site):
    """Code that makes a folder when it is imported."""
    return f"import os\nos.mkdir({str(site.logs / 'imported')!r})\nclass Net: pass\n"


@pytest.fixture
def model(guarded):
    """A model's folder, and a module in the folder that the command is called in."""
    site = guarded.site
    site.timeline("t", FILM)
    folder = write_model(site.here / "model")
    (site.here / "evil_here.py").write_text(evil(site))
    yield folder
    shutil.rmtree(folder)


def refused(guarded, mode="plan"):
    """The message of a command that ends with 2, with nothing imported, asked or written."""
    site = guarded.site
    before = tree(site.here)
    answer = guarded(*LOCAL, f"mode={mode}")
    assert answer.code == 2, answer.err
    assert not (site.logs / "imported").exists()
    assert not network_canary(site).exists()
    assert not answer.modules
    assert tree(site.here) == before
    return answer.err


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_an_odd_library_is_refused(guarded, model, library):
    edit(model / "model_index.json", unet=[library, "Net"])
    said = refused(guarded)
    assert "model/model_index.json: component 'unet' wants the library" in said
    assert repr(library) in said
    assert "only diffusers and transformers are imported" in said


def test_so_it_is_when_a_render_is_asked_for(guarded, model):
    edit(model / "model_index.json", scheduler=["evil_here", "Net"])
    assert "component 'scheduler' wants the library 'evil_here'" in refused(guarded, "render")


@pytest.mark.parametrize("value", [["diffusers"], ["diffusers", "A", "B"], [], [["os"], "system"]])
def test_a_component_of_another_shape_is_refused(guarded, model, value):
    edit(model / "model_index.json", unet=value)
    assert "component 'unet' wants" in refused(guarded)


@pytest.mark.parametrize("name", ["../evil", "/etc", "a b", "unet/../../evil", ""])
def test_a_component_elsewhere_is_refused(guarded, model, name):
    edit(model / "model_index.json", **{name: ["diffusers", "UNet2DConditionModel"]})
    assert "is no name of a component" in refused(guarded)


def test_a_pipeline_inside_of_a_pipeline_is_refused(guarded, model):
    """It would bring an index of its own, with any library in it."""
    edit(model / "model_index.json", unet=["diffusers", "DiffusionPipeline"])
    inner = {"_class_name": "StableDiffusionPipeline", "unet": ["evil_here", "Net"]}
    (model / "unet" / "model_index.json").write_text(json.dumps(inner))
    assert "component 'unet' is a pipeline with components of its own" in refused(guarded)


@pytest.mark.parametrize("value", ["evil", "someone/evil", "./evil.py", None])
def test_a_custom_pipeline_is_refused(guarded, model, value):
    edit(model / "model_index.json", custom_pipeline=value)
    assert "names a custom_pipeline" in refused(guarded)


@pytest.mark.parametrize("name", ["EvilPipeline", ["x", "EvilPipeline"], ["evil_here", "Net"]])
def test_a_pipeline_of_its_own_is_refused(guarded, model, name):
    (model / "pipeline.py").write_text(evil(guarded.site))
    edit(model / "model_index.json", _class_name=name)
    assert "no model family for the pipeline" in refused(guarded)


@pytest.mark.parametrize(
    "place",
    ["pipeline.py", "unet/evil_model.py", "unet/unet_2d_condition.py", "text_encoder/deep/x.py",
     "tokenizer/__init__.py"],
)  # fmt: skip
def test_code_in_the_folder_stays_unread(guarded, model, place):
    (model / place).parent.mkdir(exist_ok=True)
    (model / place).write_text(evil(guarded.site))
    answer = guarded(*LOCAL, "mode=plan")
    assert answer.code == 0, answer.err
    assert f"model/{place} is code and stays unread" in answer.out + answer.err
    assert not (guarded.site.logs / "imported").exists()
    assert not answer.modules
    shutil.rmtree(guarded.site.root)


@pytest.mark.parametrize("place", ["unet/diffusers.py", "text_encoder/transformers.py"])
def test_code_that_would_stand_in_for_a_library_is_refused(guarded, model, place):
    (model / place).write_text(evil(guarded.site))
    assert f"model/{place}: is code; models are data here" in refused(guarded)


@pytest.mark.parametrize(
    "place",
    ["text_encoder/config.json", "tokenizer/tokenizer_config.json", "unet/config.json",
     "scheduler/scheduler_config.json", "config.json"],
)  # fmt: skip
def test_an_auto_map_is_refused(guarded, model, place):
    for value in ({"AutoModel": "someone/evil--net.Net"}, {"AutoModel": "net.Net"}, None):
        edit(model / place, auto_map=value)
        assert f"model/{place}: has an auto_map" in refused(guarded)


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("text_encoder/config.json", {"attn_implementation": "someone/evil"}),
        (
            "text_encoder/config.json",
            {"_attn_implementation": "kernels-community/fa@main"},
        ),
        ("text_encoder/config.json", {"attn_implementation": "flash_attention_2"}),
        ("text_encoder/config.json", {"text_config": {"attn_implementation": {"": "a/b"}}}),
        ("text_encoder/config.json", {"experts_implementation": "someone/evil"}),
        ("unet/config.json", {"quantization_config": {"quant_method": "nunchaku"}}),
        ("vae/config.json", {"parts": [{"quantization_config": {"quant_method": "gguf"}}]}),
    ],
    ids=str,
)
def test_settings_that_fetch_code_from_the_hub_are_refused(guarded, model, place, settings):
    """Where the package `kernels` is installed, the libraries would run what they get."""
    edit(model / place, **settings)
    said = refused(guarded)
    assert f"model/{place}: " in said
    assert "from the hub" in said


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("text_encoder/config.json", {"configuration_files": ["config.1.0.0.json"]}),
        ("text_encoder/config.json", {"transformers_weights": "adapter_model.bin"}),
        ("text_encoder/config.json", {"transformers_weights": "deep/model.safetensors"}),
        ("text_encoder/config.json", {"text_config": {"transformers_weights": "x.safetensors"}}),
        (
            "text_encoder/config.json",
            {"attribute_map": {"x": "_attn_implementation_internal"}, "x": "someone/evil"},
        ),
        ("tokenizer/tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.1.json"]}),
    ],
    ids=str,
)
def test_settings_that_lead_past_the_files_that_were_looked_through_are_refused(
    guarded, model, place, settings
):
    """transformers would take a config, a vocabulary or weights that nobody looked at or hashed:
    with code of the hub's in them, or pickles; or others tomorrow, of which no frame would know."""
    other = {"auto_map": {"AutoModel": "net.Net"}, "attn_implementation": "someone/evil"}
    (model / "text_encoder" / "config.1.0.0.json").write_text(json.dumps(other))
    edit(model / place, **settings)
    said = refused(guarded)
    name = next(iter(settings.get("text_config", settings)))
    assert f"model/{place}: has {name}, which names" in said


@pytest.mark.parametrize("value", [None, "eager", "sdpa"])
def test_settings_that_fetch_nothing_are_no_obstacle(guarded, model, value):
    edit(model / "text_encoder" / "config.json", attn_implementation=value)
    edit(model / "unet" / "config.json", quantization_config=None)
    assert guarded(*LOCAL, "mode=plan").code == 0
    shutil.rmtree(guarded.site.root)


def test_a_component_behind_a_link_is_looked_through_too(guarded, model):
    elsewhere = model.parent / "elsewhere"
    (model / "text_encoder").rename(elsewhere)
    (model / "text_encoder").symlink_to(elsewhere)
    (elsewhere / "transformers.py").write_text(evil(guarded.site))
    edit(elsewhere / "config.json", auto_map={"AutoModel": "net.Net"})
    said = refused(guarded)
    assert "model/text_encoder/transformers.py: is code; models are data here" in said
    assert "model/text_encoder/config.json: has an auto_map" in said
    shutil.rmtree(elsewhere)


def test_everything_is_reported_at_once(guarded, model):
    (model / "unet" / "diffusers.py").write_text(evil(guarded.site))
    edit(model / "text_encoder" / "config.json", auto_map={"AutoModel": "net.Net"})
    edit(model / "vae" / "config.json", auto_map={"AutoModel": "net.Net"})
    assert len(refused(guarded).splitlines()) == 3


def test_the_traps_are_live(guarded, model):
    """The module is to be had, and a hub's model would be asked for."""
    answer = guarded(*LOCAL[:4], "model.repository=someone/evil", "mode=plan")
    assert answer.code == 2
    assert "the hub can't say" in answer.err
    assert network_canary(guarded.site).exists()
    network_canary(guarded.site).unlink()
