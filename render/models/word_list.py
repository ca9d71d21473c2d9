"""The words that a model has learnt, for models whose folder lists them (`words.txt`).

A model that was trained on few words reads past all others, and its picture says nothing of it.
"""

from __future__ import annotations

import re
from pathlib import Path

from render.config.values import near_name
from render.files.atomic import read_regular

LIST_NAME = "words.txt"
MAX_BYTES = 1_000_000
WORD = re.compile(r"[^\W_]+")
NEAR = 0.8
MOST_COMPARED = 10_000  # words; a longer list, which may come from anyone, takes seconds a word


def known_words(folder: Path | None) -> frozenset[str]:
    """The words of a model's list, in small letters; none if it has no list."""
    try:
        content = read_regular(folder / LIST_NAME, MAX_BYTES) if folder else b""
    except OSError:
        return frozenset()
    return frozenset(content.decode("utf-8", "replace").lower().split())


def unknown_words(text: str, known: frozenset[str]) -> list[str]:
    """The words of a text that are not known, each once and in order."""
    found = WORD.findall(re.sub(r"(?<=\w)['’]s\b", "", text))
    words = dict.fromkeys(word for word in found if any(map(str.isalpha, word)))
    return [word for word in words if word.lower() not in known]


def with_nearest(word: str, known: frozenset[str]) -> str:
    """A word in quotes, with the known one that it may have been meant for, if the list is short
    enough to look for it."""
    few = len(known) <= MOST_COMPARED
    near = near_name(word[:40].lower(), sorted(known), NEAR) if few else None
    return f"{word!r} ({near!r}?)" if near else repr(word)
