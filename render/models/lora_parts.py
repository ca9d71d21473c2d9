"""The parts of a LoRA's file by its header and its scalars: layers with rank and alpha, and tensors
that no layer takes. Without torch.

Each layer's matrices are added as alpha / rank * up @ down (Hu et al. 2022), with the alpha and the
rank of that very layer; where a file gives no alpha, it is the rank.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

PAIR = re.compile(
    r"^(?P<layer>.+?)(?:\.lora_linear_layer\.|[._]lora[._]|\.)"
    r"(?P<kind>down|A|up|B)(?:\.default)?\.(?P<part>weight|bias)$"
)
NAMED_APART = re.compile(r"[._]lora(?:_linear_layer)?$")
MAGNITUDE = re.compile(r"^(?P<layer>.+)\.lora_magnitude_vector(?:\.default)?(?:\.weight)?$")
KRONECKER = ".lokr_"
CONFIG = "lora_adapter_metadata"
"""Where diffusers writes peft's own config of a LoRA, in the header's metadata."""
SCALARS = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h"}


@dataclass(frozen=True, slots=True)
class Pair:
    """The two matrices of one layer, by their keys and shapes.

    `down` is (rank, in, …) and `up` is (out, rank, …). A `bias` or a `magnitude` (DoRA) may come
    with them.
    """

    layer: str
    down: str
    up: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    alpha: tuple[str, float] | None
    """Its key and value; None: it is the rank."""
    bias: bool = False
    magnitude: bool = False

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return self.shapes[0][0]

    @property
    def scale(self) -> float:
        """The factor of the product of the matrices: alpha / rank."""
        return self.alpha[1] / self.rank if self.alpha else 1.0


@dataclass(frozen=True, slots=True)
class LoraParts:
    """A LoRA's file taken apart."""

    pairs: tuple[Pair, ...]
    halves: tuple[str, ...]
    """Keys of matrices whose other one is not there."""
    others: tuple[str, ...]
    """Keys of tensors that are no part of a pair and not all zero; no loader applies them."""
    kronecker: bool
    """Whether it is a LoKr, whose factors are more than two."""
    configured: bool
    """Whether peft's own config of it stands in the header."""

    @property
    def uneven(self) -> bool:
        """Whether there are alphas, and they or the ranks differ within a component."""
        scales: dict[str, set[tuple[int, float]]] = {}
        for pair in self.pairs:
            alpha = pair.alpha[1] if pair.alpha else pair.rank
            scales.setdefault(component(pair.layer), set()).add((pair.rank, alpha))
        mixed = any(len(found) > 1 for found in scales.values())
        return mixed and any(pair.alpha for pair in self.pairs)


def component(layer: str) -> str:
    """The beginning of a layer's name that says which network it is in."""
    found = re.match(r"lora_(?:te\d?|unet|transformer)(?=_)|text_encoder(?:_\d)?(?=\.)", layer)
    return found[0] if found else ""


def parts_of(file: Path) -> LoraParts:
    """Take a whole .safetensors file apart by its names."""
    header, begin = raw_header(file)
    metadata = header.pop("__metadata__", {})
    kronecker = any(KRONECKER in key for key in header)
    halves: dict[tuple[str, str], str] = {}
    with_bias, magnitudes, alphas, rest = set(), set(), {}, []
    for key in header:
        if (found := PAIR.match(key)) and (found["part"] == "bias" or is_matrix(header[key])):
            kind = {"A": "down", "B": "up"}.get(found["kind"], found["kind"])
            if found["part"] == "weight":
                halves[found["layer"], kind] = key
            else:
                with_bias.add(found["layer"])
        elif found := MAGNITUDE.match(key):
            magnitudes.add(NAMED_APART.sub("", found["layer"]))
        elif key.endswith(".alpha") and is_number(header[key]):
            alphas[NAMED_APART.sub("", key.removesuffix(".alpha"))] = key
        elif not (kronecker and KRONECKER in key):
            rest.append(key)
    whole = [layer for layer, kind in halves if kind == "down" and (layer, "up") in halves]
    pairs = tuple(
        Pair(
            layer,
            halves[layer, "down"],
            halves[layer, "up"],
            (shape(header, halves[layer, "down"]), shape(header, halves[layer, "up"])),
            alpha_of(file, header, begin, alphas.get(layer)),
            layer in with_bias,
            layer in magnitudes,
        )
        for layer in whole
    )
    return LoraParts(
        pairs,
        halves=tuple(key for (layer, _), key in halves.items() if layer not in set(whole)),
        others=tuple(key for key in rest if not all_zero(file, header[key], begin)),
        kronecker=kronecker,
        configured=CONFIG in metadata,
    )


