"""The making of storybook in miniature: every stage on 48 small pictures, stopped and resumed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from training.storybook import parallel
from training.storybook.autoencoder import (
    AutoencoderTraining,
    encode_dataset,
    finish_autoencoder,
    fold_whitening,
    train_autoencoder,
)
from training.storybook.dataset import paint_dataset, read_captions, read_pictures, training_part
from training.storybook.denoiser import (
    DenoiserTraining,
    noise_schedule,
    read_examples,
    reading_loss,
    stratified_timesteps,
    train_denoiser,
)
from training.storybook.make import make_tokens
from training.storybook.models import make_autoencoder
from training.storybook.parallel import as_pictures
from training.storybook.scene import UNKNOWN, Scene, classes_of
from training.storybook.tokenizer import MAX_LENGTH, encode_texts, load_tokenizer

CHECKOUT = Path(__file__).resolve().parent.parent
WIDTHS = (8, 8, 16)
SMALL = AutoencoderTraining(samples=160, batch=4, peak_rate=1e-2, widths=WIDTHS)
THIN = DenoiserTraining(samples=320, batch=8, peak_rate=4e-3, widths=(16, 16, 32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with pictures, tokens, a briefly trained autoencoder and its latents."""
    made = tmp_path_factory.mktemp("storybook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "process_count", lambda: 1)
        paint_dataset(made / "data", 48, 32, 1)
        make_tokens(made)
        train_autoencoder(made, SMALL)
        encode_dataset(made, WIDTHS)
    return made


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(parallel, "process_count", lambda: 1)


def progress(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["progress"])


def plain_latents(count):
    """Posteriors of means ±1 in halves and no deviation, (count, 2, 4, 8, 8): easy to learn."""
    latents = np.zeros((count, 2, 4, 8, 8), np.float16)
    latents[:, 0, :, :4], latents[:, 0, :, 4:] = 1, -1
    return latents


def losses(printed, name):
    lines = [line for line in printed.splitlines() if line.startswith(name)]
    return [float(line.split("loss ")[1]) for line in lines]


def test_painting_fills_every_picture_and_gives_each_its_captions(folder):
    pictures = read_pictures(folder / "data")
    assert pictures.shape == (48, 32, 32, 3)
    assert pictures.reshape(48, -1).max(1).min() > 50
    assert {len(row) for row in read_captions(folder / "data")} == {4}
    assert len(training_part(pictures)) == 42


@pytest.mark.parametrize("text", ["", "A castle", "Über 3 Drachen, 東京 🙂\n\t", "word " * 200])
def test_the_tokenizer_encodes_anything_to_one_length(folder, text):
    tokenizer = load_tokenizer(folder / "tokenizer")
    tokens = encode_texts(tokenizer, [text])
    assert tokens.shape == (1, MAX_LENGTH)
    assert tokens[0, 0] == tokenizer.bos_token_id
    assert tokenizer.unk_token_id is None or tokenizer.eos_token_id in tokens


def test_the_tokenizer_keeps_unknown_words_apart(folder):
    tokens = encode_texts(load_tokenizer(folder / "tokenizer"), ["xyzzy", "plugh", "京", "東"])
    assert len({tuple(row) for row in tokens.tolist()}) == 4


def test_training_lowers_the_autoencoders_loss(folder, tmp_path, alone, monkeypatch, capsys):
    monkeypatch.setattr("training.storybook.autoencoder.REPORT_EVERY", 10)
    (tmp_path / "data").symlink_to(folder / "data")
    train_autoencoder(tmp_path, SMALL)
    reported = losses(capsys.readouterr().out, "autoencoder")
    assert len(reported) == 4
    assert reported[-1] < 0.9 * reported[0]


def test_a_finished_training_does_nothing(folder, alone, capsys):
    before = (folder / "autoencoder.safetensors").read_bytes()
    train_autoencoder(folder, SMALL)
    assert (folder / "autoencoder.safetensors").read_bytes() == before


def test_whitening_changes_the_latents_and_not_the_pictures():
    torch.manual_seed(0)
    net = make_autoencoder(WIDTHS).eval()
    pictures = torch.rand(6, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = net.decode(net.encode(pictures).latent_dist.mean).sample
        fold_whitening(net, pictures)
        latents = net.encode(pictures).latent_dist.mean
        after = net.decode(latents).sample
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4)


def test_cached_latents_are_those_of_the_finished_autoencoder(folder):
    latents = np.load(folder / "data" / "latents.npy")
    assert latents.shape == (48, 2, 4, 8, 8)
    net = finish_autoencoder(folder, WIDTHS)
    pictures = as_pictures(torch.from_numpy(np.array(read_pictures(folder / "data")[:2])))
    with torch.no_grad():
        mean = net.encode(pictures).latent_dist.mean
    assert np.abs(latents[:2, 0] - mean.numpy()).max() < 0.2  # bfloat16


def test_the_denoiser_learns_and_continues_where_it_stopped(
    folder, tmp_path, alone, monkeypatch, capsys
):
    monkeypatch.setattr("training.storybook.denoiser.REPORT_EVERY", 10)
    (tmp_path / "tokenizer").symlink_to(folder / "tokenizer")
    (tmp_path / "data").mkdir()
    for name in ("captions.json", "tokens.npy"):
        (tmp_path / "data" / name).symlink_to(folder / "data" / name)
    np.save(tmp_path / "data" / "latents.npy", plain_latents(48))
    first = DenoiserTraining(**{**THIN.__dict__, "samples": 160})
    train_denoiser(tmp_path, first)
    assert progress(tmp_path / "denoiser.safetensors")["step"] == 20
    train_denoiser(tmp_path, THIN)
    after = progress(tmp_path / "denoiser.safetensors")
    assert (after["step"], after["seen"]) == (40, 320)
    reported = losses(capsys.readouterr().out, "denoiser")
    assert len(reported) == 4
    assert reported[-1] < 0.9 * reported[0]


def test_dropped_captions_are_the_empty_one(folder):
    tokenizer = load_tokenizer(folder / "tokenizer")
    examples = read_examples(folder / "data", tokenizer)
    _, dropped, unknown = examples.draw(np.random.default_rng(0), 16, 1.0)
    _, kept, known = examples.draw(np.random.default_rng(0), 16, 0.0)
    assert (dropped == examples.empty).all()
    assert not (kept == examples.empty).all(1).any()
    assert (unknown == UNKNOWN).all()
    assert (known[:, :2] >= 0).all()  # place and time are always known


def test_timesteps_are_spread_over_the_whole_schedule():
    drawn = stratified_timesteps(np.random.default_rng(0), 10)
    assert torch.equal(drawn // 100, torch.arange(10))
    assert noise_schedule().shape == (1000,)
    assert bool((noise_schedule().diff() < 0).all())


def test_the_readers_loss_is_low_for_the_right_classes_alone():
    classes = torch.tensor([classes_of(Scene("castle", "night")), classes_of(Scene("cityscape"))])
    right = torch.full((2, 20), -9.0)
    for row, column in ((0, 2), (0, 9), (0, 10), (0, 14), (0, 18), (1, 5), (1, 6)):
        right[row, column] = 9.0
    assert reading_loss(right, classes) < 0.01
    assert reading_loss(-right, classes) > 10


@pytest.mark.slow
def test_the_making_begins_from_the_clone_and_says_how_long_it_takes(tmp_path):
    """As `make storybook` calls it, with fewer pictures; it is ended when it paints."""
    few = ("--pictures", "48", "--autoencoder-samples", "640", "--denoiser-samples", "640")
    making = subprocess.Popen(
        [sys.executable, "-m", "training.storybook", "make", "--folder", str(tmp_path), *few],
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = [making.stdout.readline() for _ in range(2)]
    finally:
        making.kill()
        making.communicate()
    assert lines[0].startswith("storybook on ")
    assert lines[1].startswith("about ")
    assert "minutes from nothing" in lines[1]


def test_make_storybook_is_that_command():
    recipe = (CHECKOUT / "Makefile").read_text().partition("\nstorybook: ")[2].splitlines()[1]
    assert recipe.strip() == "$(BIN)/python -m training.storybook make $(ARGS)"
    assert (CHECKOUT / "training" / "storybook" / "__main__.py").is_file()
