"""Prompts as AUTOMATIC1111's web UI and its kin have them: `a town :0.7 AND a wood :0.3 --neg fog`,
with arithmetic of the frame between backticks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from render.config.expression import Node
from render.importers.expressions import (
    decimal,
    is_constant,
    number_of,
    read_expression,
    timeline_expression,
)
from render.importers.schedules import tidy

NUMBER = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?\s*", re.ASCII | re.IGNORECASE)
BACKTICKS = re.compile(r"`([^`]*)`")
EXTRAS = re.compile(r"<(?:lora|lyco|hypernet):([^:<>]{1,200})(?::[^<>]{0,200})?>")
EDITED = re.compile(r"\[[^\[\]\n]{0,300}[:|][^\[\]\n]{0,300}\]")
MOST_PLACES = 3
"""Keyframes that each name one loss; of more, it is said of the whole film."""
STRESS = re.compile(r"\(\(|\[[^\]\n|:]+\]")
MOST_TRIED = 10_000
"""Frames at which an expression is tried."""
STRESSED = "brackets without a number, ((a word)) and [a word]: they are read as prose here"
IN_A_TEXT = "a weight inside a text that changes from frame to frame: it stays as it is here"
EDITING = "texts that change from step to step, [a:b:0.5] and [a|b]: they are read as prose here"
LORA = "the LoRA {}: model.loras loads it, and keyframes have its weight (lora)"
RATIOS = "weights that don't add up to 1, which also change the guidance: their ratios count here"
BELOW_ZERO = "a text with a weight below zero; say in `negative` what should not show"


@dataclass(frozen=True, slots=True)
class WeightedPrompt:
    """A prompt at one keyframe.

    Attributes:
        texts: with their weights: numbers, or expressions of the frame.
        negative: what not to show.
        lost: sentences about what could not be carried over.
    """

    texts: Mapping[str, int | float | str]
    negative: str
    lost: tuple[str, ...] = ()

    @property
    def written(self) -> str | dict[str, int | float | str]:
        """The prompt as a timeline has it: one text, or texts with weights."""
        return next(iter(self.texts)) if len(self.texts) == 1 else dict(self.texts)


def read_prompt(text: str, frame: int, names: Mapping[str, float]) -> WeightedPrompt:
    """The prompt that a text is.

    Args:
        frame: at which arithmetic inside a text is done.
        names: the values of names beside `t`.

    Raises:
        ValueError: arithmetic is broken, with what is wrong.
    """
    positive, _, negative = EXTRAS.sub(" ", text).partition("--neg")
    lost = [LORA.format(name) for name in EXTRAS.findall(text)]
    texts: dict[str, int | float | str] = {}
    parts = re.split(r"\bAND\b", positive)
    for part in parts:
        words, weight = part_weight(part, names) if len(parts) > 1 else (part, 1)
        plain_words = one_line(at_frame(words, frame, names))
        if plain_words != one_line(words):
            lost.append(IN_A_TEXT)
        if isinstance(weight, str) and weight.startswith("max(0, "):
            lost.append(BELOW_ZERO)
        if not isinstance(weight, str) and weight <= 0:
            lost += [BELOW_ZERO] if weight < 0 else []
            continue
        before = texts.get(plain_words, 0)
        if not isinstance(before, str) and not isinstance(weight, str):
            weight = tidy(before + weight)  # the same text twice
        texts[plain_words] = weight
    plain_negative = joined(at_frame(negative.replace("--neg", " "), frame, names))
    numbers = [weight for weight in texts.values() if not isinstance(weight, str)]
    if len(texts) > 1 and len(numbers) == len(texts) and abs(sum(numbers) - 1) > 1e-3:
        lost.append(RATIOS)
    for pattern, sentence in ((STRESS, STRESSED), (EDITED, EDITING)):
        lost += [sentence] if pattern.search(positive) else []
    return WeightedPrompt(texts or {"": 1}, plain_negative, tuple(dict.fromkeys(lost)))


def joined(negative: str) -> str:
    """The negative texts of a composed prompt as one, each once."""
    parts = re.split(r"\bAND\b", negative)
    if len(parts) > 1:
        split = [part.rpartition(":") for part in parts]
        parts = [head if NUMBER.fullmatch(tail) else f"{head}{colon}{tail}"
                 for head, colon, tail in split]  # fmt: skip
    return ", ".join(dict.fromkeys(line for part in parts if (line := one_line(part))))


def part_weight(part: str, names: Mapping[str, float]) -> tuple[str, int | float | str]:
    """(text, weight) of a part between `AND`s; 1 without a weight."""
    words, colon, tail = part.rpartition(":")
    if colon and NUMBER.fullmatch(tail):
        return words, tidy(float(tail))
    backticks = BACKTICKS.fullmatch(tail.strip()) if colon else None
    if not backticks:
        return part, 1
    term = read_expression(backticks[1])
    if is_constant(term, names):
        return words, tidy(number_of(term, names))
    return words, never_below_zero(term, names)


def never_below_zero(term: Node, names: Mapping[str, float]) -> str:
    """An expression of a timeline for a weight: 0 where it would be less."""
    known = {name: decimal(number) for name, number in names.items()}
    written = timeline_expression(term, {**known, "t": "frame"})
    tried = range(int(min(names.get("max_f", 0), MOST_TRIED)) + 1)
    least = min(number_of(term, {**names, "t": frame}) for frame in tried)
    return f"max(0, {written})" if least < 0 else written


def at_frame(text: str, frame: int, names: Mapping[str, float]) -> str:
    """A text in which each arithmetic has its value at a frame."""

    def number(match: re.Match[str]) -> str:
        value = number_of(read_expression(match[1]), {**names, "t": frame})
        return f"{round(value, 4):g}"

    return BACKTICKS.sub(number, text)


def one_line(text: str) -> str:
    """A text without line ends and double spaces."""
    return " ".join(text.split())


def gathered(
    lost_at: Mapping[int, Sequence[str]],
) -> tuple[list[str], dict[int, list[str]]]:
    """(sentences that many keyframes share, the others by their keyframes)."""
    counts = Counter(sentence for sentences in lost_at.values() for sentence in sentences)
    shared = [sentence for sentence, count in counts.items() if count > MOST_PLACES]
    single = {
        place: [sentence for sentence in sentences if counts[sentence] <= MOST_PLACES]
        for place, sentences in lost_at.items()
    }
    return shared, {place: sentences for place, sentences in single.items() if sentences}


def mixture(
    before: WeightedPrompt, after: WeightedPrompt, share: float
) -> dict[str, int | float | str] | str:
    """The prompt at a share of the way from one keyframe to the next; an expression counts 1."""
    weights: dict[str, float] = {}
    for prompt, part in ((before, 1 - share), (after, share)):
        known = {key: 1.0 if isinstance(w, str) else float(w) for key, w in prompt.texts.items()}
        whole = sum(known.values())
        for text, weight in known.items():
            weights[text] = weights.get(text, 0.0) + part * weight / whole
    kept = {text: tidy(round(weight, 6)) for text, weight in weights.items() if weight > 1e-9}
    return next(iter(kept)) if len(kept) == 1 else dict(kept)
