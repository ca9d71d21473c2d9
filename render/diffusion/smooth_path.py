"""Smooth paths: the nodes between two keyframes, denoised in step with each other.

Rendered by themselves, frames between prompts jump back and forth: a small change of the way
makes another picture. So the nodes of a path are denoised together, and at each evaluation the
clean picture that every node foresees (x0) is averaged with its neighbours' along the path. The
ends are left as they are, so a keyframe is the plain picture, bit for bit. A frame between two
nodes is decoded from the lerp of their latents.

For a clean picture x0 = c (output + r sample), as all of the usual predictions have it, averaging
x0 by a matrix K means to replace the output by K output + r (K sample - sample). Averaging the
outputs or the latents themselves would average the noise away as well.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from render.diffusion.evaluations import Enough
from render.kernels.patches import Patches
from render.store.path_latents import Numbers
from render.timeline.spec import FrameSpec, SmoothPath

REACH = (0.2, 0.04)
"""How far along the path the average reaches, at the first step and at the last one: its standard
deviation, in parts of the whole. Wide where the layout is found, narrow where details are."""
REMEMBERED_PATHS = 2  # so that a keyframe is made from the path that leads to it


class Nodes(Protocol):
    """Where the latents of paths' nodes are kept, float32, (nodes, …)."""

    def stored(self, path: SmoothPath, each: int) -> Numbers | None:
        """The latents of a path, of so many numbers a node; None if they are not there."""

    def keep(self, path: SmoothPath, latents: Numbers) -> None:
        """Keep the latents of a path."""


class Forgotten:
    """Keeps nothing."""

    def stored(self, path: SmoothPath, each: int) -> Numbers | None:
        """Nothing."""
        return None

    def keep(self, path: SmoothPath, latents: Numbers) -> None:
        """Do nothing."""


class Paths:
    """The latest smooth paths, and which frames are made from them.

    Args:
        nodes: where their latents are kept.
        each: numbers of one node's latents, which pipelines shape as they like; what has more or
            fewer is no path of this model's.
    """

    def __init__(
        self,
        specs: Sequence[FrameSpec] = (),
        nodes: Nodes | None = None,
        each: int = 0,
    ) -> None:
        self.nodes, self.each = nodes or Forgotten(), each
        self.known: OrderedDict[SmoothPath, torch.Tensor] = OrderedDict()
        self.ends: dict[FrameSpec, SmoothPath] = {}
        for path in dict.fromkeys(spec.path.path for spec in specs if spec.path):
            self.ends.setdefault(path.start, path)
            self.ends.setdefault(path.end, path)

    def of(self, spec: FrameSpec) -> SmoothPath | None:
        """The path that a frame is on; a keyframe is on one that leads to it or from it, if such a
        path is asked for anyway."""
        return spec.path.path if spec.path else self.ends.get(spec)

    def missing(self, specs: Sequence[FrameSpec]) -> list[SmoothPath]:
        """The paths of these frames that are neither known nor kept, in order."""
        wanted = dict.fromkeys(path for spec in specs if (path := self.of(spec)))
        for path in wanted:
            kept = None if path in self.known else self.nodes.stored(path, self.each)
            if kept is not None:
                self.learn(path, torch.from_numpy(kept.copy()))
            elif path in self.known:
                self.known.move_to_end(path)
        return [path for path in wanted if path not in self.known]

    def add(self, path: SmoothPath, latents: torch.Tensor) -> None:
        """Take and keep the latents of a path that was denoised; what is not finite is not kept,
        so that it is tried again. Where they can't be kept, the next try need not denoise them."""
        self.learn(path, latents)
        if latents.isfinite().all():
            self.nodes.keep(path, latents.numpy())

    def learn(self, path: SmoothPath, latents: torch.Tensor) -> None:
        """Remember the latents of a path."""
        self.known[path] = latents

    def latents(self, spec: FrameSpec) -> torch.Tensor:
        """The latents (…) of a frame on a path, float32: the lerp of the nodes next to it."""
        path = self.of(spec)
        assert path is not None  # of frames on paths
        each, place = self.known[path], spec.path.place if spec.path else float(spec == path.end)
        below = min(int(place * path.parts), path.parts - 1)
        share = place * path.parts - below
        return each[below] if share == 0 else torch.lerp(each[below], each[below + 1], share)

    def latents_of(self, specs: Sequence[FrameSpec]) -> torch.Tensor:
        """The latents (frames, …) of frames on paths."""
        return torch.stack([self.latents(spec) for spec in specs])

    def forget(self) -> None:
        """Let go of all but the latest paths."""
        while len(self.known) > REMEMBERED_PATHS:
            self.known.popitem(last=False)


