"""The embedded model: small, without pickles, complete offline, and it draws what a prompt says."""

import json
import re

import diffusers
import numpy as np
import pytest
import torch

from training.storybook.captions import PROMPTS
from training.storybook.evaluation import (
    SCHEDULERS,
    WEIGHTS,
    judge_autoencoder,
    judge_probe,
    load_pipeline,
    prompt_scenes,
    render,
    sharpness,
)
from training.storybook.probe import load_probe, read_attributes

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(WEIGHTS)


@pytest.fixture(scope="module")
def pictures(pipeline):
    """The five prompts, each from two seeds."""
    return render(pipeline, [p for p in PROMPTS for _ in range(2)], [1, 2] * 5, steps=8)


def test_the_folder_is_small_and_holds_no_pickle():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}


def test_the_folder_names_the_stock_classes():
    index = json.loads((WEIGHTS / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["safety_checker"] == [None, None]
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]


def test_the_five_prompts_show_their_places(pictures):
    seen = [row["place"] for row in read_attributes(load_probe(), pictures)]
    assert seen == [scene.place for scene in prompt_scenes() for _ in range(2)]


def test_what_is_unsaid_is_day_and_green(pictures):
    seen = read_attributes(load_probe(), pictures)
    assert {row["time"] for row in seen} == {"day"}
    assert {row["biome"] for row in seen[:8]} == {"green"}


def test_said_times_and_biomes_show(pipeline):
    texts = [
        "a castle at night",
        "a village at sunset",
        "a snowy landscape",
        "a city in the desert",
    ]
    seen = read_attributes(load_probe(), render(pipeline, texts, [3, 3, 3, 3], steps=8))
    assert [seen[0]["time"], seen[1]["time"]] == ["night", "sunset"]
    assert [seen[2]["biome"], seen[3]["biome"]] == ["snow", "desert"]


def test_the_same_seed_makes_the_same_picture_and_another_another(pipeline):
    first, again, other = render(pipeline, ["a castle"] * 3, [5, 5, 6], steps=4).astype(int)
    assert np.abs(first - again).max() <= 1
    assert np.abs(first - other).mean() > 2


@pytest.mark.parametrize("text", ["", "Über 3 Drachen, 東京 🙂", "castle " * 100])
def test_any_text_makes_a_picture(pipeline, text):
    picture = render(pipeline, [text], [1], steps=4)
    assert picture.std() > 10


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_makes_a_clean_picture(pipeline, name, monkeypatch):
    scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)
    monkeypatch.setattr(pipeline, "scheduler", scheduler)
    picture = render(pipeline, ["A castle"], [1], steps=10)
    assert read_attributes(load_probe(), picture)[0]["place"] == "castle"


def test_the_scheduler_config_gives_no_reason_to_warn(pipeline):
    config = pipeline.scheduler.config
    assert config.prediction_type == "v_prediction"
    assert config.steps_offset == 1
    assert diffusers.DDIMScheduler.from_config(config).config.clip_sample is False
    assert diffusers.PNDMScheduler.from_config(config).config.skip_prk_steps is True


def test_the_autoencoder_keeps_unseen_pictures(pipeline):
    figures = judge_autoencoder(pipeline, 12)
    assert figures["psnr_db"] > 24
    assert 0.8 < figures["sharpness"] < 1.2


def test_the_probe_reads_unseen_painted_pictures():
    figures = judge_probe(200)
    assert min(figures[name] for name in ("place", "time", "biome")) >= 0.97


def test_sharpness_counts_steps_between_pixels():
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    picture[:, :, 2:] = 90
    assert sharpness(picture) == pytest.approx(30)


def test_nothing_of_the_model_needs_the_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert load_pipeline(WEIGHTS).unet.config.in_channels == 4


def test_the_weights_are_finite(pipeline):
    for net in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert all(bool(torch.isfinite(p).all()) for p in net.parameters())


def test_a_render_never_imports_a_training():
    package = WEIGHTS.parents[1]
    for path in package.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) training\b", path.read_text(), re.M), path
