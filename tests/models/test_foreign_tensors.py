"""Weights that their loader would read without their scales or without an adapter beside them, and
files in a model's folder that are something else than their names say."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(place, tmp_path):
    """A copy of the tiny model, which is the one that `place` renders with."""
    place.model = shutil.copytree(place.model, tmp_path / "model")
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}])
    return place.model


def refused(place, *more):
    """The errors of a plan, which writes nothing."""
    before = place.tree()
    ended = place.render("+timeline=t", "mode=plan", *more)
    assert ended.code == 2, ended.out
    assert place.tree() == before
    return ended.err


def scaled(name, weight):
    """As ComfyUI's scaled files: an 8-bit weight, and what it is multiplied by."""
    scale = name.removesuffix("weight") + "scale_weight"
    return {name: (weight * 8).to(torch.float8_e4m3fn), scale: torch.tensor(0.125)}


def newly_scaled(name, weight):
    return scaled(name, weight) | {name.removesuffix("weight") + "comfy_quant": torch.zeros(8)}


def in_four_bits(name, weight):
    """As bitsandbytes saves it."""
    coded = torch.zeros(weight.numel() // 2, 1, dtype=torch.uint8)
    return {name: coded, f"{name}.absmax": torch.ones(4), f"{name}.quant_map": torch.ones(16)}


def whole_numbers(name, weight):
    return {name: (weight * 100).to(torch.int8)}


def with_an_adapter(name, weight):
    """As peft saves a network whose adapter was never merged."""
    path, sides = name.removesuffix(".weight"), weight.shape
    adapter = {"lora_A": torch.ones(2, sides[1]), "lora_B": torch.ones(sides[0], 2)}
    return {name: weight} | {f"{path}.{kind}.weight": t for kind, t in adapter.items()}


FOREIGN = [
    (scaled, "scales would be left out"),
    (newly_scaled, "scales would be left out"),
    (in_four_bits, "scales would be left out"),
    (whole_numbers, "is I8"),
    (with_an_adapter, "model.loras"),
]


def spoil(file, change, part="to_q.weight"):
    """Change one weight of a file."""
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith(part))
    save_file(tensors | change(name, tensors[name]), file)


@pytest.mark.parametrize(("change", "said"), FOREIGN)
def test_weights_that_mean_something_else_are_refused_in_the_plan(place, model, change, said):
    spoil(model / UNET, change)
    line = refused(place)
    assert said in line
    assert str(model / UNET) in line
    spoil(model / "text_encoder/model.safetensors", change, "q_proj.weight")
    assert refused(place).count(said) == 2


@pytest.mark.parametrize(("change", "said"), FOREIGN)
def test_so_it_is_in_single_files(place, model, tmp_path, change, said):
    name = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"
    save_file(change(name, torch.ones(8, 8)), tmp_path / "whole.safetensors")
    file = tmp_path / "whole.safetensors"
    line = refused(place, f"model.path={file}", f"model.config={model}")
    assert "model.path: " in line
    assert said in line
    save_file(change("decoder.conv_in.weight", torch.ones(8, 8)), file)
    line = refused(place, f"model.vae={file}")
    assert "model.vae: " in line
    assert said in line


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module.", "_fsdp_wrapped_module."])
def test_a_wrappers_name_before_those_of_weights_is_refused_in_the_plan(
    place, model, tmp_path, wrapper
):
    """torch.compile and training on several devices leave it; loaders then find no weight."""
    for part in (UNET, "text_encoder/model.safetensors"):
        file = model / part
        save_file({wrapper + key: tensor for key, tensor in load_file(file).items()}, file)
        line = refused(place)
        assert f"{file}: holds weights under the name that a wrapper of training puts" in line
        assert f"save it again with '{wrapper}' taken out of every name" in line
    vae = tmp_path / "vae.safetensors"
    save_file({f"{wrapper}decoder.conv_in.weight": torch.ones(8, 8)}, vae)
    assert f"model.vae: {vae} holds weights under the name" in refused(place, f"model.vae={vae}")


