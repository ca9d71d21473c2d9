"""Every key of the config changes pixels, or a file, or how it is computed; or it is refused where
it changes nothing. A key that stands in no table fails here: say which it is."""

import json
from pathlib import Path
from typing import get_args, get_origin

import numpy as np
import pytest
from films import composed, write_model
from pictures import same_pictures
from pydantic import BaseModel

from render.config.schema import RunConfig
from render.errors import ConfigError
from render.run.resolve import open_film

TESTS = Path(__file__).resolve().parent.parent
KEYFRAME = "timeline.keyframes.1"
ANCHORED = {"sampling.anchors": 2}

PIXELS = {
    "compute.dtype": "bfloat16",
    "compute.vae_tiling": True,
    "model.blend": "embedding",
    "model.clip_skip": 1,
    "model.dtype": "bfloat16",
    "model.guidance": 3.0,
    "model.height": 128,
    "model.long_prompts": True,
    "model.path": "another folder",
    "model.steps": 3,
    "model.variant": "fp16",
    "model.width": 128,
    "output.fps": 3,
    "output.height": 128,
    "output.width": 128,
    "sampling.anchors": 2,
    "sampling.blend": "embedding",
    "sampling.deep_cache": 2,
    "sampling.early_steps": 1.0,
    "sampling.every": 2,
    "sampling.fewer_steps": 0.5,
    "sampling.guidance": 3.0,
    "sampling.guidance_interval": [0, 0.5],
    "sampling.negative": "fog",
    "sampling.path": "smooth",
    "sampling.path_parts": 4,
    "sampling.seed": 5,
    "sampling.shrink": 2,
    "sampling.speed": "balanced",
    "sampling.trunk": 0.3,
    "scheduler.class": "DDIMScheduler",
    "scheduler.steps": 3,
    "timeline.duration": 3,
    "timeline.end": "open",
    "timeline.loop": True,
    f"{KEYFRAME}.at": 1.5,
    f"{KEYFRAME}.ease": "smooth",
    "timeline.curves.guidance": "2 + t",
    f"{KEYFRAME}.guidance": 3.0,
    f"{KEYFRAME}.negative": "fog",
    f"{KEYFRAME}.prompt": "A lake",
    f"{KEYFRAME}.seed": 7,
}
"""Keys with a value that makes other frames of `film`."""
FILES = {
    "model.name": "another",
    "name": "another",
    "output.chapters": True,
    "output.chroma": 444,
    "output.format": "gif",
    "output.quality": 50,
    "output.repeat": 2,
    "output.upscale": 2,
    "root": "elsewhere",
    "scheduler.name": "another",
    "timeline.name": "another",
}
"""Keys that change what lies where, or the video."""
COMPUTED = {
    "compute.batch": 2,
    "compute.device": "cpu",
    "compute.engine": "compiled",
    "compute.kernels": "stock",
    "compute.threads": 1,
    "mode": "plan",
    "model.multiple": 4,
    "page": False,
    "prune": "yes",
    "report": "json",
    "at": "2f",
    "frames": "0-2",
    "shard": "0/2",
}
"""Keys that change what is done at a time, where, or whether it may be."""
ELSEWHERE = {
    "compute.quantised": "run/test_memory_checks",
    "sampling.block_cache": "diffusion/test_block_cache",
    "model.controlnet": "models/test_controlnet_inputs",
    "model.embeddings": "models/test_components",
    "model.loras": "models/test_lora_files",
    "model.vae": "models/test_components",
    "model.upscaler": "run/test_finishing",
    "output.audio": "video/test_encode",
    "output.inbetween": "run/test_finishing",
    "output.rendered_fps": "run/test_finishing",
    "timeline.audio": "run/test_sounds",
    "timeline.bar": "timeline/test_clock",
    "timeline.curves.lora": "timeline/test_over_time",
    "timeline.curves.strength": "timeline/test_over_time",
    "timeline.offset": "timeline/test_clock",
    "timeline.pace": "run/test_smooth_films",
    "timeline.tempo": "timeline/test_clock",
    f"{KEYFRAME}.pace": "run/test_smooth_films",
    f"{KEYFRAME}.image": "diffusion/test_start_images",
    f"{KEYFRAME}.lora": "models/test_lora_files",
    f"{KEYFRAME}.strength": "diffusion/test_start_images",
}
"""Keys that need files of their own, and the tests that hold them to other pixels."""
WITH = {
    "sampling.early_steps": ANCHORED,
    "sampling.path_parts": {"sampling.path": "smooth"},
    "output.repeat": {"output.format": "gif"},
    "timeline.loop": {"timeline.duration": 3},
    "sampling.seed": {"timeline.keyframes.0.seed": None, "timeline.keyframes.2.seed": None},
}
"""Beside what else a key is set."""
REFUSED = [
    ("model.config", "elsewhere", {}, "goes with a single .safetensors file"),
    ("model.family", "FluxPipeline", {}, "StableDiffusionPipeline, which counts"),
    ("model.repository", "org/model", {}, "exclude each other"),
    ("model.revision", "main", {}, "a folder is known by its content"),
    ("compute.offload", "model", {}, "use compute.offload=none"),
    ("sampling.early_steps", 0.5, {}, "changes nothing without anchors"),
    ("sampling.guidance_interval", [0, 0.5], {"sampling.guidance": 1.0}, "no guidance at any"),
    ("output.quality", 50, {"output.format": "apng"}, "loses nothing"),
    ("output.quality", 50, {"output.format": "frames"}, "loses nothing"),
    ("output.chroma", 444, {"output.format": "gif"}, "goes with output=mp4"),
    ("input", "elsewhere", {}, "is measured without a timeline"),
    ("measure.keyframes", [1], {}, "the timeline has its own keyframes"),
    ("measure.lpips", "mine.safetensors", {}, "goes with mode=measure"),
    ("output.repeat", 2, {}, "can't say how often"),
    (f"{KEYFRAME}.strength", 0.5, {}, "no image stands here"),
]
"""Keys where they change nothing."""
FLUX_REFUSED = [
    ("flux", "scheduler.shift", 2.0, "use_dynamic_shifting is true"),
    ("flux", "scheduler.max_shift", 2.0, None),
    ("flux_schnell", "scheduler.max_shift", 2.0, "use_dynamic_shifting is false"),
    ("flux_schnell", "scheduler.base_shift", 0.7, "use_dynamic_shifting is false"),
    ("flux_schnell", "scheduler.shift", 2.0, None),
    ("flux_schnell", "model.guidance", 3.0, "takes no guidance"),
    ("flux_schnell", "sampling.guidance", 3.0, "takes no guidance"),
    ("flux2", "scheduler.max_shift", 2.0, "from size and steps alone"),
    ("flux2_klein", "model.guidance", 3.0, None),
    ("sana", "scheduler.use_dynamic_shifting", True, "hands its scheduler no shift"),
    ("sd3", "scheduler.shift", 2.0, None),
    ("sdxl", "scheduler.steps_offset", 3, "timestep_spacing is linspace"),
]
"""Families where a key changes nothing, and (None) others where it does."""


