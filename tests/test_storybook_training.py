"""The making of storybook in miniature: every stage on a few examples, and resumed."""

import json
import os
import subprocess
import sys
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_models import SIDE as TINY

from render.engines.compact import Compact
from training.storybook import drawing, evaluation, figures
from training.storybook.autoencoder import (
    AutoencoderTraining,
    finish_autoencoder,
    fold_whitening,
    train_autoencoder,
)
from training.storybook.captions import PROMPTS, words
from training.storybook.dataset import Encoding, encode_dataset, read_shards, shard_path
from training.storybook.decoder import DecoderTraining, finish_decoder, train_decoder
from training.storybook.denoiser import (
    Denoiser,
    DenoiserTraining,
    drop_captions,
    noise_schedule,
    reading_loss,
    stratified_timesteps,
)
from training.storybook.examples import example
from training.storybook.make import Making, assemble, decoding, make_storybook, upscaling
from training.storybook.models import make_autoencoder, make_denoiser, make_text_encoder
from training.storybook.muon import Muon, orthogonal
from training.storybook.parallel import as_pictures, quick_bfloat16
from training.storybook.probe import (
    accuracy,
    judge_probe,
    load_probe,
    read_classes,
    train_probe,
)
from training.storybook.scene import ATTRIBUTES, UNKNOWN, Description, classes_of
from training.storybook.tokenizer import MAX_LENGTH, encode_texts, load_tokenizer
from training.storybook.training import Average, Progress, load_checkpoint, save_checkpoint
from training.storybook.upscaler import UpscalerTraining, train_upscaler, write_upscaler

