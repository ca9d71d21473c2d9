"""Which layer of a pipeline each part of a LoRA's file reached, and at which strength.

diffusers turns the spellings of many tools into peft's. What it drops on the way, and which alphas
it multiplies in itself, is found by sending marked numbers in the file's own names the same way,
not by a second table of names that would age.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isclose
from typing import Any

import torch
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from peft.tuners.tuners_utils import BaseTunerLayer

from render.models.lora_parts import LoraParts, Pair

REDUNDANT = re.compile(r"(attention[._](?:qkv|out))$")
"""Z-Image: some files hold a layer twice, as one and in three; diffusers takes the three."""

Marks = Mapping[tuple[str, str], torch.Tensor]
"""Marked values (out,) by the component and the layer's path in it."""


class Misfit(Exception):
    """Why a LoRA does not fit the pipeline that it was loaded into."""


def strengthen(pipeline: Any, denoiser: str, parts: LoraParts, adapter: str) -> None:
    """Let every layer add what the file says for it, at alpha / rank.

    Args:
        denoiser: name of the pipeline's component that denoises.
        adapter: the loaded LoRA's name in peft's layers.

    Raises:
        Misfit: parts of the file reached no layer, or at a strength that can't be set right.
    """
    marks = marked(pipeline, denoiser, parts.pairs, with_alphas=False)
    scaled = marked(pipeline, denoiser, parts.pairs, with_alphas=True)
    reached: set[Pair] = set()
    for (component, path), values in marks.items():
        layer = layer_at(getattr(pipeline, component, None), path, adapter)
        if layer is None:
            continue
        pairs = [parts.pairs[int(mark) - 1] for mark in values.unique().tolist()]
        reached.update(pairs)
        check_additions(layer, pairs, adapter)
        if not parts.configured:
            done = (scaled[component, path] / values).unique().tolist()
            set_scale(layer, strength(pairs, done), adapter)
    lost = [pair for pair in parts.pairs if pair not in reached and not redundant(pair, parts)]
    if lost:
        raise Misfit(
            f"{len(lost)} of the {len(parts.pairs)} layers that it changes are not there, the "
            f"first {lost[0].layer}"
        )


def marked(pipeline: Any, denoiser: str, pairs: Sequence[Pair], with_alphas: bool) -> Marks:
    """The layers that diffusers makes of matrices of rank 1 in the file's names, each with its
    number in it.

    Args:
        with_alphas: whether they come at the file's strengths, or at 1.
    """
    sent: dict[str, torch.Tensor] = {}
    for mark, pair in enumerate(pairs, start=1):
        down, up = pair.shapes
        sent[pair.down] = torch.ones(1, *down[1:], dtype=torch.float64)
        sent[pair.up] = torch.full((up[0], 1, *up[2:]), float(mark), dtype=torch.float64)
        if pair.alpha:
            scale = pair.scale if with_alphas else 1.0
            sent[pair.alpha[0]] = torch.tensor(scale, dtype=torch.float64)
    xl = isinstance(pipeline, StableDiffusionXLLoraLoaderMixin)
    blocks = {"unet_config": pipeline.unet.config} if xl else {}
    made = type(pipeline).lora_state_dict(sent, **blocks)
    state = made[0] if isinstance(made, tuple) else made
    return dict(products(pipeline, denoiser, state))


def products(
    pipeline: Any, denoiser: str, state: Mapping[str, torch.Tensor]
) -> Iterator[tuple[tuple[str, str], torch.Tensor]]:
    """Each layer's product of its two matrices, by component and path."""
    for component in {key.partition(".")[0] for key in state}:
        own = {
            key.removeprefix(f"{component}."): value
            for key, value in state.items()
            if key.startswith(f"{component}.")
        }
        named = in_pefts_names(own, component == denoiser, getattr(pipeline, component, None))
        for key, up in named.items():
            down = named.get(key.replace("lora_B", "lora_A"))
            if "lora_B" in key and down is not None:
                path = key.partition(".lora_B")[0]
                yield (component, path), up.flatten() * down.flatten()[0]


def in_pefts_names(
    state: Mapping[str, torch.Tensor], denoises: bool, part: Any
) -> dict[str, torch.Tensor]:
    """The names that diffusers' loaders of a denoiser and of a text encoder give their layers."""
    if denoises:
        if "lora_A" in next(iter(state)):
            return dict(state)
        return dict(convert_unet_state_dict_to_peft(state))
    try:
        named = convert_state_dict_to_peft(convert_state_dict_to_diffusers(state))
    except ValueError:  # no text encoder's
        return dict(state)
    flat = not hasattr(part, "text_model")
    return {key.removeprefix("text_model.") if flat else key: named[key] for key in named}


def layer_at(part: Any, path: str, adapter: str) -> BaseTunerLayer | None:
    """The layer with this LoRA at a path of a component, if there is one."""
    if not isinstance(part, torch.nn.Module):
        return None
    try:
        layer = part.get_submodule(path)
    except AttributeError:
        return None
    there = isinstance(layer, BaseTunerLayer) and adapter in getattr(layer, "lora_A", ())
    return layer if there and isinstance(layer, BaseTunerLayer) else None


def strength(pairs: Sequence[Pair], done: Sequence[float]) -> float:
    """The factor that a layer's product is still to be multiplied by.

    Args:
        pairs: whose matrices the layer holds.
        done: by what diffusers multiplied them already.
    """
    wanted = {pair.scale for pair in pairs}
    if len(wanted) == len(done) == 1:
        scale, before = wanted.pop(), done[0]
        if isclose(before, scale, rel_tol=1e-6):
            return 1.0
        if isclose(before, 1.0, rel_tol=1e-6):
            return scale
    elif all(isclose(value, 1.0, rel_tol=1e-6) for value in (*wanted, *done)):
        return 1.0
    raise Misfit(f"diffusers reads the strength of {pairs[0].layer} in a way that can't be checked")


def set_scale(layer: Any, scale: float, adapter: str) -> None:
    """Let a layer add its product at this scale; its weight in a frame is multiplied by it."""
    rank = layer.r[adapter]
    if not isclose(layer.lora_alpha[adapter], scale * rank, rel_tol=1e-6):
        layer.lora_alpha[adapter] = scale * rank
        layer.set_scale(adapter, 1.0)


def check_additions(layer: Any, pairs: Sequence[Pair], adapter: str) -> None:
    """Refuse a layer that was loaded without its bias or its magnitudes."""
    lost = [
        kind
        for kind, wanted, there in (
            ("bias", any(pair.bias for pair in pairs), layer.lora_bias.get(adapter, False)),
            (
                "magnitudes (DoRA)",
                any(pair.magnitude for pair in pairs),
                adapter in layer.lora_magnitude_vector,
            ),
        )
        if wanted and not there
    ]
    if lost:
        raise Misfit(f"diffusers leaves out the {' and the '.join(lost)} of {pairs[0].layer}")


def redundant(pair: Pair, parts: LoraParts) -> bool:
    """Whether the file holds the same layer once more, in the parts that were taken."""
    if not REDUNDANT.search(pair.layer):
        return False
    block = pair.layer.rpartition("attention")[0]
    names = [other.layer for other in parts.pairs if other.layer.startswith(block)]
    return any(re.search(r"attention[._]to[._](?:q|out[._]0)$", name) for name in names)
