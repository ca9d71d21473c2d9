"""A CLIP tokenizer of our own: byte pairs learnt from captions, every byte kept as a token.

All 512 byte tokens (a byte inside a word, a byte at its end) are in the vocabulary, so any text in
any script can be encoded; words of the captions become one token each.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor
from transformers import CLIPTokenizer

MAX_LENGTH = 40  # tokens, with start and end
VOCABULARY = 1400  # at most
END_OF_WORD = "</w>"
WORDS = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")


def learn_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """A tokenizer whose merges come from `captions` (Sennrich et al. 2016, over bytes)."""
    learner = Tokenizer(BPE(end_of_word_suffix=END_OF_WORD))
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=10,
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix=END_OF_WORD,
        show_progress=False,
    )
    learner.train_from_iterator(_words(captions), trainer)
    merges: Any = [(a, b) for a, b in json.loads(learner.to_str())["model"]["merges"]]
    byte_tokens = sorted(ByteLevel.alphabet())
    tokens = byte_tokens + [byte + END_OF_WORD for byte in byte_tokens]
    tokens += [a + b for a, b in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _words(captions: Iterable[str]) -> Iterable[str]:
    for text in captions:
        yield from WORDS.findall(text.lower())


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer saved in `folder`."""
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer


def encode_texts(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids of texts, padded and cut to (B, MAX_LENGTH)."""
    ids: Tensor = tokenizer(
        texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