CHECKOUT = Path(__file__).resolve().parent.parent
WIDTHS = (8, 8, 8, 16)
SMALL = AutoencoderTraining(samples=64, batch=16, peak_rate=4e-3, pool=2, widths=WIDTHS)
THIN = DenoiserTraining(samples=48, batch=4, peak_rate=4e-3, widths=(16, 16, 32))
FEW = Encoding(examples=12, shard=4, wordings=60, whitened_over=2, widths=WIDTHS)
DECODED = DecoderTraining(samples=8, batch=2, steps=1)
MAKING = Making(encoding=FEW, autoencoder=SMALL, denoiser=THIN, decoder=DECODED, processes=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a briefly trained autoencoder and three shards of four examples."""
    made = tmp_path_factory.mktemp("storybook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.storybook.autoencoder.JUDGED", 1)
        make_storybook(made, MAKING, ("autoencoder", "data", "denoiser"))
    return made


def progress(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["progress"])


def test_the_autoencoder_continues_where_it_stopped_and_ends(folder):
    path = folder / "autoencoder.safetensors"
    assert progress(path)["seen"] == 64
    before = path.read_bytes()
    train_autoencoder(folder, SMALL, 1)
    assert path.read_bytes() == before


def test_the_encoder_stays_as_it_is_after_its_samples(tmp_path, monkeypatch):
    monkeypatch.setattr("training.storybook.autoencoder.JUDGED", 1)
    short = replace(SMALL, encoder_samples=32)
    train_autoencoder(tmp_path, replace(short, samples=48), 1)
    before = load_file(tmp_path / "autoencoder.safetensors")
    train_autoencoder(tmp_path, short, 1)  # goes on
    after = load_file(tmp_path / "autoencoder.safetensors")
    net = make_autoencoder(WIDTHS)
    for i, (name, _) in enumerate(net.named_parameters()):
        encodes = name.startswith(("encoder", "quant_conv"))
        assert torch.equal(before[f"net.{name}"], after[f"net.{name}"]) == encodes, name
        assert not encodes or torch.equal(after[f"mean.{i}"], after[f"net.{name}"]), name


@pytest.mark.parametrize(("share", "side"), [(0, 64), (0.3, 128), (0.7, 256)])
def test_crops_grow_with_the_training(share, side):
    assert AutoencoderTraining().side(share) == side


def test_whitening_changes_the_latents_and_not_the_pictures():
    torch.manual_seed(0)
    net = make_autoencoder(WIDTHS).eval()
    pictures = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = net.decode(net.encode(pictures).latent_dist.mean).sample
        fold_whitening(net, pictures)
        latents = net.encode(pictures).latent_dist.mean
        after = net.decode(latents).sample
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(8), atol=1e-4)


def test_a_shard_holds_what_its_examples_say(folder):
    with np.load(shard_path(folder, 1)) as shard:
        assert shard["latents"].shape == (4, 2, 8, 32, 32)
        assert shard["tokens"].shape == (4, 2, 3, 40)
        assert shard["classes"].shape == (4, 2, len(ATTRIBUTES))
        assert shard["classes"][2, 1].tolist() == classes_of(example(6).end)
        assert shard["t"].tolist() == pytest.approx([example(i).t for i in range(4, 8)])


def test_shards_that_are_there_are_not_written_again(folder):
    before = shard_path(folder, 0).stat().st_mtime_ns
    encode_dataset(folder, FEW, 1)
    assert shard_path(folder, 0).stat().st_mtime_ns == before


def test_the_last_shard_is_held_out(folder):
    assert len(read_shards(folder).t) == 8
    assert len(read_shards(folder, held_out=True).t) == 4


def test_between_two_captions_the_embeddings_are_blended(folder):
    tokenizer = load_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    net = Denoiser(make_text_encoder(tokenizer), make_denoiser((16, 16, 32))).eval()
    noisy, timesteps = torch.randn(1, 8, 32, 32), torch.tensor([500])
    texts = ["a castle by the sea", "a snowy village at night"]
    ends = encode_texts(tokenizer, texts)[None]
    with torch.no_grad():
        hidden = net.text_encoder(ends[0]).last_hidden_state
        blend = 0.75 * hidden[:1] + 0.25 * hidden[1:]
        expected = net.unet(noisy, timesteps, blend).sample
        made, logits = net(noisy, timesteps, ends, torch.tensor([0.25]))
    assert torch.allclose(made, expected, atol=1e-5)
    assert logits.shape == (1, 2, sum(len(c) for c in ATTRIBUTES.values()))


def test_a_dropped_caption_says_nothing(folder):
    batch = read_shards(folder).draw(np.random.default_rng(0), 3)
    empty = torch.zeros(40, dtype=torch.long)
    dropped = drop_captions(batch, empty, torch.tensor([True, False, False]))
    assert not dropped.tokens[0].any()
    assert (dropped.classes[0] == UNKNOWN).all()
    assert torch.equal(dropped.tokens[1:], batch.tokens[1:])
    assert reading_loss(torch.zeros(1, 2, total()), dropped.classes[:1]).item() == 0


def total():
    return sum(len(choices) for choices in ATTRIBUTES.values())


def test_the_decoder_learns_on_and_leaves_the_latents_as_they_are(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("training.storybook.decoder.JUDGED", 1)
    for name in ("autoencoder.safetensors", "denoiser.safetensors", "scales.npy", "tokenizer"):
        (tmp_path / name).symlink_to(folder / name)
    training = decoding(MAKING)
    train_decoder(tmp_path, replace(training, samples=4), 1)
    assert progress(tmp_path / "decoder.safetensors")["seen"] == 4
    train_decoder(tmp_path, training, 1)  # goes on
    assert progress(tmp_path / "decoder.safetensors")["seen"] == 8
    before = finish_autoencoder(tmp_path, WIDTHS, FEW.whitened_over).state_dict()
    net = finish_decoder(tmp_path, finish_autoencoder(tmp_path, WIDTHS, FEW.whitened_over))
    for name, tensor in net.state_dict().items():
        encodes = name.startswith(("encoder", "quant_conv"))
        assert torch.equal(tensor, before[name]) == encodes, name


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


def test_timesteps_are_spread_over_the_whole_schedule():
    drawn = stratified_timesteps(np.random.default_rng(0), 10)
    assert torch.equal(drawn // 100, torch.arange(10))
    assert noise_schedule().shape == (1000,)
    assert bool((noise_schedule().diff() < 0).all())


def test_the_probe_reads_one_row_for_each_picture(tmp_path):
    train_probe(tmp_path, samples=64, count=12, batch=8)
    probe = load_probe(tmp_path / "probe.safetensors")
    seen = read_classes(probe, np.load(tmp_path / "probe_pictures.npy"))
    assert seen.shape == (12, len(ATTRIBUTES))
    shares = judge_probe(probe, 20)
    assert set(shares) == set(ATTRIBUTES)
    assert all(0 <= share <= 1 for share in shares.values())


def test_accuracy_leaves_out_what_cannot_be_seen():
    described = [Description("cityscape", "night"), Description("castle", forest=True)]
    seen = np.array([classes_of(d) for d in described])
    seen[0, 4] = 1  # a forest in a cityscape: not judged
    assert set(accuracy(seen, described).values()) == {1.0}
    seen[1, 4] = 0
    assert accuracy(seen, described)["forest"] == 0.0


def test_the_stock_pipeline_draws_with_what_is_assembled(folder):
    from diffusers import StableDiffusionPipeline

    assemble(folder, MAKING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder / "weights", dtype=torch.float32, local_files_only=True, safety_checker=None
        )
        pipeline.set_progress_bar_config(disable=True)
        made = pipeline("a castle", num_inference_steps=2, output_type="np").images
    assert made.shape == (1, 256, 256, 3)
    assert np.isfinite(made).all()
    assert set((folder / "weights" / "words.txt").read_text().split()) == set(words())


def test_the_evaluation_measures_and_writes_everything(folder, tmp_path, tiny_sd1, monkeypatch):
    """Of two models, the other one with pictures, latents and a text encoder of other sizes."""
    assemble(folder, MAKING)
    train_probe(tmp_path, samples=16, count=8, batch=8)
    few = {"judge_autoencoder": 2, "judge_seeds": 2, "judge_moons": 2}
    for name, count in few.items():
        whole = getattr(evaluation, name)
        monkeypatch.setattr(evaluation, name, lambda a, f=whole, n=count: f(a, n))
    monkeypatch.setattr(evaluation, "judge_probe", lambda a: judge_probe(a, 20))
    for name in ("draw_grid", "judge_schedulers", "draw_free_wording"):
        whole = getattr(evaluation, name)
        monkeypatch.setattr(evaluation, name, lambda *given, f=whole: f(*given, 1))
    morphs = evaluation.judge_morphs
    monkeypatch.setattr(evaluation, "judge_morphs", lambda a, b: morphs(a, b, 1, 9))
    monkeypatch.setattr(evaluation, "SCHEDULERS", ("DDIMScheduler",))
    monkeypatch.setattr(evaluation, "SCHEDULER_STEPS", (1,))
    monkeypatch.setattr(drawing, "STEPS", 1)
    weights, probe = folder / "weights", tmp_path / "probe.safetensors"
    to = tmp_path / "evaluation"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = evaluation.evaluate(weights, probe, to, 4, beside=tiny_sd1)
    assert json.loads((to / "report.json").read_text()) == report
    assert set(report["obedience"]) >= set(ATTRIBUTES)
    assert set(report["schedulers"]) == {"DDIMScheduler 1"}
    assert 0 <= report["five_prompts_place"] <= 1
    for one, side in ((report, 256), (report["beside"], TINY)):
        assert one["size"] == side
        assert set(one["morphs"]["drawn"]) == set(one["morphs"]["painted"])
        assert sum(one["moons"].values()) == 2
        assert set(one["seeds_apart"]) == set(PROMPTS)
    common = {"grid", "morphs", "free_wording", "report"}
    assert {path.stem for path in (to / "beside").iterdir()} == common
    alone = {"worst", "schedulers", "beside"}
    together = {"grid_beside", "morphs_beside", "free_wording_beside"}
    assert {path.stem for path in to.iterdir()} == common | alone | together


def test_an_even_film_is_measured_as_even():
    frames = [np.full((32, 32, 3), value, np.uint8) for value in (0, 0, 255)]
    jump = figures.evenness(frames[1:])
    assert jump["path_over_direct"] == pytest.approx(1)
    levels = (np.linspace(0, 1, 9) ** (1 / 2.2) * 255).round().astype(np.uint8)
    even = figures.evenness([np.full((32, 32, 3), level, np.uint8) for level in levels])
    assert even["gini"] < 0.03
    assert even["largest_over_median"] < 1.1


def test_moons_are_counted():
    night = np.zeros((256, 256, 3), np.uint8)
    y, x = np.mgrid[:256, :256]
    assert figures.moons(night) == 0
    night[np.hypot(x - 60, y - 40) < 14] = 240
    assert figures.moons(night) == 1
    night[np.hypot(x - 190, y - 60) < 10] = 240
    assert figures.moons(night) == 2


def test_an_orthogonal_update_turns_every_direction_alike():
    torch.manual_seed(0)
    for shape in ((12, 40), (40, 12)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_learns_matrices_and_vectors_and_remembers(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3), torch.nn.GroupNorm(2, 8))
    wanted = torch.randn(4, 8, 6, 6)
    pictures = torch.randn(4, 2, 8, 8)

    def train(net, optimizer, steps):
        for _ in range(steps):
            loss = (net(pictures) - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    optimizer = Muon(net, 2e-2)
    first, last = train(net, optimizer, 1), train(net, optimizer, 60)
    assert last < 0.8 * first
    average, progress = Average(net, 0.9), Progress(10)
    save_checkpoint(tmp_path / "kept.safetensors", net, average, optimizer, progress)
    again = deepcopy(net)
    other = Muon(again, 2e-2)
    load_checkpoint(tmp_path / "kept.safetensors", again, Average(again, 0.9), other, Progress(10))
    assert train(again, other, 3) == pytest.approx(train(net, optimizer, 3))


def test_bfloat16_is_used_where_it_is_quick(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not quick_bfloat16(torch.device("cpu"))
    assert quick_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert quick_bfloat16(torch.device("cpu"))


def test_pictures_become_numbers_around_zero():
    pixels = torch.tensor([[[[0, 127, 255]]]], dtype=torch.uint8)
    assert as_pictures(pixels).flatten().tolist() == pytest.approx([-1, -0.0039, 1], abs=1e-3)


def test_the_upscaler_is_trained_on_what_the_model_draws(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("training.storybook.upscaler.JUDGED", 1)
    for name in ("autoencoder.safetensors", "denoiser.safetensors", "scales.npy", "tokenizer"):
        (tmp_path / name).symlink_to(folder / name)
    short = UpscalerTraining(samples=2, batch=1, crops=1, side=32, steps=2)
    train_upscaler(tmp_path, upscaling(replace(MAKING, upscaler=short)), 1)
    assert progress(tmp_path / "upscaler.checkpoint.safetensors")["seen"] == 2
    write_upscaler(tmp_path, tmp_path / "upscaler.safetensors", short.shape)
    tensors = load_file(tmp_path / "upscaler.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    Compact(short.shape).load_state_dict(tensors)


@pytest.mark.slow
def test_the_making_begins_from_the_clone_and_says_how_long_it_takes(tmp_path):
    """As `make storybook` calls it, with fewer pictures; it is ended when it trains."""
    few = ("--examples", "48", "--autoencoder-samples", "640", "--denoiser-samples", "640")
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