def test_a_wrapper_within_is_named_too(place, model):
    """Training scripts compile single blocks."""
    tensors = load_file(model / UNET)
    renamed = {key.replace("mid_block.", "mid_block._orig_mod."): tensors[key] for key in tensors}
    assert renamed.keys() != tensors.keys()
    save_file(renamed, model / UNET)
    assert "(mid_block._orig_mod." in refused(place)


def test_plain_eight_bits_are_weights(place, model):
    """Files that were only rounded to float8 hold all that they mean."""
    tensors = load_file(model / UNET)
    save_file({k: t.to(torch.float8_e4m3fn) for k, t in tensors.items()}, model / UNET)
    assert place.render("+timeline=t", "mode=plan").code == 0


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("time_embedding.cond_proj.weight", "time_cond_proj_dim"),
        ("add_embedding.linear_1.weight", "addition_embed_type"),
        ("class_embedding.weight", "class_embed_type"),
    ],
)
def test_weights_that_a_config_has_no_place_for_are_refused_in_the_plan(place, model, name, key):
    save_file(load_file(model / UNET) | {name: torch.ones(8, 8)}, model / UNET)
    line = refused(place)
    assert f"{key} is not given, and the weights have {name}" in line
    assert "unet/config.json" in line


@pytest.mark.parametrize("name", [UNET, "model_index.json", "vae/config.json"])
def test_a_pointer_of_git_lfs_is_named(place, model, name):
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    line = refused(place)
    assert f"{model / name}: is only Git LFS's pointer" in line
    assert "git lfs pull" in line


@pytest.mark.parametrize("name", ["model_index.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_that_libraries_refuse_is_named(place, model, name, encoding):
    (model / name).write_text((model / name).read_text(), encoding=encoding)
    line = refused(place)
    assert f"{model / name}: begins with a byte order mark; save it as UTF-8" in line


@pytest.mark.parametrize("name", ["text_encoder", "tokenizer", "scheduler", "vae", "unet"])
def test_an_index_without_a_part_is_refused_in_the_plan(place, model, name):
    index = model / "model_index.json"
    written = json.loads(index.read_text())
    index.write_text(json.dumps(written | {name: [None, None]}))
    assert f"{index}: names no {name}, without which" in refused(place)
    index.write_text(json.dumps({key: value for key, value in written.items() if key != name}))
    assert f"{index}: names no {name}, without which" in refused(place)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("outer", "outer/inner"),
        ("models--me--mine", "models--me--mine/snapshots/abc"),
        ("outer/inner/unet", "outer/inner"),
        ("outer/inner/model_index.json", "outer/inner"),
    ],
)
def test_the_folder_that_is_meant_is_named(place, model, tmp_path, given, meant):
    for target in ("outer/inner", "models--me--mine/snapshots/abc"):
        shutil.copytree(model, tmp_path / target)
    place.model = tmp_path / given
    line = refused(place)
    assert f"{tmp_path / given} is no diffusers folder" in line
    assert f"did you mean {tmp_path / meant}?" in line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_lora_weights.safetensors", "model.loras="),
        ("dreamy.safetensors", "dreamy.safetensors meant"),
        ("README.md", "no diffusers folder"),
    ],
)
def test_a_folder_of_something_else_says_where_it_belongs(place, model, tmp_path, name, said):
    (tmp_path / "other").mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "other" / name)
    place.model = tmp_path / "other"
    assert said in refused(place)
    place.model = tmp_path / "flux-Q4.gguf"
    place.model.write_bytes(b"GGUF")
    assert "GGUF is not read" in refused(place)


def test_a_model_of_the_hub_says_how_it_is_given(place, model):
    name = "stabilityai/stable-diffusion-xl-base-1.0"
    place.model = name
    assert f"a model of the hub is model.repository={name}" in refused(place)
