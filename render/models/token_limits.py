"""How many tokens a text takes, and how many the text encoder reads. Without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from render.errors import ConfigError, Mistake
from render.files.untrusted import VOCABULARY_BYTES, UnreadableFile, read_object, read_whole

# CLIP's way of cutting text into words (Radford et al. 2021, the released `simple_tokenizer.py`).
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
MARKS = ["<|startoftext|>", "<|endoftext|>"]
RULES = ("normalizer", "pre_tokenizer")
MOST_RULES, MOST_PATTERN, MOST_GROWTH = 200, 1000, 1000
ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)  # as \s or [^\s\p{L}]
REFERENCE = re.compile(r"\\[1-9k]")
ENDLESS = re.compile(r"\)[+*{]|\{\d{4,}")
"""A repeated group, a long count: no tokenizer needs them, nor references to groups."""
NONE_LEARNED: Mapping[str, int] = {}
UNLIMITED = 10**20  # transformers writes 10^30 where nobody gave a limit


@dataclass(frozen=True, slots=True)
class CutPrompt:
    """A text that is longer than the text encoder reads; the rest is cut off."""

    text: str
    tokens: int
    limit: int
    lost: str
    """The part that is cut off, from the first token that is not read."""


def cut_prompts(
    texts: Iterable[str],
    folder: Path | None,
    limit: int | None = None,
    marks: int = len(MARKS),
    most: int | None = None,
    learned: Mapping[str, int] = NONE_LEARNED,
) -> Iterator[CutPrompt]:
    """The texts that the model reads only the beginning of.

    Args:
        folder: the model's tokenizer; without one (not downloaded yet) nothing is said.
        limit: tokens that are read; None: what the tokenizer's config says.
        marks: tokens among them that are not the text's.
        most: tokens that the text encoder has places for, which is the limit where the tokenizer's
            config names none or a greater one.
        learned: how many tokens each learned word takes (textual inversion).

    Raises:
        ConfigError: the folder's files can't be read.
    """
    if folder is None or not (folder / "tokenizer_config.json").is_file():
        return
    try:
        written = read_object(folder / "tokenizer_config.json")
        tokenizer = load_tokenizer(folder, str(written.get("tokenizer_class", "CLIPTokenizer")))
    except UnreadableFile as error:
        raise ConfigError([Mistake(str(error.path), str(error))]) from None
    except Exception as error:  # tokenizers raises bare Exceptions
        what = f"can't be read as a tokenizer: {str(error)[:200]}"
        raise ConfigError([Mistake(str(folder), what)]) from None
    if tokenizer is None:
        return
    limit = limit or read_limit(written, most)
    if learned:
        tokenizer = Tokenizer.from_str(tokenizer.to_str())  # the one above is kept for other films
        tokenizer.add_tokens([name for word, n in learned.items() for name in names_of(word, n)])
    for written_text in texts:
        text = spelled_out(written_text, learned)
        read = tokenizer.encode(text, add_special_tokens=False)
        tokens = len(read.ids) + marks
        if limit and tokens > limit:
            first = max(limit - marks, 0)
            start = next((begin for begin, _ in read.offsets[first:]), len(text))
            yield CutPrompt(written_text, tokens, limit, text[start:])


def names_of(word: str, count: int) -> list[str]:
    """The tokens of a learned word of so many vectors, as diffusers names them."""
    return [word, *(f"{word}_{place}" for place in range(1, count))]


def spelled_out(text: str, learned: Mapping[str, int]) -> str:
    """A text with every token of its learned words."""
    for word, count in learned.items():
        text = text.replace(word, " ".join(names_of(word, count)))
    return text


def read_limit(written: Mapping[str, Any], most: int | None) -> int | None:
    """The tokens that are read of a text: by the tokenizer's config, and never more than `most`."""
    written_limit = written.get("model_max_length")
    limits = [n for n in (written_limit, most) if isinstance(n, int | float) and 0 < n < UNLIMITED]
    return int(min(limits)) if limits else None


def whole_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, read once while the file stays as it is.

    Raises:
        UnreadableFile: it is damaged.
    """
    status = path.stat()
    return parsed_tokenizer(path, (status.st_mtime_ns, status.st_ctime_ns, status.st_size))


@lru_cache(maxsize=8)
def parsed_tokenizer(path: Path, stamp: tuple[int, ...]) -> Tokenizer:
    """See `whole_tokenizer`; `stamp` changes with the file."""
    written = read_object(path, VOCABULARY_BYTES)
    if why := rule_flaw(written):
        raise UnreadableFile(path, why)
    try:
        tokenizer = Tokenizer.from_buffer(read_whole(path))
    except Exception as error:  # tokenizers raises bare Exceptions
        why = f"can't be read as a tokenizer: {str(error)[:200]}"
        raise UnreadableFile(path, why) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def rule_flaw(written: Mapping[str, Any]) -> str | None:
    """Why the rules of a tokenizer.json could take any time or memory with a short text, or None.

    Its patterns are regular expressions, which can try every way to divide a text, and what it puts
    in place of a letter can be long, and replaced in its turn.
    """
    rules = list(nodes([written.get(key) for key in RULES]))
    if len(rules) > MOST_RULES:
        return "has more rules than any tokenizer"
    patterns = [str(rule["Regex"]) for rule in rules if "Regex" in rule]
    if any(len(pattern) > MOST_PATTERN or is_endless(pattern) for pattern in patterns):
        return "has a pattern that can take for ever"
    grown = [rule.get(key) for rule in rules for key in ("content", "prepend") if key in rule]
    if math.prod(max(1, len(str(text))) for text in grown) > MOST_GROWTH:
        return "has replacements that can make a text endless"
    return None


def is_endless(pattern: str) -> bool:
    """Whether a regular expression can try very many ways to divide a text."""
    refers = any(REFERENCE.match(atom[0]) for atom in ATOM.finditer(pattern))
    return refers or bool(ENDLESS.search(ATOM.sub("C", pattern)))


def nodes(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def load_tokenizer(folder: Path, kind: str = "CLIPTokenizer") -> Tokenizer | None:
    """A tokenizer from its file, CLIP's from either of its formats; None if there is none."""
    whole, vocabulary = folder / "tokenizer.json", folder / "vocab.json"
    if whole.is_file():
        return whole_tokenizer(whole)
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