def keys_of(kind, path=""):
    """Every key of the config that holds a value, as dotted paths; keyframes are one."""
    for name, field in kind.model_fields.items():
        dotted = f"{path}{field.alias or name}"
        inner = field.annotation
        if get_origin(inner) is dict and issubclass(get_args(inner)[1], BaseModel):
            yield from keys_of(get_args(inner)[1], f"{dotted}.1.")
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys_of(inner, f"{dotted}.")
        else:
            yield dotted


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two model folders that hold different weights, as small as a number each."""
    root = tmp_path_factory.mktemp("models")
    one, other = write_model(root / "one"), write_model(root / "other")
    other_unet = json.loads((other / "unet" / "config.json").read_text())
    (other / "unet" / "config.json").write_text(json.dumps(other_unet | {"other": 1}))
    return one, other


def film(folders, tmp_path, changes):
    one, other = folders
    changes = {key: str(other) if value == "another folder" else value
               for key, value in changes.items()}  # fmt: skip
    return open_film(composed(one, tmp_path, changes), "", str)


def digests(opened):
    return [frame.digest for frame in opened.plan.frames]


def test_every_key_is_sorted():
    sorted_keys = {*PIXELS, *FILES, *COMPUTED, *ELSEWHERE, *(key for key, *_ in REFUSED)}
    assert sorted_keys == set(keys_of(RunConfig))


@pytest.mark.parametrize("key", PIXELS)
def test_a_key_that_changes_pixels_makes_other_frames(folders, tmp_path, key):
    beside = WITH.get(key, {})
    plain = digests(film(folders, tmp_path, beside))
    assert digests(film(folders, tmp_path, {**beside, key: PIXELS[key]})) != plain


@pytest.mark.parametrize("key", [*FILES, *COMPUTED])
def test_a_key_that_changes_no_pixels_makes_the_same_frames(folders, tmp_path, key):
    value = {**FILES, **COMPUTED}[key]
    value = str(tmp_path / value) if key == "root" else value
    opened = film(folders, tmp_path, {**WITH.get(key, {}), key: value})
    assert digests(opened) == digests(film(folders, tmp_path, {}))


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_key_that_needs_files_is_tested_beside_them(key):
    assert key.rpartition(".")[2] in (TESTS / f"{ELSEWHERE[key]}.py").read_text()


@pytest.mark.parametrize(("key", "value", "beside", "said"), REFUSED)
def test_a_key_is_refused_where_it_changes_nothing(folders, tmp_path, key, value, beside, said):
    with pytest.raises(ConfigError) as refused:
        film(folders, tmp_path, {**beside, key: value})
    assert said in str(refused.value)


@pytest.mark.filterwarnings("ignore:`FluxPosEmbed`:FutureWarning")
@pytest.mark.parametrize(("family", "key", "value", "said"), FLUX_REFUSED)
def test_so_it_is_in_other_families(family_folder, tmp_path, family, key, value, said):
    config = composed(family_folder(family), tmp_path, {key: value})
    if said is not None:
        with pytest.raises(ConfigError) as refused:
            open_film(config, "", str)
        (line,) = str(refused.value).splitlines()
        assert line.startswith(f"{key}: ")
        assert said in line
        return
    plain = open_film(composed(family_folder(family), tmp_path), "", str)
    assert digests(open_film(config, "", str)) != digests(plain)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampling.seed": 5}, "sampling.seed=5 changes nothing"),
        ({"sampling.guidance": 2.0, "timeline.keyframes.0.guidance": 3,
          "timeline.keyframes.1.guidance": 3, "timeline.keyframes.2.guidance": 3},
         "sampling.guidance changes nothing"),
        ({"sampling.negative": "fog", "timeline.keyframes.0.negative": "",
          "timeline.keyframes.1.negative": "", "timeline.keyframes.2.negative": ""},
         "sampling.negative changes nothing"),
    ],
)  # fmt: skip
def test_a_fallback_that_nothing_falls_back_to_is_reported(folders, tmp_path, changes, said):
    assert any(said in warning for warning in film(folders, tmp_path, changes).plan.warnings)
    plain = film(folders, tmp_path, {}).plan.warnings
    assert not any("changes nothing" in warning for warning in plain)


def test_a_model_without_guidance_makes_the_same_frames_at_any(family_folder, tmp_path):
    folder, found = family_folder("flux_schnell"), []
    for scale in (None, 0, 1):
        config = composed(folder, tmp_path, {"model.guidance": scale})
        found.append(digests(open_film(config, "", str)))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(set(PIXELS) - {"model.path", "model.variant"}))
def test_other_frames_are_other_pixels(place, key):
    """The long form: what has another digest has other pixels."""
    rooms = {"compute.vae_tiling": ["output.width=256", "output.height=256"]}
    long = {"model.long_prompts": "a castle " * 20}.get(key, "one")
    frames = [{"at": 0, "prompt": long}, {"at": 1, "prompt": "two"}, {"at": 2, "prompt": "three"}]
    place.timeline("t", frames)
    beside = [f"{name}={value}" for name, value in WITH.get(key, {}).items() if value is not None]
    beside += rooms.get(key, [])
    spelled = json.dumps(PIXELS[key]) if not isinstance(PIXELS[key], str) else PIXELS[key]
    assert place.render("+timeline=t", "output=frames", *beside).code == 0
    ended = place.render("+timeline=t", "output=frames", "name=u", *beside, f"{key}={spelled}")
    assert ended.code == 0, ended.err
    one, other = place.pictures("t"), place.pictures("u")
    assert not same_pictures(one, other)
    assert all(isinstance(picture, np.ndarray) for picture in (*one, *other))
