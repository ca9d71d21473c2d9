"""A converted U-Net in 8 bits, weights and activations: NNCF's post-training quantisation.

Its scales are chosen by what reaches the network while the stock pipeline paints a few pictures,
which are always the same for a model and a size: what a film shows has no say in it.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray

PROMPTS = (
    "a castle on a green hill under a blue sky",
    "a portrait of an old woman by the window of a small kitchen",
)
STEPS = 5  # of a picture; from pure noise to hardly any
GUIDANCE = 7.5
SCHEDULE = {"timestep_spacing": "trailing", "clip_sample": False}

Arrays = Mapping[int, NDArray[Any]]
"""A network's inputs by their places."""


def calls_of(pipeline: Any, height: int, width: int) -> list[dict[str, Any]]:
    """The arguments of the U-Net's calls, of two rows each (with a prompt and without), in every
    step of the pictures; the scheduler of the film is not asked."""
    unet, calls = pipeline.unet, []
    signature = inspect.signature(unet.forward)

    def keep(_: object, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        calls.append(signature.bind(*given, **named).arguments)

    hook = unet.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.inference_mode(), scheduled(pipeline):
            for number, prompt in enumerate(PROMPTS):
                pipeline(
                    prompt,
                    height=height,
                    width=width,
                    num_inference_steps=STEPS,
                    guidance_scale=GUIDANCE,
                    generator=torch.Generator().manual_seed(number),
                    output_type="latent",
                )
    finally:
        hook.remove()
    return calls


@contextmanager
def scheduled(pipeline: Any) -> Iterator[None]:
    """Let the pipeline go by the schedule of the calibration, with the model's own betas."""
    film = pipeline.scheduler
    pipeline.scheduler = DDIMScheduler.from_config(film.config, **SCHEDULE)
    try:
        yield
    finally:
        pipeline.scheduler = film


def in_8_bits(model: Any, inputs: Sequence[Arrays]) -> Any:
    """The OpenVINO model with integers of 8 bits in place of floats, where that is faster.

    Args:
        inputs: what the scales of its activations are chosen by.

    Source: Xiao et al. 2023, SmoothQuant, and Jacob et al. 2018, as NNCF has them.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset(list(inputs))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        shown = sys.stderr if sys.stderr.isatty() else nowhere  # its progress bars
        with redirect_stdout(shown):
            return nncf.quantize(
                model, data, subset_size=len(inputs), model_type=nncf.ModelType.TRANSFORMER
            )