def reach_at(done: float) -> float:
    """How far the average reaches when so much of the steps is done, from 0 to 1."""
    return REACH[0] + (REACH[1] - REACH[0]) * done


def smoothing(parts: int, reach: float) -> torch.Tensor:
    """The matrix (nodes, nodes) that averages along a path: heat that spreads for a while, with
    the ends held. Float32; each row sums to 1, and the ends' are those of the identity.

    Args:
        reach: the standard deviation of the average, in parts of the path.
    """
    spread = torch.zeros(parts + 1, parts + 1, dtype=torch.float64)
    for node in range(1, parts):
        spread[node, node - 1 : node + 2] = torch.tensor([0.5, -1.0, 0.5], dtype=torch.float64)
    matrix: torch.Tensor = torch.linalg.matrix_exp(spread * (reach * parts) ** 2)
    return matrix.float()


def averaged(matrix: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Values (nodes, …) averaged along the path, float32."""
    rows: torch.Tensor = matrix.to(values.device) @ values.float().flatten(1)
    return rows.reshape(values.shape)


def smoothed(
    matrix: torch.Tensor, output: torch.Tensor, sample: torch.Tensor, ratio: float
) -> torch.Tensor:
    """The outputs (nodes, …) of a denoiser after the clean pictures were averaged; the ends' are
    theirs bit for bit.

    Args:
        sample: the latents (nodes, …) that they were computed for.
        ratio: r in x0 = c (output + r sample).
    """
    moved = averaged(matrix, sample) - sample.float()
    inner = (averaged(matrix, output) + ratio * moved).to(output.dtype)
    return torch.cat([output[:1], inner[1:-1], output[-1:]])


def clean_ratio(scheduler: Any, timestep: Any) -> float:
    """r in x0 = c (output + r sample), at a time step of a scheduler that predicts noise, v
    (Salimans & Ho 2022), the picture itself or a flow; 0 for what predicts something else."""
    kind, time = scheduler.config.get("prediction_type"), float(timestep)
    if "FlowMatch" in type(scheduler).__name__ or kind == "flow_prediction":
        return -float(scheduler.config.num_train_timesteps) / max(time, 1e-3)
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is None or kind not in ("epsilon", "v_prediction"):
        return 0.0
    below = min(int(time), len(alphas) - 1)
    above = min(below + 1, len(alphas) - 1)
    alpha = float(alphas[below] + (time - below) * (alphas[above] - alphas[below]))
    signal, noise = math.sqrt(alpha), math.sqrt(1 - alpha)
    ratio = -1 / noise if kind == "epsilon" else -signal / noise
    # Schedulers in sigmas (Karras et al. 2022) have latents of x0 + sigma noise.
    return ratio * (signal if float(scheduler.init_noise_sigma) != 1 else 1)


@contextmanager
def in_step(scheduler: Any, parts: int, last: int) -> Iterator[list[torch.Tensor]]:
    """Average along the path at every step of the scheduler, and end with Enough after the last.

    Args:
        parts: of the path.
        last: how many steps there are.

    Yields:
        A list, with the latents (nodes, …) after the last step once it is done.
    """
    stock, ended = scheduler.step, list[torch.Tensor]()
    number = 0

    @functools.wraps(stock)  # pipelines look at what a step takes
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal number
        matrix = smoothing(parts, reach_at(number / last))
        number += 1
        ratio = clean_ratio(scheduler, timestep)
        model_output = smoothed(matrix, model_output, sample, ratio)
        result = stock(model_output, timestep, sample, *args, **kwargs)
        if number < last:
            return result
        ended.append(result[0] if isinstance(result, tuple) else result.prev_sample)
        raise Enough

    with Patches() as patches:
        patches.replace(scheduler, "step", step)
        yield ended


@contextmanager
def ending_at(scheduler: Any, latents: torch.Tensor) -> Iterator[None]:
    """Let a pipeline decode these latents (B, …), whatever it denoises: no step is done."""

    @functools.wraps(scheduler.step)
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        return (latents.to(sample).reshape(sample.shape),)  # a store's file may have another shape

    with Patches() as patches:
        patches.replace(scheduler, "step", step)
        yield
