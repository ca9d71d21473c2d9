"""Every option of every scheduler class changes what comes out, or is refused in the plan."""

import inspect

import diffusers
import numpy as np
import pytest
import torch
from tiny_models import BETAS

from render.models.families import FAMILIES
from render.models.scheduler_signatures import FLOW, NOISE, mistakes_in_options, settings
from render.models.scheduler_sources import choices, signature
from render.models.scheduler_values import Made, mistakes_in_idle_options, mistakes_in_values

STEPS = 6
SD = FAMILIES["StableDiffusionPipeline"]
SD3 = FAMILIES["StableDiffusion3Pipeline"]
FLOW_SIGMAS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
BY_PIPELINE = {"base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift"}
"""Options that the pipeline reads, and not the scheduler."""
BY_ORDER = {"lower_order_final"}
"""Options that depend on the number of steps and the solver's order."""
QUICK = {"DDIMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"}
CLASSES = [
    pytest.param(name, kind, marks=() if name in QUICK else pytest.mark.slow)
    for name in sorted((NOISE | FLOW) - {"DPMSolverSDEScheduler"})
    for kind in ("noise" if name in NOISE else "flow", "flow sigmas")
    if kind != "flow sigmas" or "use_flow_sigmas" in signature(name)
]


def walked(name, made, shift):
    """Latents after all steps with a stand-in for the model."""
    scheduler = getattr(diffusers, name)(**made)
    mu = {"mu": shift} if made.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(STEPS, **mu)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    takes = inspect.signature(scheduler.step).parameters
    own = {"generator": [generator]} if "generator" in takes else {}
    for time in scheduler.timesteps:
        given = latents
        if hasattr(scheduler, "scale_model_input"):
            given = scheduler.scale_model_input(latents, time)
        answer = torch.tanh(given.flip(1)) + torch.sin(torch.as_tensor(time).float() / 100) / 10
        latents = scheduler.step(answer, time, latents, return_dict=False, **own)[0]
    return latents


def other_values(name, key, now):
    """Values of an option that are not its own."""
    known = choices(name, key)
    if key == "shift_terminal":
        return [0.1]
    if known:
        return [text for text in known if text != now]
    annotation = signature(name)[key]
    if "bool" in annotation:
        return [not now]
    if key == "trained_betas":
        return [np.linspace(0.001, 0.02, 1000).tolist()]
    if "list" in annotation.lower():
        return [[0, 1]]
    if isinstance(now, int | float):
        return [now * 0.9] if isinstance(now, float) and now else [now + 1]
    return [0.5]


@pytest.mark.parametrize(("name", "kind"), CLASSES)
def test_every_option_changes_what_comes_out_or_is_refused(name, kind):
    family = SD if kind == "noise" else SD3
    base = {"noise": BETAS, "flow": {"shift": 3.0}, "flow sigmas": FLOW_SIGMAS}[kind]
    own = {key: value for key, value in base.items() if key in signature(name)}
    usual = settings(name, None, own, {}, family)
    plain = walked(name, usual, 0.8)
    silent = []
    for key in set(signature(name)) - BY_PIPELINE - BY_ORDER:
        for value in other_values(name, key, usual.get(key)):
            options = {key: value}
            whole = settings(name, None, own, options, family)
            made = Made(name, whole, options, STEPS, family)
            wrong = [
                *mistakes_in_options(name, options),
                *mistakes_in_values(made),
                *mistakes_in_idle_options(made),
            ]
            if wrong:
                continue
            latents = walked(name, whole, 0.8)
            if torch.equal(latents, plain) or not latents.isfinite().all():
                silent.append((key, value))
    assert silent == []
