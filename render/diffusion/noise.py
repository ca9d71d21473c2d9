"""The noise a frame starts from: one draw a seed, walked between seeds on the sphere.

A seed means the same picture on every device, dtype, batch size and shard, because its noise is
drawn alone, in float32, on the CPU, by a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from render.errors import RenderError

PARALLEL = 1e-6  # below this sine of the angle slerp is a lerp
STD_TOLERANCE = 0.03
MOST_ENTROPY = 2**62
TREE_DIGITS = 6  # that torchsde rounds times to, by the tolerance that diffusers asks for
STD_ERRORS = 6.0  # standard errors of a std that small latents may be off by

Seeds = Sequence[tuple[int, float]]
Brownian = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(latents (B, …), sigma, the next sigma) to standard normal noise of that shape."""


def draw(seed: int, shape: Sequence[int]) -> tuple[torch.Tensor, torch.Generator]:
    """Standard normal noise of a seed, and its generator advanced past that draw.

    Equals what a stock pipeline draws for one picture with `generator=manual_seed(seed)`, and
    leaves the generator where the pipeline would hand it to a stochastic scheduler.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu")
    return noise, generator


def merged(seeds: Seeds) -> dict[int, float]:
    """Weights by seed: equal seeds merged, zeros dropped, in the seeds' order."""
    weights: dict[int, float] = {}
    for seed, weight in seeds:
        weights[seed] = weights.get(seed, 0.0) + weight
    return {seed: weights[seed] for seed in sorted(weights) if weights[seed] != 0}


def slerp_weights(a: torch.Tensor, b: torch.Tensor, t: float) -> tuple[float, float]:
    """The weights of two samples, each one flat vector, at `t` between them (Shoemake 1985):
    sin((1 - t) omega) / sin omega and sin(t omega) / sin omega with omega the angle between a and
    b; 1 - t and t where they are parallel."""
    x, y = a.double().flatten(), b.double().flatten()
    cosine = torch.dot(x, y) / (x.norm() * y.norm())
    omega = torch.acos(cosine.clamp(-1, 1)).item()
    if math.sin(omega) < PARALLEL:
        return 1 - t, t
    return math.sin((1 - t) * omega) / math.sin(omega), math.sin(t * omega) / math.sin(omega)


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """Spherical interpolation of two samples, in float64, returned in the dtype of `a`."""
    start, end = slerp_weights(a, b, t)
    return (start * a.double() + end * b.double()).to(a.dtype)


def unit_variance_sum(noises: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """sum w_k x_k / |w|, standard normal again for independent x_k (Bodin et al. 2024).

    A single x_k comes out as it is.
    """
    total = sum(weight * noise.double() for weight, noise in zip(weights, noises, strict=True))
    return torch.as_tensor(total / math.hypot(*weights)).to(noises[0].dtype)


def shrunk(noise: torch.Tensor, factor: int) -> torch.Tensor:
    """Noise (1, C, h, w) made smaller by summing squares of latent pixels: standard normal again,
    and in its low frequencies, which lay out the picture, what it was."""
    return factor * torch.nn.functional.avg_pool2d(noise, factor) if factor > 1 else noise


def starting_noise(seeds: Seeds, shape: Sequence[int], shrink: int = 1) -> torch.Tensor:
    """The noise of one frame.

    Args:
        seeds: seeds with weights that sum to 1. Two are slerped, more are summed to unit variance.
        shape: (1, C, h, w) of the latents.
        shrink: by how much each side of the film it stands for is larger; its noise is averaged.

    Returns:
        Float32 on the CPU, of that shape.

    Raises:
        RenderError: the noise is not standard normal, so no model could make a picture of it.
    """
    weights = merged(seeds)
    large = (*shape[:-2], shape[-2] * shrink, shape[-1] * shrink)
    noises = [shrunk(draw(seed, large)[0], shrink) for seed in weights]
    if len(noises) == 2:
        share = list(weights.values())
        noise = slerp(noises[0], noises[1], share[1] / (share[0] + share[1]))
    else:
        noise = unit_variance_sum(noises, list(weights.values()))
    check_std(noise, seeds)
    return noise


def check_std(noise: torch.Tensor, seeds: Seeds) -> None:
    """Stop unless the noise has a standard deviation of about 1."""
    tolerance = max(STD_TOLERANCE, STD_ERRORS / math.sqrt(2 * noise.numel()))
    std = noise.std(correction=0).item()
    if not abs(std - 1) <= tolerance:
        named = ", ".join(f"{seed} ({weight:g})" for seed, weight in seeds)
        raise RenderError(
            f"the noise of seeds {named} has a standard deviation of {std:.3f} instead of 1 "
            f"(tolerance {tolerance:.3f}); the model would answer it with grey; use other seeds"
        )


def step_generator(seeds: Seeds, shape: Sequence[int]) -> torch.Generator:
    """The generator a stochastic scheduler draws a frame's own noise from.

    It belongs to the frame's heaviest seed (the smallest of equals) and stands behind that seed's
    first draw, as in a stock pipeline. So it depends on the frame and not on its neighbours.
    """
    weights = merged(seeds)
    heaviest = min(weights, key=lambda seed: (-weights[seed], seed))
    return draw(heaviest, shape)[1]


def brownian(generators: Sequence[torch.Generator], sigmas: torch.Tensor) -> Brownian:
    """Noise between two sigmas for each frame: the way of a Brownian motion of its own, drawn from
    the frame's generator, in float32 on the CPU.

    Args:
        sigmas: of the schedule; the motion is between the least above 0 and the greatest.
    """
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    seeds = [int(torch.randint(MOST_ENTROPY, (), generator=each)) for each in generators]
    ends = sigmas[sigmas > 0].min().cpu(), sigmas.max().cpu()
    trees: list[Any] = []

    def between(latents: torch.Tensor, sigma: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        if not trees:
            alike = torch.zeros(1, *latents.shape[1:])
            samplers = [BrownianTreeNoiseSampler(alike, *ends, seed=seed) for seed in seeds]
            trees.extend(sampler.tree for sampler in samplers)
        times = [inside(end, *ends) for end in (sigma, later)]
        root = (later.cpu() - sigma.cpu()).abs().sqrt()
        return torch.cat([tree(*times) / root for tree in trees]).to(latents)

    return between


def inside(sigma: torch.Tensor, least: torch.Tensor, greatest: torch.Tensor) -> float:
    """A sigma as a time within those of a Brownian tree, whose ends torchsde rounds: the greatest
    sigma itself may lie a little behind its end, of which torchsde would warn."""
    first, last = (round(float(end), TREE_DIGITS) for end in (least, greatest))
    return min(max(float(sigma), first), last)
