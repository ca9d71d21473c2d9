"""Converted networks in 8 bits, weights and activations: NNCF's post-training quantisation.

Its scales are chosen by what reaches the networks while the stock pipeline paints a few pictures,
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

from render.kernels.patches import Patches
from render.report.streams import terminal

PROMPTS = (
    "a castle on a green hill under a blue sky",
    "a portrait of an old woman by the window of a small kitchen",
    "a city street at night in the rain",
    "snow on mountains behind a lake at sunrise",
)
STEPS = 5  # of a picture; from pure noise to hardly any
GUIDANCE = 7.5
SCHEDULE = {
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "set_alpha_to_one": False,
    "steps_offset": 0,
}
SPARED = {
    "denoiser": "conv_in|conv_out|conv_shortcut|time_emb|up_blocks\\.{last}\\..*conv2",
    "decoder": "conv_out",
}
"""Layers that stay in floating point: cheap ones whose rounding is seen at once."""

Arrays = Mapping[int, NDArray[Any]]
"""A network's inputs by their places."""
Calls = list[dict[str, Any]]
"""A network's arguments, call by call."""


def recorded_calls(pipeline: Any, height: int, width: int) -> tuple[Calls, Calls]:
    """Arguments of the U-Net's calls, of two rows each (with a prompt and without), and of the VAE
    decoder's, while the stock pipeline paints; the scheduler of the film is not asked."""
    unet, decoder = pipeline.unet, pipeline.vae.decoder
    with (
        torch.inference_mode(),
        scheduled(pipeline),
        recording(unet) as rows,
        recording(decoder) as latents,
    ):
        for number, prompt in enumerate(PROMPTS):
            pipeline(
                prompt,
                height=height,
                width=width,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                generator=torch.Generator().manual_seed(number),
                output_type="np",
            )
    return rows, latents


@contextmanager
def recording(network: torch.nn.Module) -> Iterator[Calls]:
    """The arguments of a network's calls inside of the block."""
    calls: Calls = []
    signature = inspect.signature(type(network).forward)

    def keep(network: object, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        arguments = dict(signature.bind(network, *given, **named).arguments)
        calls.append({key: value for key, value in arguments.items() if key != "self"})

    hook = network.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


@contextmanager
def scheduled(pipeline: Any) -> Iterator[None]:
    """Let the pipeline go by the schedule of the calibration, with the model's own betas."""
    calibration = DDIMScheduler.from_config(pipeline.scheduler.config, **SCHEDULE)
    with Patches() as patches:
        patches.replace(pipeline, "scheduler", calibration)
        yield


def chosen_by(options: Mapping[str, Any]) -> list[Any]:
    """All that the scales depend on besides the model and its size.

    Args:
        options: the film's own of the scheduler; betas among them would be the calibration's too.
    """
    takes = inspect.signature(DDIMScheduler.__init__).parameters
    shared = {key: options[key] for key in options if key in takes and key not in SCHEDULE}
    return [PROMPTS, STEPS, GUIDANCE, SCHEDULE, SPARED, shared]


def in_8_bits(model: Any, name: str, network: torch.nn.Module, inputs: Sequence[Arrays]) -> Any:
    """The OpenVINO model with integers of 8 bits in place of floats, where that is faster.

    Args:
        name: `denoiser` or `decoder`.
        network: what the model was converted from.
        inputs: what the scales of its activations are chosen by.

    Source: Jacob et al. 2018, Quantization and Training of Neural Networks, as NNCF has it.
    """
    with without_telemetry():
        import nncf

    unsmoothed = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)  # gained nothing
    with quiet(logging.getLogger("nncf")):
        return nncf.quantize(
            model,
            nncf.Dataset(list(inputs)),
            subset_size=len(inputs),
            model_type=nncf.ModelType.TRANSFORMER if name == "denoiser" else None,
            ignored_scope=nncf.IgnoredScope(patterns=[spared(name, network)]),
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=unsmoothed),
        )


def spared(name: str, network: torch.nn.Module) -> str:
    """The layers that stay as they are, as a pattern of their names."""
    last = len(network.up_blocks) - 1  # type: ignore[arg-type]
    return f".*({SPARED[name].format(last=last)}).*"


@contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Show NNCF's progress on a terminal, and nothing of it on stdout or in a log."""
    with (
        Patches() as patches,
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(terminal() or nowhere),
    ):
        patches.switch(lambda: logger.level, logger.setLevel, logging.ERROR)
        yield


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Inside of the block OpenVINO and NNCF are imported without their telemetry: neither reports
    conversions to its makers, as both do by default. Both allow for a package that is not there."""
    with Patches() as patches:
        patches.enter(sys.modules, "openvino_telemetry", None)
        yield
