"""Small files of a model's folder: one that is missing, cut off or another model's is named in the
plan, since the libraries say nothing and paint another picture."""

import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from films import write_model
from pictures import same_pictures
from safetensors.numpy import save_file

from render.errors import ConfigError
from render.models.model_source import ModelSource
from render.models.safety import check_folder, check_model
from render.models.vocabulary import mistakes_in_vocabulary

FAMILIES = ["sdxl", "sd3", "pixart", "sana", "z_image", "qwen_image"]
BYTES = [chr(code) for code in range(0x100, 0x180)]


@pytest.fixture
def model(place, tmp_path):
    """A copy of the tiny model, which is the one that `place` renders with."""
    place.model = shutil.copytree(place.model, tmp_path / "model")
    return place.model


def rewrite(path, **changes):
    """Other values in a JSON file; None takes a key away."""
    written = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: v for key, v in written.items() if v is not None}))


def refused(place, *more):
    """The plan's own words; no file is written and no model loaded."""
    ended = place.render("+timeline=t", "mode=plan", *more)
    assert ended.code == 2, ended.err
    assert not (place.folder / "outputs").exists()
    return ended.err


def mistakes(folder, **encoder):
    return [str(m) for m in mistakes_in_vocabulary(folder, "CLIPTokenizer", encoder)]


def pair(folder, merged=2000):
    """A vocabulary in CLIP's older files, with a token for every merge."""
    merges = [(one, other) for one in BYTES for other in BYTES][:merged]
    tokens = [*BYTES, *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 77}')
    (folder / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
    listed = "\n".join(map(" ".join, merges))
    (folder / "merges.txt").write_text(f"#version: 0.2\n{listed}\n")
    return len(tokens)


def test_a_missing_vocabulary_is_refused_in_the_plan(place, model):
    (model / "tokenizer" / "tokenizer.json").unlink()
    said = refused(place)
    assert f"{model}/tokenizer: the vocabulary is missing" in said
    assert "no tokenizer.json or vocab.json and merges.txt" in said
    assert "download the model again" in said


@pytest.mark.parametrize("family", FAMILIES)
def test_every_small_file_of_a_folder_is_missed(family, family_folder, tmp_path):
    folder = shutil.copytree(family_folder(family), tmp_path / "model")
    check_folder(folder, None)
    small = [file for file in folder.glob("*/*.json") if file.name != "generation_config.json"]
    assert len(small) >= 6
    for file in small:
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(ConfigError, match="is missing") as error:
            check_folder(folder, None)
        assert str(file.parent) in str(error.value)
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(ConfigError, match="can't be read as"):
            check_folder(folder, None)
        file.write_bytes(content)


@pytest.mark.parametrize("name", ["tokenizer/tokenizer.json", "unet/config.json"])
def test_the_config_folder_of_a_single_file_is_looked_through_too(tmp_path, name):
    folder, file = write_model(tmp_path / "model"), tmp_path / "one.safetensors"
    starts = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
    save_file({f"{start}weight": np.zeros(1) for start in starts}, file)
    source = ModelSource(folder, None, None, None, "StableDiffusionPipeline", file)
    check_model(source, folder)
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"model/{name.split('/')[0]}: .* is missing"):
        check_model(source, folder)


@pytest.mark.parametrize("name", ["merges.txt", "vocab.json"])
def test_both_older_files_are_needed(tmp_path, name):
    pair(tmp_path / "t")
    assert mistakes(tmp_path / "t") == []
    (tmp_path / "t" / name).unlink()
    (line,) = mistakes(tmp_path / "t")
    assert f"{name} is missing beside" in line


def test_merges_that_were_cut_off_are_seen(tmp_path):
    pair(tmp_path / "t")
    merges = tmp_path / "t" / "merges.txt"
    merges.write_bytes(merges.read_bytes()[:9000])
    (line,) = mistakes(tmp_path / "t")
    assert "merges.txt: makes " in line
    assert "download the model again" in line


def test_a_vocabulary_is_held_against_its_text_encoder(tmp_path):
    count = pair(tmp_path / "t")
    for rows in (count, count + 28, count + 1000):
        assert mistakes(tmp_path / "t", vocab_size=rows) == []
        assert mistakes(tmp_path / "t", text_config={"vocab_size": rows}) == []
    for rows in (count - 1, 10 * count):
        (line,) = mistakes(tmp_path / "t", vocab_size=rows)
        assert f"has {count:,} tokens and the text encoder knows {rows:,}" in line


def test_another_models_vocabulary_is_refused(place, model, family_folder):
    shutil.copy(family_folder("sd3") / "tokenizer_3" / "tokenizer.json", model / "tokenizer")
    assert "its vocabulary has no '<|startoftext|>', '<|endoftext|>'" in refused(place)


def test_words_that_were_added_count(place, model):
    config = model / "tokenizer" / "tokenizer_config.json"
    rewrite(config, added_tokens_decoder={"514": {"content": "<cat>"}})
    assert "has 515 tokens and the text encoder knows 514" in refused(place)
    rewrite(model / "text_encoder" / "config.json", vocab_size=515)
    weights = model / "text_encoder" / "model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    name = next(name for name in tensors if name.endswith("token_embedding.weight"))
    more = torch.cat([tensors[name], torch.ones(1, 32)])
    safetensors.torch.save_file(tensors | {name: more}, weights, {"format": "pt"})
    assert place.render("+timeline=t", "mode=plan").code == 0


def test_pieces_alone_want_their_library(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "spiece.model").write_bytes(b"pieces")
    (mistake,) = mistakes_in_vocabulary(tmp_path, "T5TokenizerFast", {})
    assert "spiece.model needs `pip install sentencepiece protobuf`" in str(mistake)


@pytest.mark.parametrize("limit", [None, 1e30, int(1e30), 4096])
def test_a_tokenizer_without_a_limit_reads_as_much_as_its_encoder(place, model, limit):
    """The stock pipeline ends with an OverflowError, or at the encoder's last position."""
    long = [{"at": 0, "prompt": "a long text of more than sixteen tokens", "seed": 1}]
    place.timeline("t", long)
    assert place.render("+timeline=t", "output=frames", "name=limited").code == 0
    rewrite(model / "tokenizer" / "tokenizer_config.json", model_max_length=limit)
    ended = place.render("+timeline=t", "output=frames", "name=unlimited")
    assert ended.code == 0, ended.err
    assert "cut: " in ended.err
    assert same_pictures(place.pictures("limited"), place.pictures("unlimited"))
