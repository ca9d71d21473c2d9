"""Pictures of A1111, Forge and ComfyUI, made here with the texts that these tools write."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import pytest
from imported_files import FileKind
from PIL import Image, PngImagePlugin

NOISE = "the very picture: a seed gives other noise in other programs"
A1111 = """\
a castle on a hill, (misty:1.2),
by night <lora:paint:0.8>
Negative prompt: fog,
text
Steps: 20, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 7.5, Seed: 965400086, \
Size: 512x768, Model hash: 45dee52b, Model: dream, Hires upscale: 2, Lora hashes: "a: 1, b: 2", \
Version: v1.10.1"""
NODES: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1071208483241017,
            "steps": 30,
            "cfg": 5.45,
            "sampler_name": "euler_ancestral",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "A castle", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "is_changed": [float("nan")]}},
}

KIND = FileKind("png", "picture.png", named=False)
error, attempted = KIND.error, KIND.attempted


def film(content):
    """The film of a picture, which has one keyframe."""
    found = KIND.film(content)
    assert len(found.keyframes) == 1
    return found


def png(**texts: str) -> bytes:
    """A PNG with texts."""
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text) if text.isascii() else info.add_itxt(key, text)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def nodes(**changes: Any) -> str:
    """The graph with other inputs, `n3_seed=1` is the seed of node 3, or other nodes, `n6={…}`."""
    graph = json.loads(json.dumps(NODES))
    for name, value in changes.items():
        node, _, key = name.removeprefix("n").partition("_")
        if key:
            graph[node]["inputs"][key] = value
        else:
            graph[node] = value
    return json.dumps(graph)


def test_a_picture_of_a1111() -> None:
    found = film(png(parameters=A1111))
    assert dict(found.keyframes[0]) == {
        "at": 0,
        "prompt": "a castle on a hill, (misty:1.2), by night",
        "seed": 965400086,
    }
    assert found.settings == {
        "scheduler": "dpmpp_2m",
        "scheduler.steps": 20,
        "scheduler.use_karras_sigmas": True,
        "sampling.guidance": 7.5,
        "sampling.negative": "fog, text",
        "output.width": 512,
        "output.height": 768,
    }
    assert list(found.lost) == [
        "<lora:paint:0.8> in the prompt: name its file in model.loras, and its weight in a "
        "keyframe's lora",
        "brackets in the prompt: they are read as they are and weigh no words",
        "Model: dream; give its file or folder: model=local model.path=FILE",
        "Hires upscale: 2",
        "Lora hashes: a: 1, b: 2",
        NOISE,
    ]


@pytest.mark.parametrize(
    ("sampler", "scheduler", "karras"),
    [
        ("Euler a", "euler_a", False),
        ("Euler, Schedule type: Karras", "euler", True),
        ("DPM++ 2M Karras", "dpmpp_2m", True),
        ("DPM++ 2M", "dpmpp_2m", False),  # of versions without a schedule type
        ("PLMS", "pndm", False),
        ("UniPC, Schedule type: Automatic", "unipc", False),
        ("DPM++ SDE", None, False),
    ],
)
def test_samplers_of_a1111(sampler: str, scheduler: str | None, karras: bool) -> None:
    text = f"A hill\nSteps: 20, Sampler: {sampler}, CFG scale: 7, Seed: 1"
    found = film(png(parameters=text))
    assert found.settings.get("scheduler") == scheduler
    assert found.settings.get("scheduler.use_karras_sigmas", False) == karras
    unknown = [f"Sampler: {sampler}: there is no such scheduler here"]
    assert list(found.lost) == [*([] if scheduler else unknown), NOISE]


def test_composed_texts_of_a1111_scale_the_guidance() -> None:
    """It adds 7 × (1 × first + 0.5 × second), which is 10.5 × (2/3 first + 1/3 second)."""
    text = "a hill AND a town :0.5\nSteps: 20, CFG scale: 7, Seed: 1, Size: 65x64"
    found = film(png(parameters=text))
    assert found.keyframes[0]["prompt"] == {"a hill": 1.0, "a town": 0.5}
    assert found.settings["sampling.guidance"] == 10.5
    assert found.settings["output.width"] == 64
    assert "the width of 65: sides are multiples of 8 here, so 64" in found.lost


def test_a_jpeg_and_a_webp_of_a1111_by_their_exif_data() -> None:
    """It writes UTF-16 with the greater byte first; render's own WebPs have it the other way."""
    for kind in ("JPEG", "WEBP"):
        for coding in ("utf-16-be", "utf-16-le"):
            exif = Image.Exif()
            text = "ü hill\nSteps: 20, CFG scale: 7, Seed: 1".encode(coding)
            exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text
            stream = io.BytesIO()
            Image.new("RGB", (8, 8)).save(stream, kind, exif=exif)
            assert film(stream.getvalue()).keyframes[0]["prompt"] == "ü hill"


