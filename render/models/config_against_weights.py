"""Whether a component's config is that of its weights: layers, widths and channels. Without torch.

A library reads weights past the layers that a config names, and says nothing: the picture is then
another. Only the headers of the files are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from render.errors import Mistake
from render.models.model_configs import CONFIG, config_of
from render.models.single_file import shapes_in
from render.models.weight_files import FILE, STEMS

Shapes = Mapping[str, tuple[int, ...]]

LAYERS = {
    r"(?:text_model\.)?encoder\.layers": ("num_hidden_layers",),
    r"encoder\.block": ("num_layers",),
    r"(?:(?:model|language_model)\.)*layers": ("num_hidden_layers", "num_layers", "n_layers"),
    r"transformer_blocks": ("num_layers",),
    r"single_transformer_blocks": ("num_single_layers",),
}
"""How the names of layers in a row begin, and the settings that may hold their number."""
BLOCKS = {
    r"down_blocks": "block_out_channels",
    r"up_blocks": "block_out_channels",
    r"encoder\.down_blocks": "block_out_channels",
    r"decoder\.up_blocks": "block_out_channels",
}
"""The same for blocks of which a setting lists each one's channels."""
COUNTS = re.compile(r"(?:\w+_)?(?:layers|blocks)(?:_per_\w+)?|layers_per_\w+|(?:\w+_)?depths?")
"""Settings that are a number of layers, or list such numbers."""
MOST_LAYERS = 1000  # of one kind; the largest models have a hundred, and making many takes for ever
SIDES = {
    "hidden_size": (r"(?:text_model\.)?embeddings\.token_embedding\.weight", 1),
    "intermediate_size": (r"(?:text_model\.)?encoder\.layers\.0\.mlp\.fc1\.weight", 0),
    "max_position_embeddings": (r"(?:text_model\.)?embeddings\.position_embedding\.weight", 0),
    "vocab_size": (r"(?:text_model\.)?embeddings\.token_embedding\.weight", 0),
    "d_model": (r"shared\.weight", 1),
    "in_channels": (r"conv_in\.weight", 1),
    "cross_attention_dim": (r"(?:down|up)_blocks\.\d+\.attentions\.0\.transformer_blocks\.0\.attn2"
                            r"\.to_k\.weight", 1),
    "latent_channels": (r"decoder\.conv_in\.weight", 1),
}  # fmt: skip
"""The settings that are a side of a weight, by the weight's whole name."""
OPTIONAL: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "UNet2DConditionModel": {
        r"time_embedding\.cond_proj\.weight": ("time_cond_proj_dim",),
        r"add_embedding\.linear_1\.weight": ("addition_embed_type",),
        r"class_embedding\..*": ("class_embed_type", "num_class_embeds"),
        r"encoder_hid_proj\..*": ("encoder_hid_dim", "encoder_hid_dim_type"),
    },
    "SD3Transformer2DModel": {r"transformer_blocks\.0\.attn\.norm_q\.weight": ("qk_norm",)},
}
"""By class and the weight's whole name: the settings, without all of which a library has no place
for that weight."""
WAY = "one of the two is another model's: download both again"


def mistakes_in_config(component: Path, library: str) -> Iterator[Mistake]:
    """Everything in which a component's config and its weights differ."""
    config, shapes = config_of(component, "."), held_shapes(component, library)
    path = str(component / CONFIG)
    for key, said, held in (*layers(config, shapes), *blocks(config, shapes)):
        if said != held:
            yield Mistake(path, f"{key} gives {said}, the weights have {held}; {WAY}")
    for key, count in far_too_many(config):
        what = f"{count:,} are more layers than any model has; download the file again"
        yield Mistake(path, f"{key}: {what}")
    for key, (pattern, side) in SIDES.items():
        sides = {
            shape[side]
            for name, shape in shapes.items()
            if re.fullmatch(pattern, name) and len(shape) > side
        }
        side_given = config.get(key)
        if isinstance(side_given, int) and len(sides) == 1 and side_given not in sides:
            yield Mistake(path, f"{key} is {side_given}, in the weights it is {sides.pop()}; {WAY}")
    for key, name in placeless(config, shapes):
        yield Mistake(path, f"{key} is not given, and the weights have {name}; {WAY}")


def far_too_many(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The first setting that asks for more layers than any model has, however deep it stands."""
    waiting: list[tuple[str, Any]] = list(config.items())
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((key, each) for each in value)
        elif isinstance(value, int) and value > MOST_LAYERS and COUNTS.fullmatch(key):
            yield key, value
            return


def placeless(config: Mapping[str, Any], shapes: Shapes) -> Iterator[tuple[str, str]]:
    """Weights that a library leaves out since a setting is not given, each after that setting."""
    for pattern, keys in OPTIONAL.get(str(config.get("_class_name")), {}).items():
        name = next((name for name in shapes if re.fullmatch(pattern, name)), None)
        if name and all(config.get(key) is None for key in keys):
            yield keys[0], name


def held_shapes(component: Path, library: str) -> dict[str, tuple[int, ...]]:
    """The weights of a component's files that its library knows, with their shapes."""
    pattern = re.compile(FILE.format(stem=STEMS[library]))
    files = [file for file in component.glob("*.safetensors") if pattern.fullmatch(file.name)]
    return {name: shape for file in files for name, shape in shapes_in(file, "model").items()}


def layers(config: Mapping[str, Any], shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """Settings that are a number of layers: name, number, and that in the weights."""
    inside = config.get("text_config")
    settings = {**config, **(inside if isinstance(inside, dict) else {})}
    for pattern, keys in LAYERS.items():
        said = next(
            ((key, settings[key]) for key in keys if isinstance(settings.get(key), int)), None
        )
        held = numbered(pattern, shapes)
        if said and held:
            yield *said, held


def blocks(config: Mapping[str, Any], shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """Settings that list blocks: name, how many, and how many the weights have."""
    for pattern, key in BLOCKS.items():
        said, held = config.get(key), numbered(pattern, shapes)
        if isinstance(said, list) and held:
            yield key, len(said), held
    per_block = config.get("layers_per_block")
    for pattern in (r"down_blocks\.0\.resnets", r"encoder\.down_blocks\.0\.resnets"):
        if isinstance(per_block, int) and (count := numbered(pattern, shapes)):
            yield "layers_per_block", per_block, count


def numbered(pattern: str, shapes: Shapes) -> int:
    """How many layers the names that begin so count, from 0; 0 if there are none."""
    begun = re.compile(rf"{pattern}\.(\d+)\.")
    numbers = {int(found[1]) for name in shapes if (found := begun.match(name))}
    return max(numbers) + 1 if numbers else 0
