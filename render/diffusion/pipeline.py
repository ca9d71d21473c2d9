"""Loading a model as its stock diffusers pipeline, safely: data only, never code.

What the folder may hold is checked in checkpoint.py before anything is imported on its behalf. The
pipeline's class comes from our table of families, not from the model.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from functools import cache, partial
from logging import CRITICAL
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils.tqdm import disable_progress_bars
from transformers.utils import logging as transformers_logging

from render.config.schema import ComputeConfig
from render.diffusion.components import assembled, placed, unusable
from render.errors import ConfigError, Mistake
from render.kernels.fused_upsampling import merge_upsampling, transposed
from render.kernels.memory_format import lay_out
from render.models.components import reading_whole, skipping
from render.models.controlnet_inputs import leaving_negatives
from render.models.family import Family
from render.models.hub_configs import REACH_S, out_of_reach, within
from render.models.hub_errors import first_line, of_a_loader
from render.models.memory_budget import check_fits
from render.models.model_configs import read_json
from render.models.model_source import ModelSource
from render.models.safety import LIBRARIES, check_index, check_model, components, folder_flaws
from render.models.scheduler_signatures import LATENT_DEFAULTS, METHOD_KEYS, class_flaw
from render.models.sister_pipelines import BESIDE, family_of
from render.plan.frame_plan import Recipe


def load_pipeline(
    source: ModelSource,
    recipe: Recipe,
    device: str,
    compute: ComputeConfig | None = None,
    changes: bool = False,
) -> tuple[Any, Family]:
    """The stock pipeline of a model on a device, with the recipe's scheduler and dtype.

    Args:
        changes: whether LoRAs will change the denoiser's layers.

    Raises:
        ConfigError: the model is missing, unsafe, broken, too big or of an unknown family, or the
            device is not there.
    """
    compute = compute or ComputeConfig()
    check_device(device)
    hush()
    folder = source.folder if source.folder is not None else hub_folder(source)
    family = check_model(source, folder)
    check_classes(folder / "model_index.json")
    check_scheduler(folder, recipe)
    check_fits(source, folder, family, recipe.dtype, compute, gpu_free(device))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the libraries to one another
            dtype = getattr(torch, recipe.dtype)
            pipeline = assembled(source, folder, family, dtype, compute.loaded)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise unusable(source, f"can't be loaded: {of_a_loader(error)}") from error
    index = read_json(folder / "model_index.json")
    family = family_of(index, getattr(pipeline, family.denoiser).config)
    family = reading_whole(skipping(family, source.clip_skip), source.long_prompts)
    family = leaving_negatives(family, source.controlnet)
    give_scheduler(pipeline, recipe)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.decoder.register_forward_hook(keep_overflow)
    unet = family.denoiser == "unet"
    if device == "cpu":
        latents = family.noise_shape(pipeline, recipe.height, recipe.width)
        merge_upsampling(pipeline, latents, unet and not changes, transposed)
    if unet:
        lay_out(pipeline.unet, device)
        lay_out(pipeline.vae, device)
    return placed(pipeline, device, compute), family


def gpu_free(device: str) -> int | None:
    """Bytes that are free on a CUDA GPU; None for devices that share the main memory."""
    if not device.startswith("cuda"):
        return None
    return int(torch.cuda.mem_get_info(torch.device(device))[0])


def keep_overflow(
    _: torch.nn.Module, latents: tuple[torch.Tensor, ...], decoded: torch.Tensor
) -> torch.Tensor:
    """Make pictures (B, 3, H, W) all NaN that overflowed, before or in the decoder.

    The pipeline clamps them next, which makes an infinite pixel black or white but leaves NaN.
    """
    finite = [torch.isfinite(tensor).flatten(1).all(1) for tensor in (decoded, latents[0])]
    each = (finite[0] & finite[1]).view(-1, *[1] * (decoded.ndim - 1))
    return torch.where(each, decoded, torch.nan)


def check_device(device: str) -> None:
    """Refuse a device that this torch can't use."""
    kind, _, index = device.partition(":")
    if kind == "cuda" and torch.cuda.device_count() <= int(index or 0):
        what = f"{device} is asked for, but torch finds {torch.cuda.device_count()} CUDA devices"
    elif kind == "mps" and not torch.backends.mps.is_available():
        what = "mps is asked for, but torch finds no Apple GPU"
    else:
        return
    raise ConfigError([Mistake("compute.device", f"{what}; use compute=auto or compute=cpu")])


