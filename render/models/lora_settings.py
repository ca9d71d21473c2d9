"""peft's own settings in the header of a LoRA: diffusers hands them to peft as they are written.

Whoever made the file wrote them. Some name a module to import, change the model's own weights or
are regular expressions without end. Only those are let through that say how the two matrices of a
layer are added, and those that mean nothing here; others have to be at their defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from render.config.values import shown
from render.files.received_json import parsed
from render.models.lora_parts import CONFIG, LoraParts
from render.models.token_limits import ATOM, is_endless

MOST_RANK = 64  # unless a layer of the file has a higher one
MOST_PATTERN, MOST_STEPS = 4000, 3
STEP = re.compile(r"(?<!\()(?:[*+?]|\{[^}]*\})[?+]?")
"""The parts of a regular expression that repeat or may be absent: `.*`, `[0-9]+`, `(?:_x)?`."""
LOOK = re.compile(r"\(\?<?[!=][^()*+?{]*\)")
NAME = re.compile(r"\^?(?:\w|-|\\?\.)+\$?")
OFF: tuple[object, ...] = (None, False, 0, "", [], {})
DROPOUTS = ("lora_dropout", "rank_dropout", "module_dropout")
UNUSED = {
    "auto_mapping", "base_model_name_or_path", "bias", "inference_mode", "megatron_core",
    "peft_type", "peft_version", "qalora_group_size", "revision", "task_type",
}  # fmt: skip
"""Settings of training, and those that only others use which are refused."""


def settings_flaw(metadata: Mapping[str, str], parts: LoraParts) -> str | None:
    """Why a LoRA is not loaded by the settings in its header, or None."""
    try:
        written = list(settings(metadata))
    except ValueError as error:
        return f"has settings of peft's in its header that can't be read: {error}"
    ranks = [pair.rank for pair in parts.pairs]
    most = math.inf if parts.kronecker else max(MOST_RANK, *ranks) if ranks else MOST_RANK
    rules: dict[str, Callable[[object], bool]] = {**RULES}
    rules |= {"r": partial(is_rank, most), "rank_pattern": partial(are_ranks, most)}
    for part, name, value in written:
        if name in UNUSED or (name not in rules and value in OFF):
            continue
        if name not in rules or not rules[name](value):
            return (
                f"has peft's setting {name} in its header as {shown(value)}, by which it is not "
                "loaded here: it could run code, take for ever, or change more than the layers of "
                "the file; save it as a plain LoRA"
            )
        own = [pair for pair in parts.pairs if pair.layer.startswith(f"{part}.")]
        if name == "use_dora" and value and not all(pair.magnitude for pair in own):
            return "says that it has magnitudes (use_dora), and lacks them; save it again"
    return None


def settings(metadata: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Component, name and value of every setting.

    Raises:
        ValueError: they are no JSON object.
    """
    written = parsed(metadata.get(CONFIG) or "{}")
    if not isinstance(written, dict):
        raise ValueError("is no JSON object")
    for key, value in written.items():
        part, _, name = key.rpartition(".")
        yield part, name, value


def has_dropout(metadata: Mapping[str, str]) -> bool:
    """Whether a LoRA was trained with dropout, by its settings."""
    try:
        return any(name in DROPOUTS and bool(value) for _, name, value in settings(metadata))
    except ValueError:
        return False


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_share(value: object) -> bool:
    """Whether a value is a part of one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def is_rank(most: float, value: object) -> bool:
    """Whether a value is a rank that takes no more memory than the file's own."""
    return isinstance(value, int) and 0 < value <= most


def are_ranks(most: float, value: object) -> bool:
    """Whether a value is a rank for each of some layers."""
    return are_named(value, partial(is_rank, most))


def are_alphas(value: object) -> bool:
    """Whether a value is a number for each of some layers."""
    return are_named(value, is_number)


def are_named(value: object, fits: Callable[[object], bool]) -> bool:
    """Whether an object has names of layers, which peft takes for patterns, and values that fit."""
    return isinstance(value, dict) and all(
        NAME.fullmatch(name) is not None and fits(item) for name, item in value.items()
    )


def are_layers(value: object) -> bool:
    """Whether a value names layers: a list of names, or a pattern that is quickly tried."""
    if isinstance(value, list):
        return all(isinstance(name, str) and NAME.fullmatch(name) for name in value)
    return value is None or (isinstance(value, str) and is_quick(value))


def is_quick(pattern: str) -> bool:
    """Whether a regular expression is quickly tried on every name of a model's layers."""
    if len(pattern) > MOST_PATTERN or is_endless(pattern):
        return False
    plain = LOOK.sub("", ATOM.sub("C", pattern))
    inside = re.sub(r"^\((?:\?:)?(.*)\)$", r"\1", plain, flags=re.DOTALL)
    apart = inside.split("|") if "(" not in inside else [plain]  # tried one after another
    return all(len(STEP.findall(branch)) <= MOST_STEPS for branch in apart)


def is_plain_start(value: object) -> bool:
    """Whether the matrices alone are set before the file's come over them; other ways change the
    model's own weights, or need data."""
    return value is None or isinstance(value, bool) or value == "gaussian"


def is_flag(value: object) -> bool:
    """Whether a value is yes or no."""
    return isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number."""
    return isinstance(value, int)


RULES: Mapping[str, Callable[[object], bool]] = {
    "alpha": is_number,
    "alpha_pattern": are_alphas,
    "decompose_both": is_flag,
    "decompose_factor": is_whole,
    "exclude_modules": are_layers,
    "fan_in_fan_out": is_flag,
    "init_lora_weights": is_plain_start,
    "init_weights": is_plain_start,
    "lora_alpha": is_number,
    "lora_bias": is_flag,
    **dict.fromkeys(DROPOUTS, is_share),
    "rank_dropout_scale": is_flag,
    "target_modules": are_layers,
    "use_dora": is_flag,
    "use_effective_conv2d": is_flag,
    "use_rslora": is_flag,
}
"""The settings that say how matrices are added, each with a check."""