def shape(header: Mapping[str, Any], key: str) -> tuple[int, ...]:
    """Shape of a tensor."""
    return tuple(header[key]["shape"])


def is_matrix(entry: Mapping[str, Any]) -> bool:
    """Whether a tensor is a matrix."""
    return len(entry["shape"]) >= 2 and 0 not in entry["shape"]


def is_number(entry: Mapping[str, Any]) -> bool:
    """Whether a tensor is one number of a usual type."""
    return entry["dtype"] in {*SCALARS, "BF16"} and prod(entry["shape"]) == 1


def raw_header(file: Path) -> tuple[dict[str, Any], int]:
    """A safetensors header as it is written, and where the tensors' bytes begin."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        return json.loads(stream.read(length)), 8 + length


def content(file: Path, entry: Mapping[str, Any], begin: int) -> bytes:
    """The bytes of one tensor."""
    first, last = entry["data_offsets"]
    with file.open("rb") as stream:
        stream.seek(begin + first)
        return stream.read(last - first)


def all_zero(file: Path, entry: Mapping[str, Any], begin: int) -> bool:
    """Whether a tensor changes nothing; some tools write such ones."""
    return not any(content(file, entry, begin))


def alpha_of(
    file: Path, header: Mapping[str, Any], begin: int, key: str | None
) -> tuple[str, float] | None:
    """The alpha that stands at a key, whatever type of number it is written as."""
    if key is None:
        return None
    entry = header[key]
    written = content(file, entry, begin)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        return key, float(struct.unpack("<f", b"\0\0" + written)[0])
    return key, float(struct.unpack(SCALARS[entry["dtype"]], written)[0])


def kind_of(key: str) -> str:
    """The end of a key that says what its tensor is: `dora_scale`, `lora_mid.weight`."""
    *_, before, last = ["", *key.split(".")]
    return f"{before}.{last}".lstrip(".") if last in ("weight", "bias") else last


def parts_flaw(parts: LoraParts) -> str | None:
    """The reason why a part of a file can't be applied, or None."""
    if parts.halves:
        return f"is not whole: {parts.halves[0]} stands without the other matrix of its layer"
    for pair in parts.pairs:
        if pair.rank != pair.shapes[1][1]:
            return (
                f"is not whole: {pair.down} has {pair.rank} rows and {pair.up} {pair.shapes[1][1]} "
                "columns, which are its layer's one rank; get the file again"
            )
        if pair.alpha and not isfinite(pair.alpha[1]):
            return (
                f"has {pair.alpha[1]} as {pair.alpha[0]}, so every picture would be lost; get the "
                "file again"
            )
    if not parts.others:
        return None
    kinds = Counter(map(kind_of, parts.others))
    named = ", ".join(f"{kind} ({count} times)" for kind, count in kinds.most_common(4))
    if "dora_scale" in kinds:
        return (
            f"is a DoRA with magnitudes that diffusers leaves out: {named}; a picture without them "
            "would be another one: use the plain LoRA of it, or one that peft saved "
            "(lora_magnitude_vector)"
        )
    return (
        f"holds tensors that belong to no layer's two matrices and would be left out: {named}, the "
        f"first {parts.others[0]}; use a plain LoRA, or one without them"
    )
