"""A model that is too big for the memory says so before it is loaded, with what would fit."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from render.config.schema import ComputeConfig
from render.diffusion.components import assembled
from render.diffusion.pipeline import load_pipeline
from render.errors import ConfigError
from render.kernels.patches import Patches
from render.models import memory_budget
from render.models.families import FAMILIES
from render.models.memory_budget import (
    UNKNOWN_MEMORY,
    available_memory,
    check_fits,
    weight_counts,
    whole_memory,
)
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.run import memory_checks

SD = FAMILIES["StableDiffusionPipeline"]
PLENTY = 1 << 50
UNET = "diffusion_pytorch_model.safetensors"


def source(folder, **more):
    return ModelSource(folder, None, None, None, None, **more)


def refused(folder, dtype="float32", gpu=None, quantisable=True, **compute):
    """The line that refuses a model, or None."""
    config = ComputeConfig.model_validate(compute)
    try:
        check_fits(source(folder), folder, SD, dtype, config, gpu, quantisable)
    except ConfigError as error:
        (line,) = str(error).splitlines()
        return line
    return None


@pytest.fixture
def free(monkeypatch):
    """Says how much main memory is free."""
    return lambda size: monkeypatch.setattr(memory_budget, "available_memory", lambda: size)


@pytest.fixture
def counts(tiny_sd1):
    return weight_counts(source(tiny_sd1), tiny_sd1, SD)


# --- what a model takes --------------------------------------------------------------------------


def test_the_headers_say_what_is_loaded(tiny_sd1, counts):
    pipeline = assembled(source(tiny_sd1), tiny_sd1, SD, torch.float32, Patches())
    parts = ("unet", "vae", "text_encoder")
    real = {part: sum(w.numel() for w in getattr(pipeline, part).parameters()) for part in parts}
    assert {part: counts[part] for part in parts} == real
    assert sum(counts.values()) == sum(real.values())


def test_of_several_precisions_one_is_counted(tiny_sd1, counts, tmp_path):
    folder = shutil.copytree(tiny_sd1, tmp_path / "model")
    shutil.copy(folder / "unet" / UNET, folder / "unet" / UNET.replace(".", ".fp16.", 1))
    assert weight_counts(source(folder), folder, SD) == counts


def test_a_single_files_copies_are_not_counted(tiny_sd1, tmp_path):
    weights = load_file(tiny_sd1 / "unet" / UNET)
    save_file(weights, tmp_path / "plain.safetensors")
    weights |= {f"model_ema.{name}": weight.clone() for name, weight in weights.items()}
    save_file(weights, tmp_path / "ema.safetensors")
    both = [
        weight_counts(source(tiny_sd1, file=tmp_path / f"{name}.safetensors"), tiny_sd1, SD)
        for name in ("plain", "ema")
    ]
    assert both[0] == both[1]


# --- what is refused -----------------------------------------------------------------------------


def test_a_model_that_fits_exactly_is_loaded(tiny_sd1, free, counts):
    free(4 * sum(counts.values()))
    assert refused(tiny_sd1) is None
    free(4 * sum(counts.values()) - 1)
    assert refused(tiny_sd1).startswith(f"model: the weights of {tiny_sd1} take ")


def test_what_would_fit_is_reported(tiny_sd1, free, counts):
    total, unet = sum(counts.values()), counts["unet"]
    free(2 * total)
    assert "what would fit: compute.dtype=bfloat16 (" in refused(tiny_sd1)
    free(2 * total - 1)
    assert "what would fit: compute.quantised=int8 (" in refused(tiny_sd1)
    assert "what would fit: compute.quantised=int8 (" in refused(tiny_sd1, "bfloat16")
    assert "what would fit: a smaller model" in refused(tiny_sd1, quantisable=False)
    free(2 * total - unet)
    line = refused(tiny_sd1)
    assert "what would fit: compute.dtype=bfloat16 compute.quantised=int8 (" in line
    free(2 * total - unet - 1)
    assert refused(tiny_sd1).endswith("what would fit: a smaller model (model=storybook)")


def test_offloading_is_the_way_out_of_a_small_gpu(tiny_sd1, free, counts):
    free(PLENTY)
    largest = 2 * max(counts.values())
    line = refused(tiny_sd1, "float16", largest)
    assert "of the GPU's memory as float16" in line
    assert "what would fit: compute.offload=model (" in line
    assert refused(tiny_sd1, "float16", largest, offload="model") is None
    line = refused(tiny_sd1, "float16", largest - 1, offload="model")
    assert "what would fit: compute.offload=sequential" in line
    assert refused(tiny_sd1, "float16", 1, offload="sequential") is None


def test_a_huge_model_is_refused_before_it_is_read(tiny_sd1, tmp_path):
    folder = shutil.copytree(tiny_sd1, tmp_path / "model")
    size = 1 << 40
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"weight": entry}).encode()
    with (folder / "unet" / UNET).open("wb") as file:  # a hole, no data
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    recipe = Recipe("tiny", "model", {}, 2, 64, 64, "float32", "noise")
    with pytest.raises(ConfigError, match=r"^model: the weights of .* take 1099\.5 GB of main"):
        load_pipeline(source(folder), recipe, "cpu")


def test_the_command_ends_with_one_line_and_code_2(place, free, monkeypatch):
    monkeypatch.setattr(memory_checks, "available_memory", lambda: PLENTY)  # room for torch itself
    free(1000)
    ended = place.render("+timeline=t", "compute=cpu")
    assert ended.code == 2
    (line,) = [line for line in ended.err.splitlines() if "the weights of" in line]
    assert "0.0 GB are free; what would fit: a smaller model" in line


# --- what is free --------------------------------------------------------------------------------


MEMINFO = "MemTotal: 900 kB\nMemAvailable: 500 kB\nSwapFree: 100 kB\n"


def group(root, place, limit, used, stat="active_file 0\ninactive_file 0\n", version=2):
    names = ("memory.max", "memory.current")
    names = names if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    folder = root / "sys/fs/cgroup" / place
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip((*names, "memory.stat"), (limit, used, stat), strict=True):
        (folder / name).write_text(str(text))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/a/b\n")
    return tmp_path


def test_free_is_what_the_machine_has(root, tmp_path):
    assert available_memory(root) == 600 * 1024
    group(root, ".", "max", 7)
    assert available_memory(root) == 600 * 1024
    assert available_memory(tmp_path / "no linux") is None


@pytest.mark.parametrize("place", [".", "a", "a/b"])
def test_a_containers_limit_counts(root, place):
    group(root, place, 5000, 3000)
    assert available_memory(root) == 2000
    group(root, place, 5000, 3000, "active_file 300\ninactive_file 200\n")
    assert available_memory(root) == 2500
    group(root, "other", 10, 3)
    assert available_memory(root) == 2500


def test_an_older_containers_limit_counts(root):
    group(root, "memory", 5000, 3000, "total_active_file 1\ntotal_inactive_file 2\n", version=1)
    assert available_memory(root) == 2003


def test_the_whole_is_the_machines_or_the_containers(root, monkeypatch):
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group(root, ".", "max", 7)
    assert whole_memory(root) == pages
    group(root, "a", 5000, 3000)
    group(root, "other", 10, 3)
    assert whole_memory(root) == 5000
    monkeypatch.delattr(os, "sysconf")
    assert (whole_memory(root), whole_memory(root / "none")) == (5000, UNKNOWN_MEMORY)
