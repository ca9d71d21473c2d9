"""The arguments with which a pipeline calls its denoiser, recorded at the denoiser's `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from render.kernels.patches import Patches


class Recorded(BaseException):
    """Ends a recording call at the denoiser and carries the arguments it arrived with."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments


def recorded(denoiser: nn.Module, call: Callable[[], object]) -> dict[str, Any]:
    """The arguments by name that reach the denoiser when `call` runs the pipeline; it ends there.

    Raises:
        RuntimeError: the pipeline came to its end without calling the denoiser.
    """
    signature = inspect.signature(denoiser.forward)

    def forward(*args: Any, **kwargs: Any) -> None:
        raise Recorded(dict(signature.bind(*args, **kwargs).arguments))

    with Patches() as patches:
        patches.replace(denoiser, "forward", forward)
        try:
            call()
        except Recorded as arrived:
            return arrived.arguments
    raise RuntimeError("the pipeline returned without calling its denoiser")
