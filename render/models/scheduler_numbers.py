"""Numbers in a scheduler's settings by which no noise is taken away: timesteps, betas, shifts.

diffusers computes with them whatever they are: the picture is then noise, black or another one, or
the first step ends in an index that is not there. Without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from render.errors import Mistake
from render.models.scheduler_signatures import is_flow
from render.models.scheduler_values import UNREAD, Made

MOST = 100_000
"""Timesteps and steps that a model's settings may count; usual are 1,000. Schedulers keep numbers
for each of them, so a model from anywhere could fill the memory."""
BY_BETAS = ("linear", "scaled_linear", "sigmoid")
"""The schedules that go from beta_start to beta_end."""
COUNTS = ("original_inference_steps", "predictor_order", "solver_order")
"""Settings that are at least 1."""
SHIFTS = {"shift": ("use_dynamic_shifting", False), "flow_shift": ("use_flow_sigmas", True)}
"""Settings that sigmas are multiplied by, each with the setting that lets it be read."""
ALL_PREDICTIONS = ("DDPMScheduler", "DDPMParallelScheduler")
"""Classes that want a learned variance whatever the model predicts; others with its noise only."""


def mistakes_in_numbers(made: Made, json: str) -> Iterator[Mistake]:
    """Numbers that can't be right, at the option that gives them or in the model's own JSON.

    Args:
        json: where the model's own settings stand.
    """
    for key, what in wrong_numbers(made):
        if key in made.options:
            yield Mistake(f"scheduler.{key}", f"{what}; give another value, or leave it out")
        else:
            yield Mistake(json, f"{key}: {what}; mend it, or set scheduler.{key}")


def wrong_numbers(made: Made) -> Iterator[tuple[str, str]]:
    """Each setting that can't be right, with the reason."""
    held = made.settings
    yield from wrong_factors(held)
    count = held.get("num_train_timesteps")
    if not isinstance(count, int) or isinstance(count, bool):
        return
    flow = is_flow(made.class_name, held)  # then sigmas are times, and there are no betas
    if count < (1 if flow else 2):
        yield "num_train_timesteps", f"{count} is no number of timesteps to train at"
    if count > MOST:
        yield "num_train_timesteps", f"{count:,} are more timesteps than any model is trained at"
        return
    if flow or count < 2:
        return
    if count < made.steps:
        what = f"{count} is fewer than the steps that are asked for (steps={made.steps})"
        yield "num_train_timesteps", what
    yield from wrong_betas(held, count)
    offset = held.get("steps_offset", 0)
    leading = held.get("timestep_spacing", "leading") == "leading"
    read = leading and "steps_offset" not in UNREAD.get(made.class_name, ())
    if read and isinstance(offset, int) and not 0 <= offset < count:
        what = f"{offset} leads beyond the {count} timesteps that the model was trained at"
        yield "steps_offset", what


def wrong_factors(held: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Counts and factors that leave nothing to do."""
    for key in COUNTS:
        if isinstance(held.get(key), int) and held[key] < 1:
            yield key, f"{held[key]} is below 1"
        elif isinstance(held.get(key), int) and held[key] > MOST:
            yield key, f"{held[key]:,} is far more than any model's"
    for key, (gate, wanted) in SHIFTS.items():
        value = held.get(key)
        read = held.get(gate, wanted) == wanted
        if read and isinstance(value, int | float) and not 0 < value < inf:
            yield key, f"{value} is no factor of sigmas; it is a number above 0"


def wrong_betas(held: Mapping[str, Any], count: int) -> Iterator[tuple[str, str]]:
    """Parts of noise by timestep that are none, or are too few or too many."""
    listed = held.get("trained_betas")
    if isinstance(listed, list):
        odd = [beta for beta in listed if not is_beta(beta)]
        if len(listed) != count:
            what = f"has {len(listed)} numbers, and num_train_timesteps is {count}"
            yield "trained_betas", what
        elif odd:
            yield "trained_betas", f"has {odd[0]}, which is no part of noise from 0 to below 1"
        return
    for key in ("beta_start", "beta_end"):
        value = held.get(key, 0.0)
        if held.get("beta_schedule") in BY_BETAS and not is_beta(value):
            yield key, f"{value} is no part of noise from 0 to below 1"


def is_beta(value: object) -> bool:
    """Whether a value can be a variance of noise; NaN can't."""
    return isinstance(value, int | float) and 0 <= value < 1


def mistakes_in_own_variance(
    made: Made, denoiser: Mapping[str, Any], json: str
) -> Iterator[Mistake]:
    """A variance that the model's own JSON wants learned, of a denoiser that predicts none.

    Args:
        denoiser: its config.
        json: where the model's own settings stand.
    """
    kind, given = made.settings.get("variance_type"), denoiser.get("out_channels")
    if "variance_type" in made.options or not str(kind).startswith("learned"):
        return
    wanted = made.class_name in ALL_PREDICTIONS or (
        made.settings.get("prediction_type") == "epsilon"
        and not is_flow(made.class_name, made.settings)
    )
    if wanted and given is not None and given == denoiser.get("in_channels"):
        what = (
            f"variance_type: {kind} wants a variance beside the noise, and the denoiser predicts "
            f"{given} channels, which are the noise alone; take it out, or download the file again"
        )
        yield Mistake(json, what)
