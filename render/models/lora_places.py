"""Whether every layer that a LoRA changes is in the model, at its width. Without torch.

The headers of both hold names and shapes. A known mismatch is refused before a model is loaded.
Spellings that only diffusers turns into its own are looked at while loading
(diffusion/lora_layers.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from render.models.config_against_weights import Shapes, held_shapes, numbered
from render.models.family import Family
from render.models.foreign_tensors import wrapper_flaw
from render.models.lora_parts import LoraParts, Pair
from render.models.model_configs import INDEX, read_json
from render.models.weight_files import file_names

DIFFUSERS = re.compile(r"(?P<part>unet|text_encoder(?:_\d)?)\.(?P<path>.+)")
KOHYA = re.compile(r"lora_(?P<part>unet|te\d?)_(?P<path>.+)")
BLOCKS = re.compile(r"lora_unet_(?:down_blocks|mid_block|up_blocks)_")
AUTHORS_BLOCKS = re.compile(r"lora_unet_(?:input_blocks|middle_block|output_blocks)_")
APART = ((DIFFUSERS, KOHYA), (BLOCKS, AUTHORS_BLOCKS))
"""Spellings of which one file holds one."""
PARTS = {"te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}
"""Components by their names in the other spelling."""
OWN_BLOCKS = re.compile(r"(?:down_blocks|up_blocks|mid_block|encoder_layers)_")
"""How names in the other spelling begin that are those of diffusers, dots aside; Stable Diffusion
XL's trainers also count blocks as its authors did."""
AUTHORS = re.compile(r"_(?:op|in_layers|out_layers|emb_layers|skip_connection)(?:_|$)")
OLDER = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
"""Names that diffusers once gave to a text encoder's layers."""
SHARD = re.compile(r"(?P<stem>.+)-\d+-of-(?P<total>\d+)(?P<end>.*)\.safetensors")
ROW = re.compile(r"transformer\.(?P<row>\w+)\.(?P<number>\d+)\.")
SAVE = "save it with the pipeline's save_lora_weights"


class LayerPlace(NamedTuple):
    """A layer's component, and its path there as the file spells it."""

    part: str
    path: str
    dots: bool
    """Whether names of blocks are divided by dots, as in the model; else by underscores."""


def place_flaw(parts: LoraParts, family: Family, folder: Path | None) -> str | None:
    """The reason why a layer of a LoRA has no place in a model, or None.

    Args:
        folder: of the model's components; None if their weights are not known here.
    """
    if why := wrapper_flaw(pair.down for pair in parts.pairs):
        return why
    if not family.lora_names_are_layers:
        return beyond(parts, weights(folder, family.denoiser))
    return spelling_flaw(parts) or next(lost_layers(parts, folder), None)


def spelling_flaw(parts: LoraParts) -> str | None:
    """Why diffusers does not understand the names of a U-Net's and its text encoders' layers."""
    for pair in parts.pairs:
        if place_of(pair) is None:
            return (
                "names its layers in a spelling that diffusers does not read, the first "
                f"{pair.down}: names begin with unet. or text_encoder., or with lora_unet_ or "
                f"lora_te_; {SAVE}, or rename them so"
            )
    for kinds in APART:
        firsts = [[p.down for p in parts.pairs if kind.match(p.layer)][:1] for kind in kinds]
        if all(firsts):
            listed = " and ".join(name for first in firsts for name in first)
            return (
                f"names its layers in two spellings, {listed}, of which diffusers reads one in a "
                f"file; {SAVE}, or give it as two files"
            )
    return None


def place_of(pair: Pair) -> LayerPlace | None:
    """Where a layer is by its name, or None: neither spelling is its."""
    if found := DIFFUSERS.fullmatch(pair.layer):
        return LayerPlace(found["part"], found["path"], dots=True)
    if found := KOHYA.fullmatch(pair.layer):
        return LayerPlace(PARTS.get(found["part"], found["part"]), found["path"], dots=False)
    return None


def lost_layers(parts: LoraParts, folder: Path | None) -> Iterator[str]:
    """Reasons why layers have no place in a model with a U-Net."""
    held: dict[str, Shapes] = {}
    for pair in parts.pairs:
        place = place_of(pair)
        if place is None or folder is None:
            continue
        if not is_named(folder, place.part):
            yield f"changes a {place.part} ({pair.down}), and this model has none; leave it out"
            continue
        if place.part not in held:
            held[place.part] = by_spelling(weights(folder, place.part), place.dots)
        known = held[place.part]
        found = next((known[name] for name in names_of(place) if name in known), None)
        if found is None and known and is_certain(place):
            yield (
                f"changes a layer that this model has not ({pair.down}): it was made for another "
                "model, or is named by a tool that diffusers does not know; use it with its own "
                f"base model, or {SAVE}"
            )
        elif found is not None and (why := width_flaw(pair, found)):
            yield why


def is_named(folder: Path, part: str) -> bool:
    """Whether a model has a component, by its index; of a hub's model not all may be here."""
    index = folder / INDEX
    return not index.is_file() or read_json(index).get(part) not in (None, [None, None])


def is_certain(place: LayerPlace) -> bool:
    """Whether a name that the model has not is for certain that of no layer."""
    if place.dots:
        return True
    own = OWN_BLOCKS.match(place.path.removeprefix("text_model_"))
    return own is not None and AUTHORS.search(place.path) is None


def names_of(place: LayerPlace) -> tuple[str, ...]:
    """The names that a layer may have among `by_spelling`."""
    if not place.dots:
        return (place.path.removeprefix("text_model_"),)
    path = place.path.removeprefix("text_model.").replace(".processor.", ".")
    block, _, last = path.rpartition(".")
    if place.part != "unet":
        return path, f"{block}.{OLDER.get(last, last)}"
    return path, f"{path}.0"  # to_out


def by_spelling(shapes: Shapes, dots: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights that LoRAs can change, by the names of their layers."""
    named = {
        name.removesuffix(".weight").removeprefix("text_model."): shape
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) > 1
    }
    return named if dots else {name.replace(".", "_"): shape for name, shape in named.items()}


def width_flaw(pair: Pair, shape: tuple[int, ...]) -> str | None:
    """Why a layer's matrices are not those of a weight of this shape (out, in, …)."""
    (_, takes, *_), (gives, *_) = pair.shapes
    if (gives, takes) == shape[:2]:
        return None
    return (
        f"changes a layer from {takes} to {gives} channels ({pair.down}), and this model's goes "
        f"from {shape[1]} to {shape[0]}: it was made for another model; use it with its own"
    )


def beyond(parts: LoraParts, shapes: Shapes) -> str | None:
    """Why a transformer has not as many layers in a row as a LoRA changes."""
    for pair in parts.pairs:
        found = ROW.match(pair.layer)
        held = numbered(re.escape(found["row"]), shapes) if found else 0
        if found and held and int(found["number"]) >= held:
            return (
                f"changes a layer that this model has not ({pair.down}; it has {held} "
                f"{found['row']}): it was made for another model; use it with its own"
            )
    return None


def weights(folder: Path | None, part: str) -> Shapes:
    """Names and shapes of a component's weights; none if they are not all on this machine."""
    component = folder / part if folder else None
    if component is None or not all_there(component):
        return {}
    return held_shapes(component, "transformers" if "encoder" in part else "diffusers")


def all_there(component: Path) -> bool:
    """Whether all shards are there of which one is."""
    shards = [found for name in file_names(component) if (found := SHARD.fullmatch(name))]
    counts = Counter((found["stem"], found["total"], found["end"]) for found in shards)
    return all(count == int(total) for (_, total, _), count in counts.items())
