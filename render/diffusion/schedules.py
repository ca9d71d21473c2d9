"""A recipe's scheduler in a pipeline, and each frame's own noise in the scheduler's hands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import diffusers
import torch

from render.diffusion.noise import brownian
from render.errors import ConfigError, Mistake
from render.kernels.cuda_async import keep_steps_here
from render.kernels.patches import Patches
from render.models.hub_errors import first_line
from render.models.scheduler_signatures import LATENT_DEFAULTS, METHOD_KEYS
from render.plan.frame_plan import Recipe


def give_scheduler(
    pipeline: Any, recipe: Recipe, schedule: Patches, steps_here: bool = False
) -> None:
    """Give a pipeline the recipe's scheduler in place of its own, or of an earlier recipe's.

    Args:
        schedule: holds an earlier recipe's; closed, the pipeline has its own again.
        steps_here: whether the time steps stay in main memory.

    Raises:
        ConfigError: the class refuses its options or the number of steps.
    """
    schedule.close()
    made = make_scheduler(pipeline.scheduler, recipe)
    schedule.replace(pipeline, "scheduler", made)
    if hasattr(made, "get_lms_coefficient"):  # integrals over sigmas, the same for all frames
        schedule.replace(made, "get_lms_coefficient", cache(made.get_lms_coefficient))
    if steps_here:
        keep_steps_here(made, schedule)


def make_scheduler(own: Any, recipe: Recipe) -> Any:
    """The recipe's scheduler with the model's noise schedule and prediction type.

    Args:
        own: the scheduler that the model's folder holds.

    Raises:
        ConfigError: the class refuses its options or the number of steps.
    """
    chosen = type(own) if recipe.scheduler == "model" else getattr(diffusers, recipe.scheduler)
    config = as_it_stands(own) if chosen is type(own) else carried_over(own, chosen)
    try:
        scheduler = chosen.from_config(config | dict(recipe.scheduler_options))
        shifted = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
        scheduler.set_timesteps(recipe.steps, **shifted)
    except (ValueError, TypeError, NotImplementedError, ImportError, IndexError) as error:
        what = f"{chosen.__name__} with {recipe.steps} steps: {first_line(error)}"
        raise ConfigError([Mistake("scheduler", what)]) from error
    return scheduler


def as_it_stands(own: Any) -> dict[str, Any]:
    """All settings of the model's own scheduler: those that its pipeline put right when it was
    made, and which its JSON leaves out, among them."""
    return {key: value for key, value in own.config.items() if not key.startswith("_")}


def carried_over(own: Any, chosen: type) -> dict[str, Any]:
    """The settings that another class takes over of a scheduler: those of its JSON, since a default
    of one class is none of another; what both leave out is as latents need it."""
    left_out = {"_use_default_values", *own.config.get("_use_default_values", ()), *METHOD_KEYS}
    written = {key: value for key, value in own.config.items() if key not in left_out}
    accepted = inspect.signature(chosen).parameters
    return {key: value for key, value in LATENT_DEFAULTS.items() if key in accepted} | written


@contextmanager
def own_generators(scheduler: Any, generators: list[torch.Generator]) -> Iterator[None]:
    """Hand each step the frames' generators, which not every pipeline does, or a Brownian motion
    that each of them draws."""
    stock_step = scheduler.step
    given: dict[str, Any] = {"generator": generators}
    if "generator" not in inspect.signature(stock_step).parameters:
        if not hasattr(scheduler, "noise_sampler"):
            yield
            return
        given = {}

    @functools.wraps(stock_step)  # pipelines look at what a step takes
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        if not given and scheduler.noise_sampler is None:
            motion = brownian(generators, scheduler.sigmas)
            patches.replace(scheduler, "noise_sampler", functools.partial(motion, sample))
        return stock_step(model_output, timestep, sample, *args, **{**kwargs, **given})

    with Patches() as patches:
        if not given:
            patches.replace(scheduler, "noise_sampler", None)
        patches.replace(scheduler, "step", step)
        yield


@contextmanager
def own_noise(scheduler: Any, flow: bool, noise: torch.Tensor) -> Iterator[None]:
    """Let the scheduler noise a start with the frames' own noise (B, C, h, w).

    Args:
        flow: whether the model predicts a flow, whose schedulers have another method for it.
    """
    name, place = ("scale_noise", 2) if flow else ("add_noise", 1)
    stock = getattr(scheduler, name)

    def noised(*given: Any) -> Any:
        theirs = given[place]
        return stock(*given[:place], noise.to(theirs), *given[place + 1 :])

    with Patches() as patches:
        patches.replace(scheduler, name, noised)
        yield
