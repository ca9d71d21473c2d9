"""Nested arguments of a denoiser: which of their leaves follow the rows, taken out and put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

Path = tuple[str | int, ...]
Leaves = dict[Path, Any]
"""Tensors, and lists with one element a row, by the path to them."""

LISTED = -1  # in place of an axis: a list with one element a row


def row_axes(one: Any, two: Any, path: Path = ()) -> dict[Path, int]:
    """The leaves of nested arguments that follow the number of rows, each with its axis.

    Found by comparing a recording with one row to one with two: where a tensor's shapes differ or a
    list's lengths do (LISTED).
    """
    if isinstance(one, torch.Tensor):
        sizes = enumerate(zip(one.shape, two.shape, strict=True))
        differing = [axis for axis, (single, double) in sizes if single != double]
        return {path: differing[0]} if differing else {}
    if isinstance(one, Mapping):
        pairs = [(key, one[key], two[key]) for key in one]
    elif isinstance(one, list | tuple):
        if len(one) != len(two):
            return {path: LISTED}
        pairs = [(place, *both) for place, both in enumerate(zip(one, two, strict=True))]
    else:
        return {}
    return {
        found: axis
        for key, single, double in pairs
        for found, axis in row_axes(single, double, (*path, key)).items()
    }


def at(tree: Any, path: Path) -> Any:
    """The leaf at a path."""
    for key in path:
        tree = tree[key]
    return tree


def with_leaves(tree: Any, new: Leaves, path: Path = ()) -> Any:
    """The same nest with what stands at the paths of `new` replaced."""
    if path in new:
        return new[path]
    if isinstance(tree, Mapping):
        return {key: with_leaves(value, new, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(
            with_leaves(value, new, (*path, index)) for index, value in enumerate(tree)
        )
    return tree


def picked(leaf: Any, axis: int, owners: tuple[int, ...]) -> Any:
    """The rows that the owners' states are in."""
    if axis == LISTED:
        return [leaf[owner] for owner in owners]
    return leaf.index_select(axis, index_on(leaf.device, owners))


@lru_cache(maxsize=256)
def index_on(device: torch.device, places: tuple[int, ...]) -> torch.Tensor:
    """Places as a tensor there; kept, since a copy to a GPU waits for all that it has to do."""
    return torch.tensor(places, device=device)


def joined(leaves: Sequence[Any], axis: int) -> Any:
    """One-row leaves as one of all rows."""
    if axis == LISTED:
        return [element for leaf in leaves for element in leaf]
    return torch.cat(list(leaves), dim=axis)


def shapes(leaf: Any) -> Any:
    """The shapes of a leaf, which rows of one call must have in common."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape)
    return tuple(shapes(element) for element in leaf) if isinstance(leaf, list | tuple) else None


def blended(conditionings: Sequence[Leaves], weights: Sequence[float]) -> Leaves:
    """Weighted sum of texts' conditionings in float32; a single one is returned as it is."""
    if len(conditionings) == 1:
        return conditionings[0]
    return {
        path: weighted_sum([c[path].float() for c in conditionings], weights).to(tensor.dtype)
        for path, tensor in conditionings[0].items()
    }


def weighted_sum(tensors: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """sum w_i x_i over the weights that are not zero, in the given order."""
    terms = [w * x for w, x in zip(weights, tensors, strict=True) if w != 0]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