def test_a_picture_of_comfyui() -> None:
    found = film(png(prompt=nodes(), workflow="{}"))
    assert dict(found.keyframes[0]) == {
        "at": 0,
        "prompt": "A castle",
        "seed": 1071208483241017,
    }
    assert found.settings == {
        "scheduler": "euler_a",
        "scheduler.steps": 30,
        "sampling.guidance": 5.45,
        "sampling.negative": "fog",
        "output.width": 512,
        "output.height": 640,
    }
    assert list(found.lost) == [
        "model dream.safetensors; give its file or folder: model=local model.path=FILE",
        NOISE,
    ]


def test_values_and_texts_in_nodes_of_their_own() -> None:
    found = film(
        png(
            prompt=nodes(
                n3_seed=["20", 0],
                n3_positive=["21", 0],
                n3_sampler_name="dpmpp_2m",
                n3_scheduler="karras",
                n20={"class_type": "PrimitiveInt", "inputs": {"value": 42}},
                n21={"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0]}},
                n6_text=["22", 0],
                n22={"class_type": "PrimitiveString", "inputs": {"value": "A lake"}},
            )
        )
    )
    assert dict(found.keyframes[0]) == {"at": 0, "prompt": "A lake", "seed": 42}
    assert found.settings["scheduler.use_karras_sigmas"] is True
    assert "nodes that render does not have: ControlNetApply" in found.lost


def test_the_first_of_two_samplers_counts_and_combined_texts_are_blended() -> None:
    second = {**NODES["3"]["inputs"], "seed": 5, "denoise": 0.5, "latent_image": ["3", 0]}
    both = {"conditioning_1": ["6", 0], "conditioning_2": ["31", 0]}
    found = film(
        png(
            prompt=nodes(
                n1={"class_type": "KSampler", "inputs": second},
                n3_positive=["30", 0],
                n30={"class_type": "ConditioningCombine", "inputs": both},
                n31={"class_type": "CLIPTextEncode", "inputs": {"text": "A town"}},
            )
        )
    )
    assert found.keyframes[0]["prompt"] == {"A castle": 1.0, "A town": 1.0}
    assert found.keyframes[0]["seed"] == 1071208483241017
    assert "further samplers, which go on from the picture: 1" in found.lost


def test_a_sampler_whose_settings_are_in_nodes_of_their_own() -> None:
    """As the templates for Flux have it."""
    parts = {
        "noise": {"class_type": "RandomNoise", "inputs": {"noise_seed": 9}},
        "guider": {"class_type": "BasicGuider", "inputs": {"conditioning": ["6", 0]}},
        "sampler": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "heun"}},
        "sigmas": {"class_type": "BasicScheduler", "inputs": {"steps": 4, "scheduler": "simple"}},
    }
    links = {name: [name, 0] for name in parts} | {"latent_image": ["5", 0]}
    graph = {name: NODES[name] for name in ("4", "5", "6")} | parts
    graph["13"] = {"class_type": "SamplerCustomAdvanced", "inputs": links}
    found = film(png(prompt=json.dumps(graph)))
    assert dict(found.keyframes[0]) == {"at": 0, "prompt": "A castle", "seed": 9}
    assert found.settings["scheduler"] == "heun"
    assert found.settings["scheduler.steps"] == 4
    assert "scheduler: simple, which is another way to choose its steps" in found.lost


