"""CUDA graphs: a network's call as one launch, so that the host's thousand don't hold a GPU up."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch.utils import _pytree

WARM_UP = 3  # calls before one is captured: they compile, choose kernels and fill caches

Replay = Callable[[], Any]


class Graphed:
    """A function of tensors, captured once for all calls whose arguments have the same shapes.

    Args:
        call: it; its result depends on its arguments alone.
        capture: makes a function of no arguments one that replays it, answering in memory that the
            next replay writes again.
    """

    def __init__(
        self, call: Callable[..., Any], capture: Callable[[Replay], Replay] | None = None
    ) -> None:
        self.call, self.capture = call, capture or Capture()
        self.captured: dict[Hashable, tuple[Sequence[Any], Replay]] = {}

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The function's result, which the caller may keep."""
        leaves, shape = _pytree.tree_flatten((args, named))
        key = (shape, *map(likeness, leaves))
        if key not in self.captured:
            try:
                self.captured[key] = self.captured_with(leaves, shape)
            except torch.OutOfMemoryError:
                if not self.captured:
                    raise
                self.captured.clear()  # of larger batches, for one
                self.captured[key] = self.captured_with(leaves, shape)
        own, replay = self.captured[key]
        for mine, given in zip(own, leaves, strict=True):
            if isinstance(mine, torch.Tensor):
                mine.copy_(given)
        return _pytree.tree_map_only(torch.Tensor, torch.clone, replay())

    def captured_with(
        self, leaves: Sequence[Any], shape: _pytree.TreeSpec
    ) -> tuple[Sequence[Any], Replay]:
        """The arguments that a replay computes with, and the replay."""
        own = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        args, named = _pytree.tree_unflatten(own, shape)
        return own, self.capture(lambda: self.call(*args, **named))


class Capture:
    """Captures functions in one pool of memory, since their replays take turns."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, call: Replay) -> Replay:
        """A function that launches all that `call` does, with whatever stands in its arguments."""
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                call()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may wait for pictures or be given memory meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            answer = call()

        def replay() -> Any:
            graph.replay()
            return answer

        return replay


def likeness(leaf: Any) -> Hashable:
    """The properties that two calls must have in common to share a graph."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.dtype, leaf.device
    return leaf if isinstance(leaf, Hashable) else repr(leaf)
