"""Little memory: offloading changes no pixel, what changes pixels is in the identity."""

import numpy as np
import pytest
import torch
from films import composed

from render.config.schema import ComputeConfig
from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.run import memory_checks, mistakes
from render.run.memory_checks import memory_mistakes
from render.run.resolve import open_film
from render.timeline.spec import FrameSpec

SIDE = 64


@pytest.fixture
def film(tiny_sd1, tmp_path):
    """The film of the tiny model with such keys of `compute`."""

    def film(**compute):
        changes = {f"compute.{key}": value for key, value in compute.items()}
        return open_film(composed(tiny_sd1, tmp_path / "out", changes), "", str)

    return film


def refused(film, **compute):
    with pytest.raises(ConfigError) as error:
        film(**compute)
    return str(error.value).splitlines()


def spec(text):
    return FrameSpec(((text, 0.5), ("snow", 0.5)), (("", 1.0),), ((1, 1.0),), 3.0)


def pictures(folder, side=SIDE, **compute):
    """Three pictures, in two calls of the pipeline."""
    recipe = Recipe("tiny", "model", {}, 2, side, side, "float32", "noise")
    source = ModelSource(folder, None, None, None, None)
    config = ComputeConfig.model_validate(compute)
    diffusion = open_diffusion(source, recipe, "cpu", compute=config)

    def rendered(*texts):
        return diffusion.render([spec(text) for text in texts], lambda done, total: None).all()

    return np.stack([*rendered("a castle", "a forest"), *rendered("a lake")])


# --- offloading ----------------------------------------------------------------------------------


@pytest.fixture
def to_the_cpu(monkeypatch):
    """Accelerate's layer-by-layer offloading to where the weights are, which it takes for a GPU
    only if the device has no number."""
    accelerate = pytest.importorskip("accelerate")
    stock, cpu = accelerate.cpu_offload, torch.device("cpu")
    monkeypatch.setattr(accelerate, "cpu_offload", lambda net, _, **more: stock(net, cpu, **more))


@pytest.mark.parametrize("name", ["sd1", "sd3"])
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_changes_no_pixel(
    tiny_sd1, family_folder, to_the_cpu, monkeypatch, name, offload
):
    monkeypatch.setattr("render.engines.layer_kernels.Opened.on_cpu", False)  # as with a GPU
    folder, side = (tiny_sd1, SIDE) if name == "sd1" else (family_folder(name), 16)
    assert np.array_equal(pictures(folder, side, offload=offload), pictures(folder, side))


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_without_a_gpu_is_refused(film, offload):
    (line,) = refused(film, offload=offload)
    assert line.startswith(f"compute.offload: {offload}: parts would wait in main memory")
    assert line.endswith("but this run is on cpu; use compute.offload=none")


def test_offloading_is_no_part_of_the_identity(film, monkeypatch):
    allowed = tuple(check for check in mistakes.CHECKS if check is not memory_mistakes)
    monkeypatch.setattr(mistakes, "CHECKS", allowed)
    assert film(offload="model").plan.digest == film().plan.digest


# --- what changes pixels -------------------------------------------------------------------------


def test_tiles_of_the_vae_are_other_pixels_of_another_identity(tiny_sd1, film):
    plain, tiled = pictures(tiny_sd1, 128), pictures(tiny_sd1, 128, vae_tiling=True)
    assert not np.array_equal(plain, tiled)
    assert np.abs(plain.astype(int) - tiled.astype(int)).mean() < 25
    assert film(vae_tiling=True).plan.recipe.model == f"{film().plan.recipe.model} vae_tiling"


def test_quantised_weights_are_other_pixels(tiny_sd1):
    # Not among the locked versions: imported by the libraries in each process that loads a model,
    # it prints lines of its own there. Passed with torchao 0.18.0 beside torch 2.13.0 on a CPU.
    pytest.importorskip("torchao", reason="pip install torchao, which is not in requirements.lock")
    pytest.importorskip("accelerate")
    plain, quantised = pictures(tiny_sd1), pictures(tiny_sd1, quantised="int8")
    assert not np.array_equal(plain, quantised)
    assert np.abs(plain.astype(int) - quantised.astype(int)).mean() < 10


def test_quantised_weights_are_another_identity(film, monkeypatch):
    monkeypatch.setattr(memory_checks, "find_spec", lambda name: name)
    assert film(quantised="int8").plan.recipe.model == f"{film().plan.recipe.model} quantised:int8"


def test_what_is_not_installed_is_reported(film, monkeypatch):
    monkeypatch.setattr(memory_checks, "find_spec", lambda name: None)
    assert refused(film, quantised="int8") == [
        "compute.quantised: needs torchao accelerate, which is not here: "
        "pip install torchao accelerate"
    ]
    assert "compute.offload: needs accelerate, " in refused(film, offload="model")[1]
