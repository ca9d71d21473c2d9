"""S13: a model's folder and pictures from anywhere: pipes, devices, sparse and lying files, bombs.

Each is refused, or looked at, in bounded time and memory while the film is planned."""

import itertools
import json
import shutil
import struct

import numpy as np
import pytest
import torch
from films import write_model
from outside import tree
from PIL import Image
from safetensors.numpy import save_file
from things import pipe

FILM = [{"at": 0, "prompt": "a" * 40, "seed": 1}]
LOCAL = ("+timeline=t", "model=local", "model.steps=2", "model.guidance=7.5", "model.path=model")
SECONDS, MEGABYTES = 8, 500  # of a CPU; a plan of this model takes 1 and 100
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(calls):
    calls.site.timeline("t", FILM)
    folder = write_model(calls.site.here / "model")
    yield folder
    shutil.rmtree(folder)


def planned(calls, *more, code=2):
    """The plan's words; bounded, without torch, and with nothing written if it is refused."""
    before = tree(calls.site.here) if code else {}
    answer = calls(*LOCAL, "mode=plan", *more)
    assert answer.code == code, answer.err
    assert answer.cpu < SECONDS
    assert answer.megabytes < MEGABYTES
    assert not answer.modules
    assert "bug in render" not in answer.err
    if code:
        assert tree(calls.site.here) == before
    return answer.err


def device(path):
    path.symlink_to("/dev/zero")


def sparse(path):
    with path.open("wb") as stream:
        stream.truncate(4 << 30)


def deep(path):
    path.write_text("[" * 100_000)


def circle(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [pipe, device, sparse, deep, circle])
@pytest.mark.parametrize(
    "place",
    ["x_config.json", "unet/more_config.json", "vae/config.json", "tokenizer/tokenizer.json",
     "tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json",
     "unet/diffusion_pytorch_model.safetensors.index.json", "model_index.json"],
)  # fmt: skip
def test_only_regular_files_of_a_usual_size_are_read(calls, model, place, make):
    path = model / place
    path.unlink(missing_ok=True)
    make(path)
    assert str(path.parent.relative_to(calls.site.here)) in planned(calls)
    path.unlink()


@pytest.mark.parametrize("make", [pipe, device, sparse])
@pytest.mark.parametrize("place", [WEIGHTS, "unet/notes.txt", "vae/x.safetensors"])
def test_nor_are_others_hashed(calls, model, place, make):
    (model / place).unlink(missing_ok=True)
    make(model / place)
    planned(calls)
    (model / place).unlink()


@pytest.mark.parametrize("make", [pipe, device, sparse])
def test_nor_in_the_folder_of_another_vae(calls, model, make):
    vae = shutil.copytree(model / "vae", calls.site.here / "vae")
    (vae / "diffusion_pytorch_model.safetensors").unlink()
    make(vae / "diffusion_pytorch_model.safetensors")
    planned(calls, "model.vae=vae")
    shutil.rmtree(vae)


def header(path, tensors, size=0):
    """A safetensors file with this header and so many zeros behind it."""
    content = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(content)) + content)
        stream.truncate(8 + len(content) + size)


def tensor(shape, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}


LIES = {
    "too long": lambda path: path.write_bytes(struct.pack("<Q", 1 << 40) + b"{}"),
    "90 MB": lambda path: header(path, b"{" + b" " * 90_000_000 + b"}"),
    "larger": lambda path: header(path, {"a": tensor([1 << 40], 4 << 40)}, 4),
    "huge": lambda path: header(path, {"a": tensor([1 << 62, 1 << 62], 4)}, 4),
    "backwards": lambda path: header(path, {"a": {**tensor([1], 4), "data_offsets": [4, 0]}}, 4),
    "deep": lambda path: header(path, b"[" * 1_000_000),
    "sparse": lambda path: header(path, {"a": tensor([1 << 40], 4 << 40)}, 4 << 40),
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_of_weights_that_lie_are_refused(calls, model, lie):
    LIES[lie](model / WEIGHTS)
    assert WEIGHTS in planned(calls)


def test_a_header_of_very_many_tensors_is_bounded(calls, model):
    many = json.dumps({f"t{number}": tensor([0], 0) for number in range(50_000)}).encode()
    for place in range(6):
        header(model / "unet" / f"{place}.safetensors", many)
    assert "model/unet: has headers of " in planned(calls)


def test_a_folder_of_very_many_files_is_no_model(calls, model):
    (model / "unet" / "deep").mkdir()
    for number in range(10_001):
        (model / "unet" / "deep" / f"{number}.json").touch()
    answer = calls(*LOCAL, "mode=plan")
    assert answer.code == 2
    assert "holds more than 10,000 files; give the folder of one model" in answer.err
    assert answer.cpu < SECONDS


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("vae/config.json", {"block_out_channels": 7}),
        ("vae/config.json", {"block_out_channels": [8] * 5000}),
        ("vae/config.json", {"temperal_downsample": "abc"}),
        ("unet/config.json", {"sample_size": 10**30}),
        ("unet/config.json", {"sample_size": "64"}),
        ("unet/config.json", {"cross_attention_dim": {"a": 1}}),
        ("unet/config.json", {"time_cond_proj_dim": []}),
        ("text_encoder/config.json", {"vocab_size": "many"}),
        ("text_encoder/config.json", {"max_position_embeddings": -1}),
        ("scheduler/scheduler_config.json", {"_class_name": ["A", "B"]}),
    ],
)
def test_settings_of_another_kind_are_named_with_their_key(calls, model, place, settings):
    path = model / place
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    said = planned(calls, "model.clip_skip=1", "scheduler.steps=3")
    assert f"model/{place}: {next(iter(settings))}: " in said