def hush() -> None:
    """No words of the libraries' loggers, no bars but for downloads before a terminal."""
    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    for logging in libraries:
        logging.set_verbosity(CRITICAL)  # what they call an error is an exception as well
        logging.disable_progress_bar()
    if not sys.stderr.isatty():
        disable_progress_bars()


def hub_folder(source: ModelSource) -> Path:
    """The folder of a hub model in the local cache; downloaded first if it is not whole there.

    Raises:
        ConfigError: its index is refused, or it is not in the cache and the hub can't give it.
    """
    try:
        folder = fetch(source, local_files_only=True)
        if not folder_flaws(folder, check_classes(folder / "model_index.json"), source.variant):
            return folder
    except (OSError, ValueError):
        pass  # not in the cache
    try:
        # Asked first because it fails at once where a download tries again for half a minute.
        ask = huggingface_hub.HfApi().model_info
        repository = str(source.repository)
        within(REACH_S, partial(ask, repository, revision=source.revision, timeout=REACH_S))
        return fetch(source)
    except ConfigError:
        raise
    except Exception as error:  # the hub's client has no common base for being unreachable
        raise out_of_reach(source, error) from error


def fetch(source: ModelSource, local_files_only: bool = False) -> Path:
    """What the pipeline needs of a hub model, its index first and checked before the rest."""
    repository, revision = str(source.repository), source.revision
    index = huggingface_hub.hf_hub_download(
        repository, "model_index.json", revision=revision, local_files_only=local_files_only
    )
    family = check_classes(Path(index))
    folder = getattr(diffusers, family.pipeline).download(
        repository,
        revision=revision,
        variant=source.variant,
        use_safetensors=True,
        local_files_only=local_files_only,
        **family.loading,
    )
    return Path(folder)


def check_classes(index: Path) -> Family:
    """The family of an index whose components all are classes of the two libraries; those that are
    never loaded may be of classes that are gone (CLIPFeatureExtractor)."""
    family = check_index(index)
    missing = [
        Mistake(str(index), f"component {name!r} wants {library}.{kind}, which is not there")
        for name, (library, kind) in components(read_json(index)).items()
        if library in LIBRARIES
        and name not in family.loading
        and name not in BESIDE
        and not (isinstance(kind, str) and hasattr(sys.modules[library], kind))
    ]
    if missing:
        raise ConfigError(missing)
    return family


def check_scheduler(folder: Path, recipe: Recipe) -> None:
    """Make the recipe's scheduler before the model's weights are loaded, which takes long.

    Raises:
        ConfigError: its class does not serve, or refuses its settings or the number of steps.
    """
    name = components(read_json(folder / "model_index.json"))["scheduler"][1]
    wrong = class_flaw(name) if recipe.scheduler == "model" else None
    if wrong:
        raise ConfigError([Mistake(str(folder / "model_index.json"), wrong)])
    written = folder / "scheduler" / "scheduler_config.json"
    if written.is_file():
        make_scheduler(getattr(diffusers, name).from_config(read_json(written)), recipe)


def give_scheduler(pipeline: Any, recipe: Recipe) -> None:
    """Give a pipeline the recipe's scheduler in place of its own, or of an earlier recipe's.

    Raises:
        ConfigError: the class refuses its options or the number of steps.
    """
    own = getattr(pipeline.scheduler, "in_place_of", pipeline.scheduler)
    pipeline.scheduler = make_scheduler(own, recipe)
    pipeline.scheduler.in_place_of = own


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
    if hasattr(scheduler, "get_lms_coefficient"):  # integrals over sigmas, the same for all frames
        scheduler.get_lms_coefficient = cache(scheduler.get_lms_coefficient)
    return scheduler


def as_it_stands(own: Any) -> dict[str, Any]:
    """All settings of the model's own scheduler: those that its pipeline put right when it was
    made, and which its JSON leaves out, among them."""
    return {key: value for key, value in own.config.items() if not key.startswith("_")}


def carried_over(own: Any, chosen: type) -> dict[str, Any]:
    """What another class takes over of a scheduler: what its JSON says, since a default of one
    class is none of another; what both leave out is as latents need it."""
    left_out = {"_use_default_values", *own.config.get("_use_default_values", ()), *METHOD_KEYS}
    told = {key: value for key, value in own.config.items() if key not in left_out}
    accepted = inspect.signature(chosen).parameters
    return {key: value for key, value in LATENT_DEFAULTS.items() if key in accepted} | told
