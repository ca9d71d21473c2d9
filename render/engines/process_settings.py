"""Settings of the whole process, which a command makes for itself and a library never does."""

from __future__ import annotations

import gc
import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from render.config.schema import ComputeConfig
from render.engines.registry import abilities_named
from render.engines.requirements import keep_compiled
from render.engines.threads import threads_for


@contextmanager
def unsaid() -> Iterator[None]:
    """Libraries say nothing while they are imported: of parts of theirs for machines that this one
    is not, for example."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def applied(compute: ComputeConfig, device: str) -> Iterator[None]:
    """Settle the process for rendering on a device; around the loading of a model.

    Threads and the place of compiled code are set before torch is asked for anything. What the
    libraries hold is left out of later collections of garbage, nearly all of whose time would go
    over it. The heap keeps what is freed only from the end of the block on, so that the memory that
    loading takes is given back.

    Args:
        compute: has the engine and the threads.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
    """
    if abilities_named(compute.engine).compiles:
        keep_compiled()
    import torch

    from render.kernels.cpu_malloc import keep_freed

    if threads := threads_for(compute.threads):
        torch.set_num_threads(threads)
    with unsaid():
        importlib.import_module("render.engines.open_model")
    if not gc.get_freeze_count():  # once: what an earlier model left is to be collected
        gc.freeze()
    yield
    if device == "cpu":
        keep_freed()
