"""Whether a tokenizer is whole, and the one of its text encoder. Without torch.

Where a vocabulary is missing, transformers makes an empty one and says nothing: every word of every
text is then the same unknown token, and the picture is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from render.config.values import shown
from render.errors import Mistake
from render.files.untrusted import UnreadableFile, read_object, read_whole
from render.models.token_limits import MARKS, whole_tokenizer

CONFIG, WHOLE = "tokenizer_config.json", "tokenizer.json"
PAIR = ("vocab.json", "merges.txt")
WRITTEN = {
    "CLIPTokenizer": PAIR,
    "GPT2Tokenizer": PAIR,
    "Qwen2Tokenizer": PAIR,
    "T5Tokenizer": ("spiece.model",),
    "LlamaTokenizer": ("tokenizer.model",),
    "GemmaTokenizer": (),
}
"""The files that do in place of tokenizer.json, by class."""
SPARE_ROWS = 1024  # text encoders round the number of their rows up, by less than this
SPARE_TOKENS = 10  # of a vocabulary, that no merge makes: there may be a few, or one in a hundred
AGAIN = "download the model again, or copy this folder from where the model came from"


def mistakes_in_vocabulary(
    folder: Path, class_name: str, encoder: Mapping[str, Any]
) -> Iterator[Mistake]:
    """Everything that is missing in a tokenizer's folder, or that is not its text encoder's.

    Args:
        class_name: the tokenizer's, as model_index.json names it.
        encoder: the text encoder's config; empty if there is none.
    """
    kind = class_name.removesuffix("Fast")
    if missing := missing_files(folder, kind):
        yield Mistake(str(folder), f"{missing}; {AGAIN}")
        return
    try:
        written = read_object(folder / CONFIG)
        tokens = tokens_in(folder)
    except UnreadableFile as error:
        yield Mistake(str(error.path), f"{error}; {AGAIN}")
        return
    if tokens is None:
        return
    tokens |= added_tokens(written)
    absent = [token for token in marks_of(kind, written) if token not in tokens]
    if absent:
        named = ", ".join(shown(token) for token in absent)
        yield Mistake(str(folder), f"its vocabulary has no {named}; {AGAIN}")
    elif wrong := count_flaw(max(tokens.values()) + 1, encoder):
        yield Mistake(str(folder), f"{wrong}; {AGAIN}")


def missing_files(folder: Path, kind: str) -> str | None:
    """The files that a tokenizer of this class lacks, in words; None if it lacks none."""
    if not (folder / CONFIG).is_file():
        return f"{CONFIG} is missing"
    if (folder / WHOLE).is_file():
        return None
    names = WRITTEN.get(kind)
    if names is None:
        anything = any((folder / name).is_file() for names in WRITTEN.values() for name in names)
        return None if anything else "the vocabulary is missing (there is no tokenizer.json)"
    there = [name for name in names if (folder / name).is_file()]
    if not there:
        instead = f" or {' and '.join(names)}" if names else ""
        return f"the vocabulary is missing (there is no {WHOLE}{instead})"
    if len(there) < len(names):
        return f"{', '.join(sorted(set(names) - set(there)))} is missing beside {there[0]}"
    return pieces_flaw(there[0]) if there[0].endswith(".model") else None


def pieces_flaw(name: str) -> str | None:
    """Why a vocabulary of SentencePiece alone can't be read here, or None."""
    wanted = {"sentencepiece": "sentencepiece", "google": "protobuf"}
    lacking = [package for module, package in wanted.items() if not find_spec(module)]
    if not lacking:
        return None
    return f"there is no {WHOLE}, and {name} needs `pip install {' '.join(lacking)}`"


def tokens_in(folder: Path) -> dict[str, int] | None:
    """Every token with its number, from whichever file holds them; None for SentencePiece's.

    Raises:
        UnreadableFile: a file is damaged or cut off.
    """
    if (folder / WHOLE).is_file():
        return dict(whole_tokenizer(folder / WHOLE).get_vocab(with_added_tokens=True))
    if not (folder / PAIR[0]).is_file():
        return None
    tokens = numbered(folder / PAIR[0], read_object(folder / PAIR[0]))
    check_merges(folder / PAIR[1], tokens)
    more = folder / "added_tokens.json"
    return tokens | (numbered(more, read_object(more)) if more.is_file() else {})


def numbered(path: Path, written: Mapping[str, Any]) -> dict[str, int]:
    """A vocabulary as its file holds it.

    Raises:
        UnreadableFile: something else than numbers stands in it, or nothing.
    """
    if not written or not all(isinstance(number, int) for number in written.values()):
        raise UnreadableFile(path, "is no vocabulary")
    return dict(written)


def check_merges(path: Path, tokens: Mapping[str, int]) -> None:
    """Hold the list of merges against the vocabulary: each token of more than one character is made
    by one of them (byte-pair encoding, Sennrich et al. 2016).

    Raises:
        UnreadableFile: too many are not, so the file was cut off.
    """
    lines = read_whole(path).decode(errors="replace").splitlines()
    made = {line.replace(" ", "", 1) for line in lines if not line.startswith("#version")}
    unmade = [
        token
        for token in tokens
        if len(token.removesuffix("</w>")) > 1 and token not in made and not is_mark(token)
    ]
    if len(unmade) > max(SPARE_TOKENS, len(tokens) // 100):
        what = f"makes {len(made):,} of the vocabulary's tokens and lacks {len(unmade):,}"
        raise UnreadableFile(path, what)


def is_mark(token: str) -> bool:
    """Whether a token is written in brackets, as those are that stand for no text."""
    return token.startswith("<") and token.endswith(">")


def added_tokens(written: Mapping[str, Any]) -> dict[str, int]:
    """The tokens that a tokenizer's config adds to the vocabulary."""
    listed = written.get("added_tokens_decoder")
    if not isinstance(listed, dict):
        return {}
    return {
        entry["content"]: int(number)
        for number, entry in listed.items()
        if str(number).isdecimal() and isinstance(entry, dict) and "content" in entry
    }


def marks_of(kind: str, written: Mapping[str, Any]) -> list[str]:
    """The tokens that stand for no text and must be in the vocabulary."""
    values = [written.get(f"{name}_token") for name in ("bos", "eos", "pad", "unk")]
    named = [value.get("content") if isinstance(value, dict) else value for value in values]
    own = MARKS if kind == "CLIPTokenizer" else []
    return list(dict.fromkeys([*own, *(token for token in named if isinstance(token, str))]))


def count_flaw(count: int, encoder: Mapping[str, Any]) -> str | None:
    """Why a vocabulary of so many tokens can't be that of a text encoder, or None."""
    inside = encoder.get("text_config")
    nested = inside.get("vocab_size") if isinstance(inside, dict) else None
    rows = encoder.get("vocab_size", nested)
    if not isinstance(rows, int) or rows - SPARE_ROWS <= count <= rows:
        return None
    return f"its vocabulary has {count:,} tokens and the text encoder knows {rows:,}"
