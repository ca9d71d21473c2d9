"""Loading a model as its stock diffusers pipeline, safely: data only, never code.

The folder's files are checked in models/safety.py before anything is imported on its behalf. The
pipeline's class comes from our table of families, not from the model.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from logging import CRITICAL
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import huggingface_hub
import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers.utils import logging as transformers_logging

from render.config.schema import ComputeConfig
from render.diffusion.components import assembled, placed, unusable
from render.diffusion.schedules import give_scheduler, make_scheduler
from render.errors import ConfigError, Mistake, RenderError
from render.kernels.patches import Patches
from render.models.components import reading_whole, skipping
from render.models.controlnet_inputs import leaving_negatives
from render.models.family import Family
from render.models.hub_configs import REACH_S, out_of_reach, within
from render.models.hub_errors import of_a_loader
from render.models.memory_budget import check_fits
from render.models.model_configs import read_json
from render.models.model_source import ModelSource
from render.models.safety import LIBRARIES, check_index, check_model, components, mistakes_in_folder
from render.models.scheduler_signatures import class_flaw
from render.models.sister_pipelines import BESIDE, family_of
from render.plan.frame_plan import Recipe
from render.report.streams import terminal


class Loaded(NamedTuple):
    """A loaded pipeline and its family, with what was patched on the way."""

    pipeline: Any
    family: Family
    patches: Patches
    schedule: Patches
    """The recipe's scheduler in place of the model's own."""


def load_pipeline(
    source: ModelSource,
    recipe: Recipe,
    device: str,
    compute: ComputeConfig | None = None,
    quantisable: bool = True,
) -> Loaded:
    """The stock pipeline of a model on a device, with the recipe's scheduler and dtype.

    Args:
        quantisable: whether the engine takes weights that were quantised while they were loaded.

    Raises:
        ConfigError: the model is missing, unsafe, broken, too big or of an unknown family, or the
            device is not there.
    """
    compute = compute or ComputeConfig()
    check_device(device)
    with quiet_libraries():
        folder = source.folder if source.folder is not None else hub_folder(source)
        family = check_model(source, folder)
        check_classes(folder / "model_index.json")
        check_scheduler(folder, recipe)
        free = gpu_free(device)
        check_fits(source, folder, family, recipe.dtype, compute, free, quantisable)
        patches, schedule = Patches(), Patches()
        pipeline = loaded_from(source, folder, family, recipe, compute, patches)
        index = read_json(folder / "model_index.json")
        family = family_of(index, getattr(pipeline, family.denoiser).config)
        family = reading_whole(skipping(family, source.clip_skip), source.long_prompts)
        family = leaving_negatives(family, source.controlnet)
        give_scheduler(pipeline, recipe, schedule)
        return Loaded(placed(pipeline, device, compute, patches), family, patches, schedule)


def loaded_from(
    source: ModelSource,
    folder: Path,
    family: Family,
    recipe: Recipe,
    compute: ComputeConfig,
    patches: Patches,
) -> Any:
    """The pipeline in main memory, silent, with a decoder whose overflows can be seen.

    Raises:
        ConfigError: it can't be loaded.
    """
    dtype = getattr(torch, recipe.dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the libraries to one another
            pipeline = assembled(source, folder, family, dtype, patches, compute.quantised)
    except (RenderError, MemoryError):
        raise
    except Exception as error:  # a config from anywhere makes libraries divide by zero and more
        raise unusable(source, f"can't be loaded: {of_a_loader(error)}") from error
    patches.replace(pipeline, "_progress_bar_config", {"disable": True})
    patches.add(pipeline.vae.decoder.register_forward_hook(keep_overflow).remove)
    return pipeline


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


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside of the block the libraries' loggers are silent, and there are no progress bars but for
    downloads before a terminal."""
    downloads = not are_progress_bars_disabled()
    with Patches() as patches:
        # Put back last, since transformers shows and hides the hub's bars with its own.
        patches.add(partial(show_downloads, downloads))
        for library in (diffusers_logging, transformers_logging):
            # What they call an error is an exception as well.
            patches.switch(library.get_verbosity, library.set_verbosity, CRITICAL)
            patches.switch(library.is_progress_bar_enabled, partial(show_bars, library), False)
        show_downloads(downloads and terminal() is not None)
        yield


def show_bars(library: Any, shown: bool) -> None:
    """Show a library's progress bars, or don't."""
    (library.enable_progress_bar if shown else library.disable_progress_bar)()


def show_downloads(shown: bool) -> None:
    """Show the hub's progress bars, or don't."""
    if shown == are_progress_bars_disabled():
        (enable_progress_bars if shown else disable_progress_bars)()


def hub_folder(source: ModelSource) -> Path:
    """The folder of a hub model in the local cache; downloaded first if it is not whole there.

    Raises:
        ConfigError: its index is refused, or it is not in the cache and the hub can't give it.
    """
    try:
        folder = fetch(source, local_files_only=True)
        if not mistakes_in_folder(
            folder, check_classes(folder / "model_index.json"), source.variant
        ):
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
    """Download what the pipeline needs of a hub model, its index first and checked before the rest;
    its folder."""
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