def test_a_list_of_very_many_words_is_not_searched_for_the_nearest(calls, model):
    words = ("".join(letters) for letters in itertools.product("abcdefghijk", repeat=5))
    (model / "words.txt").write_text("\n".join(words))
    strange = " ".join("".join(letters) for letters in itertools.product("lmnop", repeat=4))
    texts = [f"{strange} {number}" for number in range(9)]
    calls.site.timeline("t", [{"at": k, "prompt": text} for k, text in enumerate(texts)])
    answer = calls(*LOCAL, "mode=plan")
    assert answer.code == 0, answer.err
    assert "never learnt 'llll', 'lllm'" in answer.err + answer.out
    assert answer.cpu < SECONDS


@pytest.mark.parametrize("kind", ["PNDMScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_timesteps_that_would_fill_the_memory_are_refused(calls, model, kind):
    path = model / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": kind, "num_train_timesteps": 10**9}))
    said = planned(calls)
    assert "num_train_timesteps: 1,000,000,000 are more timesteps than any model" in said


def tokenizer(folder, **rules):
    path = folder / "tokenizer" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | rules))


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def growing(times, by=100):
    content = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * by}
    return {"type": "Sequence", "normalizers": [content] * times}


@pytest.mark.parametrize(
    "rules",
    [
        {"pre_tokenizer": split("(a+)+b")},
        {"pre_tokenizer": split("[x](a|a)*b")},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(r"\[(a+)+[b]")]}},
        {"pre_tokenizer": split("((a{999}){999}){999}")},
        {"pre_tokenizer": split("a?" * 5000)},
        {"normalizer": growing(5)},
        {"normalizer": growing(300, 1)},
        {"normalizer": {"type": "Prepend", "prepend": "a" * 10_000_000}},
    ],
    ids=lambda rules: json.dumps(rules)[:60],
)
def test_tokenizers_that_never_end_are_refused(calls, model, rules):
    tokenizer(model, **rules)
    assert "model/tokenizer/tokenizer.json: has " in planned(calls)


def test_the_rules_of_known_tokenizers_are_read(calls, model):
    llama = (
        r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)"
    )
    tokenizer(model, pre_tokenizer=split(llama), normalizer=growing(1, 3))
    planned(calls, code=0)


def gif(path):
    """100,000 pictures of one pixel."""
    frame = b"\x21\xf9\x04\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    path.write_bytes(b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 100_000 + b";")


def large_png(path):
    Image.new("LA", (8192, 8192), (0, 128)).save(path, "PNG", compress_level=1)


def too_large_png(path):
    Image.new("RGBA", (9390, 9390)).save(path, "PNG", compress_level=1)


@pytest.mark.parametrize(
    ("make", "code"), [(gif, 0), (large_png, 0), (too_large_png, 2)], ids=["gif", "67", "88"]
)
def test_large_pictures_are_planned_in_bounded_memory(calls, make, code):
    image = calls.site.here / "start.img"
    make(image)
    calls.site.timeline("t", [FILM[0] | {"image": str(image)}])
    answer = calls("+timeline=t", "mode=plan")
    assert answer.code == code, answer.err
    assert answer.megabytes < 1.2 * 1024
    assert answer.cpu < SECONDS
    if code:
        assert "has 9390 × 9390 pixels, more than 67,108,864; save it smaller" in answer.err
    image.unlink()


def compact(factor, features=2):
    """The weights of a Compact upscaler that makes pictures so many times as large."""
    shapes = [(features, 3), (3 * factor**2, features)]
    sized = {"body.1.weight": np.zeros(features, np.float16)}
    for place, (after, before) in zip((0, 2), shapes, strict=True):
        sized[f"body.{place}.weight"] = np.zeros((after, before, 3, 3), np.float16)
        sized[f"body.{place}.bias"] = np.zeros(after, np.float16)
    return sized


@pytest.mark.parametrize("factor", [0, 9, 64])
def test_an_upscaler_of_no_usual_factor_is_refused(calls, model, factor):
    save_file(compact(factor), calls.site.here / "up.safetensors")
    said = planned(calls, "output.upscale=up.safetensors")
    assert f"makes pictures {factor} times as large, not 1 to 8; give another file" in said


def test_an_upscaler_of_another_factor_than_a_received_memory_says_makes_no_picture():
    """Its pictures would be the corners of larger ones."""
    from render.engines.enlarging import in_tiles
    from render.errors import EncodeError

    def four_times(picture):
        return picture.repeat_interleave(4, -1).repeat_interleave(4, -2)

    assert in_tiles(four_times, torch.rand(1, 3, 8, 8), 4, "cpu", None).shape[-1] == 32
    with pytest.raises(EncodeError, match=r"not 2 times as large; remove upscalers\.json"):
        in_tiles(four_times, torch.rand(1, 3, 8, 8), 2, "cpu", None)
