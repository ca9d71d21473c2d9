"""Lettering: fonts that have the characters of a text, and text that fits into a width."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

from render.text import cut_where_alike, one_line

FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
)
NEAR_LETTERS = str.maketrans(
    {"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "…": "..."}
    | {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "ø": "o", "Ø": "O", "ł": "l", "đ": "d", "ı": "i"}
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Letters:
    """A font in the page's two sizes, and the characters of the texts that it has."""

    large: Font
    small: Font
    known: frozenset[str]

    def spell(self, text: str) -> str:
        """The text in characters that the font has: é may become e, and 中 a question mark."""
        line = one_line(text)
        if self.known.issuperset(line):
            return line
        plain = unicodedata.normalize("NFKD", line.translate(NEAR_LETTERS))
        kept = (c for c in plain if not unicodedata.combining(c))
        return "".join(c if c in self.known or c.isascii() else "?" for c in kept)


@lru_cache(maxsize=1024)
def fitted(text: str, differs: int, letters: Letters, width: float, most: int) -> list[str]:
    """A text in at most so many lines of a width in pixels; too long a one is cut in the middle if
    it is like another one up to `differs`."""
    low, high = 1, len(text)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        shown = letters.spell(cut_where_alike(text, differs, middle))
        if len(wrapped(shown, letters.small, width, most + 1)) <= most:
            low = middle
        else:
            high = middle - 1
    shown = letters.spell(cut_where_alike(text, differs, max(low, 12)))
    return wrapped(shown, letters.small, width, most)


def wrapped(text: str, font: Font, width: float, most: int) -> list[str]:
    """The text in lines of a width in pixels; the last one ends in an ellipsis if there is more."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) <= most:
            lines.append(word)
        else:
            break
    kept = lines[:most]
    if len(lines) > most:
        kept[-1] = f"{kept[-1]} …"
    return [cut(line, font, width) for line in kept]


def cut(text: str, font: Font, width: float) -> str:
    """One line, with an ellipsis if it is too long."""
    if font.getlength(text) <= width:
        return text
    text = text[:400].removesuffix("…")
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def letters_for(texts: Sequence[str]) -> Letters:
    """Pillow's own font, or one of the system's if only that has all characters of the texts."""
    needed = set(one_line("".join(texts)))
    own = ImageFont.load_default(15)
    if not needed <= covered(own, needed):
        for name in FONTS:
            try:
                font = ImageFont.truetype(name, 14)
            except OSError:
                continue
            if needed <= covered(font, needed):
                return Letters(ImageFont.truetype(name, 21), font, frozenset(needed))
    return Letters(ImageFont.load_default(23), own, frozenset(covered(own, needed)))


def covered(font: Font, characters: Iterable[str]) -> set[str]:
    """The characters that the font draws otherwise than one that it lacks."""
    absent = bytes(font.getmask("\ufffe"))
    return {c for c in characters if c == " " or bytes(font.getmask(c)) != absent}


def line_height(font: Font) -> int:
    """From one line's top to the next one's."""
    box = font.getbbox("Ågj|")
    return math.ceil((box[3] - min(0, box[1])) * 1.3)
