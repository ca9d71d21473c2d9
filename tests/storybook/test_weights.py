"""The embedded model: small, without pickles, complete offline, and it draws what a prompt says."""

import json
import re
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from render.storybook import WEIGHTS
from training.storybook.asked import PROMPTED
from training.storybook.captions import PROMPTS
from training.storybook.drawing import load_pipeline, render_texts, side_of
from training.storybook.evaluation import PROBE, SCHEDULERS, judge_autoencoder
from training.storybook.figures import sharpness
from training.storybook.probe import judge_probe, load_probe, read_classes
from training.storybook.scene import ATTRIBUTES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "model" / "storybook.yaml"


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(WEIGHTS)


@pytest.fixture(scope="module")
def pictures(pipeline):
    """The five prompts."""
    return render_texts(pipeline, PROMPTS, [1] * 5, steps=8)


def seen(pictures):
    """The choice that the probe sees in each picture, by attribute."""
    rows = read_classes(load_probe(PROBE), pictures)
    return [
        {name: choices[row[i]] for i, (name, choices) in enumerate(ATTRIBUTES.items())}
        for row in rows
    ]


def test_the_folder_is_small_and_holds_no_pickle():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 30 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}


def test_the_folder_names_the_stock_classes():
    index = json.loads((WEIGHTS / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["safety_checker"] == [None, None]
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]


def test_the_config_says_the_size_that_the_folder_has(pipeline):
    config = yaml.safe_load(CONFIG.read_text())
    assert config["width"] == config["height"] == side_of(pipeline)


def test_the_five_prompts_show_their_places_by_day_in_green(pictures):
    found = seen(pictures)
    assert [row["place"] for row in found] == [each.place for each in PROMPTED]
    assert {row["time"] for row in found} == {"day"}
    assert {row["biome"] for row in found[:4]} == {"green"}


def test_said_times_and_biomes_show(pipeline):
    texts = [
        "a castle at night",
        "a village at sunset",
        "a snowy landscape",
        "a city in the desert",
    ]
    found = seen(render_texts(pipeline, texts, [3, 3, 3, 3], steps=8))
    assert [found[0]["time"], found[1]["time"]] == ["night", "sunset"]
    assert [found[2]["biome"], found[3]["biome"]] == ["snow", "desert"]


def test_the_same_seed_makes_the_same_picture_and_another_another(pipeline):
    first, again, other = render_texts(pipeline, ["a castle"] * 3, [5, 5, 6], steps=2).astype(int)
    assert np.abs(first - again).max() <= 1
    assert np.abs(first - other).mean() > 2


def test_any_text_makes_a_picture(pipeline):
    texts = ["", "Über 3 Drachen, 東京 🙂", "castle " * 100]
    made = render_texts(pipeline, texts, [1, 1, 1], steps=4)
    assert all(picture.std() > 10 for picture in made)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_makes_a_clean_picture(pipeline, name, monkeypatch):
    scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)
    monkeypatch.setattr(pipeline, "scheduler", scheduler)
    picture = render_texts(pipeline, ["A castle"], [1], steps=10)
    assert seen(picture)[0]["place"] == "castle"


@pytest.mark.slow
def test_every_listed_scheduler_is_clean_at_twenty_steps(place):
    """Each through the command line; those for flow models are refused."""
    names = [path.stem for path in (CONFIG.parents[1] / "scheduler").glob("*.yaml")]
    names = sorted(name for name in names if not name.startswith("flow_"))
    place.timeline("one", [{"at": 0, "prompt": "A castle by the sea", "seed": 3}])
    sweep = ("-m", "+timeline=one", f"scheduler={','.join(names)}", "scheduler.steps=20")
    ended = place.call(*sweep, "output=frames", "compute=cpu")
    assert ended.code == 0, ended.err
    found = sorted((place.folder / "outputs" / "one").rglob("frame_000000.png"))
    pictures = np.stack([np.asarray(Image.open(path)) for path in found])
    assert len(pictures) == len(names)
    assert [(row["place"], row["water"]) for row in seen(pictures)] == [("castle", "sea")] * len(
        names
    )
    sharp = [sharpness(picture[None]) for picture in pictures]
    assert min(sharp) > 0.7 * np.median(sharp)
    assert max(sharp) < 1.3 * np.median(sharp)


def test_the_scheduler_config_gives_no_reason_to_warn(pipeline):
    config = pipeline.scheduler.config
    assert config.prediction_type == "v_prediction"
    assert config.steps_offset == 1
    assert diffusers.DDIMScheduler.from_config(config).config.clip_sample is False
    assert diffusers.PNDMScheduler.from_config(config).config.skip_prk_steps is True


def test_the_autoencoder_keeps_unseen_pictures(pipeline):
    figures = judge_autoencoder(pipeline, 6)
    assert figures["psnr_db"] > 24
    assert 0.8 < figures["sharpness"] < 1.2


def test_the_probe_reads_unseen_painted_pictures():
    figures = judge_probe(load_probe(PROBE), 100)
    assert min(figures[name] for name in ("place", "time", "biome")) >= 0.97


def test_sharpness_counts_steps_between_pixels():
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    picture[:, :, 2:] = 90
    assert sharpness(picture) == pytest.approx(30)


def test_nothing_of_the_model_needs_the_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    unet = json.loads((WEIGHTS / "unet" / "config.json").read_text())
    assert load_pipeline(WEIGHTS).unet.config.in_channels == unet["in_channels"]


def test_the_weights_are_finite(pipeline):
    for net in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert all(bool(torch.isfinite(p).all()) for p in net.parameters())


def test_a_render_never_imports_a_training():
    package = WEIGHTS.parents[1]
    for path in package.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) training\b", path.read_text(), re.M), path
