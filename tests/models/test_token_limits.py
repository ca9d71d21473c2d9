"""Token counts are those of transformers' own tokenizer, from either of its file formats."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from render.errors import ConfigError
from render.models.token_limits import CutPrompt, cut_prompts, load_tokenizer

LIMIT = 12
MERGES = [("a", "n"), ("a", "t</w>"), ("c", "at</w>"), ("an", "d</w>"), ("t", "h"), ("th", "e</w>")]
TEXTS = [
    "",
    "a cat",
    "A CAT and the Cat",
    "don't they'll I'm we've",
    "  many \t spaces\n and lines  ",
    "12 castles, 3 towers!? (old) 50%",
    "Ünïcödé café — 中文 🏰",
    "cafe\u0301 \ufb01ne",
    "<|endoftext|> the <|startoftext|>",
    "under_score a-b c/d 'quoted' ''''s",
    "\u00a0\u2003non-breaking\u200bzero",
    "İstanbul ǅ ẞ",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One vocabulary in both formats: tokenizer.json, and vocab.json with merges.txt."""
    root = tmp_path_factory.mktemp("tokenizers")
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["".join(pair) for pair in MERGES] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    real = CLIPTokenizer(vocab=vocabulary, merges=MERGES, model_max_length=LIMIT)
    real.save_pretrained(root / "whole")
    (root / "parts").mkdir()
    settings_file = (root / "whole" / "tokenizer_config.json").read_bytes()
    (root / "parts" / "tokenizer_config.json").write_bytes(settings_file)
    (root / "parts" / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(" ".join(pair) for pair in MERGES)
    (root / "parts" / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    return {"whole": root / "whole", "parts": root / "parts", "real": real}


def ids(folder, text):
    return load_tokenizer(folder).encode(text, add_special_tokens=False).ids


def real_ids(folders, text):
    return folders["real"](text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("form", ["whole", "parts"])
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_transformers(folders, form, text):
    assert ids(folders[form], text) == real_ids(folders, text)


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_of_any_text(folders, text):
    assert ids(folders["parts"], text) == real_ids(folders, text)


def test_the_fixture_merges_words(folders):
    assert len(ids(folders["parts"], "the cat and")) == 3


@pytest.mark.parametrize("form", ["whole", "parts"])
def test_texts_longer_than_the_encoder_reads_are_reported(folders, form):
    fits, too_long = "the cat " * 5, "the cat " * 5 + "and"  # and begin and end
    (cut,) = cut_prompts([fits, too_long], folders[form])
    assert cut == CutPrompt(too_long, 13, 12, "and")


def test_nothing_is_said_of_a_tokenizer_that_is_not_there(folders, tmp_path):
    assert list(cut_prompts(["a" * 100], None)) == []
    assert list(cut_prompts(["a" * 100], tmp_path)) == []
    (tmp_path / "vocab.json").write_bytes((folders["parts"] / "vocab.json").read_bytes())
    (tmp_path / "merges.txt").write_bytes((folders["parts"] / "merges.txt").read_bytes())
    assert list(cut_prompts(["a" * 100], tmp_path)) == []


def test_no_limit_is_no_cut(folders, tmp_path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((folders["parts"] / name).read_bytes())
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert list(cut_prompts(["a" * 100], tmp_path)) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer_is_one_line(tmp_path, name):
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 40}')
    (tmp_path / name).write_text("{")
    with pytest.raises(ConfigError, match=r"can't be read as (a tokenizer|JSON)") as error:
        list(cut_prompts(["a"], tmp_path))
    assert len(str(error.value).splitlines()) == 1