def test_a_distilled_model_has_its_guidance_in_a_node_and_zeros_are_no_text() -> None:
    """As a template for Flux has it: a scale of 1, and a negative text that is made of zeros."""
    found = film(
        png(
            prompt=nodes(
                n3_cfg=1,
                n3_positive=["40", 0],
                n3_negative=["41", 0],
                n40={"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "c": ["6", 0]}},
                n41={"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}},
            )
        )
    )
    assert found.keyframes[0]["prompt"] == "A castle"
    assert found.settings["sampling.guidance"] == 3.5
    assert "sampling.negative" not in found.settings
    assert not any("nodes that" in one for one in found.lost)


def test_a_long_prompt_and_many_nodes() -> None:
    notes = {f"n{k}": {"class_type": "Note", "inputs": {"text": "x"}} for k in range(100, 1000)}
    found = film(png(prompt=nodes(**notes, n6_text="word " * 10_000)))
    assert len(str(found.keyframes[0]["prompt"])) == 49_999


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("n3_seed", "x", "seed: 'x' is no number that can be used"),
        ("n3_seed", 2**70, f"seed: '{2**70}' is no number that can be used"),
        ("n3_steps", 1e308, "steps: '1e+308' is no number that can be used"),
        ("n3_cfg", 101, "guidance: '101' is no number that can be used"),
        ("n5_width", -8, "width: '-8' is no number that can be used"),
    ],
)
def test_a_value_that_can_not_be_used_is_named(name: str, value: object, said: str) -> None:
    assert said in film(png(prompt=nodes(**{name: value}))).lost


STRANGE = [None, [], {}, 3, "x", True, [1, 2, 3], ["3", 0], ["99", 0], [["3"], 0], {"a": []}, 1e300]


@pytest.mark.parametrize("value", STRANGE)
def test_wrong_types_anywhere_never_end_in_a_traceback(value: object) -> None:
    changes = [{f"n{node}": value} for node in NODES]
    changes += [{f"n{node}_{key}": value} for node in NODES for key in NODES[node]["inputs"]]
    changes += [{f"n{node}": {"class_type": value, "inputs": value}} for node in NODES]
    for change in changes:
        assert "\n" not in attempted(png(prompt=nodes(**change)))


def bomb() -> bytes:
    """A PNG whose header says 60,000 × 60,000 pixels, with a text that grows a thousandfold."""
    packed = zlib.compress(bytes(50_000_000))
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"zTXt", b"parameters\0\0" + packed), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + data))
        whole += struct.pack(">I", len(data)) + name + data + crc
    return whole


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(), "picture.png: does not say how it was made"),
        (png(parameters="A hill"), "picture.png: does not say how it was made"),
        (png(prompt="[" * 10_000), "picture.png: does not say how it was made"),
        (png(prompt="{}"), "picture.png: does not say how it was made"),
        (png(parameters="Steps: 20, CFG scale: 7, Seed: 1"), "picture.png: says how it was made"),
        (png(prompt=nodes(n6_text="")), "picture.png: says how it was made, but its prompt is"),
        (b"\x89PNG\r\n\x1a\nnothing", "picture.png: can't be read as a picture"),
        (b"\xff\xd8\xff" + bytes(100), "picture.png: can't be read as a picture"),
        (b"RIFF\x10\0\0\0WEBPVP8 \0\0", "picture.png: can't be read as a picture"),
        (bomb(), "picture.png: can't be read as a picture"),
        (
            png(**{"render:digest": "0", "parameters": A1111}),
            "picture.png: was made by render itself; render from picture.png makes it again",
        ),
    ],
)
def test_a_picture_that_can_not_be_imported(content: bytes, said: str) -> None:
    assert error(content).startswith(said)


def test_half_letters_and_controls_are_no_part_of_a_prompt() -> None:
    found = film(png(prompt=nodes(n6_text="a \ud800\x00\x1b[31m hill 👩‍🎨")))
    assert found.keyframes[0]["prompt"] == "a [31m hill 👩‍🎨"
