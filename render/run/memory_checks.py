"""Little memory: what a config does about it, and whether it makes sense. Without torch."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from render.config.schema import ComputeConfig, RunConfig
from render.engines.registry import abilities_named, as_loaded
from render.errors import Mistake, RenderError
from render.models.memory_budget import available_memory
from render.models.resolve import Model
from render.text import size

if TYPE_CHECKING:
    from render.run.facts import Facts

LEAST_MEMORY = 350 << 20  # bytes that the libraries take, before any model
LEAST_ADDRESS_SPACE = 2 << 30  # bytes; storybook alone takes 1.2 GB with one thread


def with_memory(model: Model, compute: ComputeConfig) -> Model:
    """The model as it is loaded: what of that changes pixels is part of its identity."""
    marks = ["vae_tiling"] if compute.vae_tiling else []
    if compute.quantised != "none":
        by = abilities_named(compute.engine).quantises_as  # activations as well, perhaps
        marks.append(f"quantised:{compute.quantised}" + (f":{by}" if by else ""))
    return replace(model, identity=" ".join([model.identity, *marks]))


def memory_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Settings that don't go with that device, that model, or the installed packages."""
    compute, device, model = config.compute, facts.place, facts.model
    if model is None:
        return
    if compute.offload != "none":
        if not device.startswith("cuda"):
            what = (
                f"{compute.offload}: parts would wait in main memory for their turn on a CUDA "
                f"GPU, but this run is on {device}; use compute.offload=none"
            )
            yield Mistake("compute.offload", what)
        yield from mistakes_in_packages("compute.offload", "accelerate")
    if as_loaded(compute, abilities_named(compute.engine)).quantised != "none":
        yield from mistakes_in_packages("compute.quantised", "torchao", "accelerate")
        if model.source.file is not None:
            what = "diffusers quantises no single files while it loads them; give a folder"
            yield Mistake("compute.quantised", what)


def mistakes_in_packages(key: str, *packages: str) -> Iterator[Mistake]:
    """The packages that are not installed."""
    if missing := [package for package in packages if find_spec(package) is None]:
        names = " ".join(missing)
        yield Mistake(key, f"needs {names}, which is not here: pip install {names}")


def check_memory() -> None:
    """Refuse limits with which loading torch would end the process without a message.

    Raises:
        RenderError: `ulimit -v`, a container or other programs leave too little.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and allowed < LEAST_ADDRESS_SPACE:
        raise RenderError(
            f"`ulimit -v` allows {size(allowed)}, too little memory for torch and its threads; "
            f"raise it to {size(LEAST_ADDRESS_SPACE)} at least"
        )
    free = available_memory()
    if free is not None and free < LEAST_MEMORY:
        raise RenderError(
            f"only {size(free)} of memory can still be had, too little memory for torch, which "
            f"takes {size(LEAST_MEMORY)}; raise the container's limit, or end other programs"
        )
