"""Words with weights inside a text, `a town with (a castle:1.3)`, for the families that read them.

The weights are compel's: above 1 a word's embeddings lead further away from those of the empty
text, below 1 the text's embeddings go towards those of the text with the words masked. It also
reads texts that are longer than the encoder's window, in several windows one after another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from typing import Any

WEIGHT = re.compile(r"(?<!\\)\((?P<words>[^()]*):\s*(?P<weight>[+-]?(?:\d++\.?\d*+|\.\d++))\s*\)")
MOST = 10.0  # a weight beyond it is a slip

Pieces = tuple[tuple[str, float], ...]


def weights_in(text: str) -> Iterator[re.Match[str]]:
    """The parts of a text that other tools read as words with a weight.

    A time, a ratio or a verse in brackets is none: `(at 10:30)`, `(16:9)`.
    """
    for found in WEIGHT.finditer(text):
        if "." in found["weight"] or not found["words"][-1:].isdigit():
            yield found


def weighted_part(text: str) -> str | None:
    """The first words with a weight in a text."""
    return next((found[0] for found in weights_in(text)), None)


@lru_cache(maxsize=4096)
def has_weights(text: str) -> bool:
    """Whether a text is read by its weights."""
    return weighted_part(text) is not None


def pieces(text: str) -> Pieces:
    """A text in parts with their weights, 1 for what stands outside of brackets."""
    found, end = [], 0
    for part in weights_in(text):
        found += [(text[end : part.start()], 1.0), (part["words"], float(part["weight"]))]
        end = part.end()
    return tuple((words, weight) for words, weight in (*found, (text[end:], 1.0)) if words.strip())


def plain(text: str) -> str:
    """A text without its weights."""
    return "".join(words for words, _ in pieces(text)) if has_weights(text) else text


def without_weights(text: str, instead: str = "") -> str:
    """A text without its words that have weights."""
    kept, end = [], 0
    for part in weights_in(text):
        kept.append(text[end : part.start()])
        end = part.end()
    return instead.join([*kept, text[end:]])


def weight_flaw(text: str) -> str | None:
    """The part of a text from which no weight can be read, or None."""
    parts = list(weights_in(text))
    if parts and weighted_part(without_weights(text)):
        return "weights inside of weights can't be read; give each part a weight of its own"
    if any(not 0 <= float(part["weight"]) <= MOST for part in parts):
        return f"a weight is a number from 0 to {MOST:g}; what is not wanted is a negative"
    return None


def reader_name() -> str:
    """Who turns weights into embeddings; part of the identity of frames that have any."""
    return f"compel {version('compel')}"


# --- texts as the pipelines take them ------------------------------------------------------------


def sd_texts(pipeline: Any, text: str, whole: bool = False) -> dict[str, Any]:
    """Arguments of the pipeline's call for a text with weights, or for a long one."""
    read = weighted(pipeline, "", text, "LAST_HIDDEN_STATES_NORMALIZED", whole)
    return {"prompt": None, "prompt_embeds": read}


def sdxl_texts(pipeline: Any, text: str, whole: bool = False) -> dict[str, Any]:
    """Likewise. What both encoders pool is the plain text's, of its first window."""
    import torch

    kind = "PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED"
    read = [weighted(pipeline, place, text, kind, whole) for place in ("", "_2")]
    pooled = pipeline.encode_prompt(plain(text), do_classifier_free_guidance=False)[2]
    joined = torch.cat(read, dim=-1)
    return {"prompt": None, "prompt_embeds": joined, "pooled_prompt_embeds": pooled}


def weighted(pipeline: Any, place: str, text: str, kind: str, whole: bool) -> Any:
    """One text encoder's embeddings (1, tokens, D) of a text with weights.

    Args:
        place: which of the pipeline's encoders, `` or `_2`.
        kind: name of a `ReturnedEmbeddingsType` of compel.
        whole: a long text has as many tokens as its windows together; else it is cut.
    """
    from compel.embeddings_provider import (
        EmbeddingsProvider,
        ReturnedEmbeddingsType,
        SplitLongTextMode,
    )

    tokenizer = getattr(pipeline, f"tokenizer{place}")
    encoder = getattr(pipeline, f"text_encoder{place}")
    read_as = ReturnedEmbeddingsType[kind]
    provider = EmbeddingsProvider(
        tokenizer,
        encoder,
        returned_embeddings_type=read_as,
        truncate=not whole,
        split_long_text_mode=SplitLongTextMode.SENTENCES,
    )
    words = [pipeline.maybe_convert_prompt(part, tokenizer) for part, _ in pieces(text)]
    weights = [weight for _, weight in pieces(text)]
    return provider.get_embeddings_for_weighted_prompt_fragments(
        [words], [weights], device=pipeline._execution_device
    )
