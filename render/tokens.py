"""How many tokens a text takes, and how many the text encoder reads. Without torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from render.errors import ConfigError, Mistake

# CLIP's way of cutting text into words (Radford et al. 2021, the released `simple_tokenizer.py`).
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
MARKS = ["<|startoftext|>", "<|endoftext|>"]


@dataclass(frozen=True, slots=True)
class CutPrompt:
    """A text that is longer than the text encoder reads; the rest is cut off."""

    text: str
    tokens: int
    limit: int
    lost: str
    """What is cut off, from the first token that is not read."""


def cut_prompts(
    texts: Iterable[str], folder: Path | None, limit: int | None = None, marks: int = len(MARKS)
) -> Iterator[CutPrompt]:
    """The texts that the model reads only the beginning of.

    Args:
        folder: the model's tokenizer; without one (not downloaded yet) nothing is said.
        limit: tokens that are read; None: what the tokenizer's config says.
        marks: tokens among them that are not the text's.

    Raises:
        ConfigError: the folder's files can't be read.
    """
    if folder is None or not (folder / "tokenizer_config.json").is_file():
        return
    try:
        written = json.loads((folder / "tokenizer_config.json").read_bytes())
        tokenizer = load_tokenizer(folder, str(written.get("tokenizer_class", "CLIPTokenizer")))
    except Exception as error:  # tokenizers raises bare Exceptions
        what = f"can't be read as a tokenizer: {str(error)[:200]}"
        raise ConfigError([Mistake(str(folder), what)]) from None
    if tokenizer is None:
        return
    limit = limit or written.get("model_max_length")
    for text in texts:
        read = tokenizer.encode(text, add_special_tokens=False)
        tokens = len(read.ids) + marks
        if isinstance(limit, int) and tokens > limit:
            first = max(limit - marks, 0)
            start = next((begin for begin, _ in read.offsets[first:]), len(text))
            yield CutPrompt(text, tokens, limit, text[start:])


def load_tokenizer(folder: Path, kind: str = "CLIPTokenizer") -> Tokenizer | None:
    """A tokenizer from its file, CLIP's from either of its formats; None if there is none."""
    whole, vocabulary = folder / "tokenizer.json", folder / "vocab.json"
    if whole.is_file():
        tokenizer = Tokenizer.from_file(str(whole))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    if not vocabulary.is_file() or not kind.startswith("CLIP"):
        return None
    merges = str(folder / "merges.txt")
    model = models.BPE.from_file(
        str(vocabulary), merges, unk_token=MARKS[1], end_of_word_suffix="</w>"
    )
    return with_clip_words(Tokenizer(model))


def with_clip_words(tokenizer: Tokenizer) -> Tokenizer:
    """CLIP's spelling rules in front of a bare BPE model."""
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), spaces, normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens(MARKS)  # in a text, too, each is one token
    return tokenizer
