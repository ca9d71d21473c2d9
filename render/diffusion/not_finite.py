"""The cause of pictures that are not finite, as far as the model itself shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from render.errors import NOT_FINITE


def cause(parts: Mapping[str, Any], texts: Iterable[Any]) -> str:
    """Which part of a model holds or gives values that are not finite; else what may help.

    Args:
        parts: of the pipeline, by their names.
        texts: what the text encoders gave, who may be gone by now.
    """
    if found := next(damaged(parts), None):
        part, weight = found
        return (
            f"the weights of the model's {part} hold values that are not finite ({weight}); get "
            "the model again, or another one"
        )
    if not all(map(is_finite, texts)):
        return (
            "the model's text encoder gave values that are not finite; use compute.dtype=float32, "
            "and if that is so already, get the model again"
        )
    return NOT_FINITE


def damaged(parts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of parts with that of a weight which is not finite."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            for weight, values in part.named_parameters():
                if is_damaged(values):
                    yield name, weight


def is_damaged(values: torch.Tensor) -> bool:
    """Whether weights hold NaN, or infinities that they did not get when they were converted from
    float32 to 16 bits."""
    return not is_finite(values) and (values.dtype == torch.float32 or has_nan(values))


def has_nan(values: torch.Tensor) -> bool:
    """Whether a number of a tensor is NaN."""
    return bool(torch.isnan(values).any())


def is_finite(values: Any) -> bool:
    """Whether no number of a tensor is NaN or infinite; what can't be asked counts as such."""
    with suppress(RuntimeError, NotImplementedError, TypeError):
        return bool(torch.isfinite(values).all())
    return True
