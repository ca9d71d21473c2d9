"""Loading a model as its stock diffusers pipeline, safely: data only, never code.

Weights are safetensors, components come from diffusers and transformers, and both are checked in
the files before anything is imported on their behalf. The pipeline's class comes from our table of
families, not from the model.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import safetensors
import torch
import transformers
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils.tqdm import disable_progress_bars
from transformers.utils import logging as transformers_logging

from render.errors import ConfigError, Mistake
from render.families import FAMILIES, Family, ModelSource, family_mistake
from render.models import read_json
from render.plan import Recipe

LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
SAFETY_CHECKER = "stable_diffusion"  # named as a library in old folders; never loaded
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
HUB_TIMEOUT_S = 10
WEIGHTLESS = ("Tokenizer", "TokenizerFast", "Scheduler", "ImageProcessor", "FeatureExtractor")
LATENT_DEFAULTS = {"clip_sample": False, "skip_prk_steps": True}
"""What every latent diffusion model sets and diffusers' defaults, made for pixels, do not."""
METHOD_KEYS = {"algorithm_type", "solver_type"}
"""Settings of one solver that mean nothing to another, though diffusers would hand them on."""


def load_pipeline(source: ModelSource, recipe: Recipe, device: str) -> tuple[Any, Family]:
    """The stock pipeline of a model on a device, with the recipe's scheduler and dtype.

    Raises:
        ConfigError: the model is missing, unsafe, broken or of an unknown family, or the device
            is not there.
    """
    check_device(device)
    hush()
    folder = source.folder if source.folder is not None else hub_folder(source)
    family = check_folder(folder, source.variant)
    try:
        pipeline = getattr(diffusers, family.pipeline).from_pretrained(
            folder,
            variant=source.variant,
            dtype=getattr(torch, recipe.dtype),
            use_safetensors=True,
            local_files_only=True,
            **family.loading,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise unusable(source, f"can't be loaded: {first_line(error)}") from error
    if getattr(getattr(pipeline, family.denoiser).config, "time_cond_proj_dim", None):
        raise unusable(source, "is distilled to take guidance as an input, which is not supported")
    pipeline.scheduler = make_scheduler(pipeline.scheduler, recipe)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_slicing()  # one picture at a time: pixels do not depend on neighbours
    pipeline.vae.decoder.register_forward_hook(keep_overflow)
    return pipeline.to(device), family


def keep_overflow(
    _: torch.nn.Module, latents: tuple[torch.Tensor, ...], decoded: torch.Tensor
) -> torch.Tensor:
    """Make pictures (B, 3, H, W) all NaN that overflowed, before or in the decoder.

    The pipeline clamps them next, which makes an infinite pixel black or white but leaves NaN.
    """
    finite = torch.isfinite(decoded).all((1, 2, 3)) & torch.isfinite(latents[0]).all((1, 2, 3))
    return torch.where(finite[:, None, None, None], decoded, torch.nan)


def unusable(source: ModelSource, what: str) -> ConfigError:
    """The error for a model that is there but can't be used."""
    return ConfigError([Mistake("model", f"{source} {what}; model=storybook runs as it is")])


def first_line(error: BaseException) -> str:
    """An error of a library in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
    """Only errors from the libraries' loggers, no bars but for downloads before a terminal."""
    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    for logging in libraries:
        logging.set_verbosity_error()
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
        if not folder_mistakes(folder, check_index(folder / "model_index.json"), source.variant):
            return folder
    except (OSError, ValueError):
        pass  # not in the cache
    try:
        # Asked first because it fails at once where a download tries again for half a minute.
        huggingface_hub.HfApi().model_info(
            str(source.repository), revision=source.revision, timeout=HUB_TIMEOUT_S
        )
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
    family = check_index(Path(index))
    folder = getattr(diffusers, family.pipeline).download(
        repository,
        revision=revision,
        variant=source.variant,
        use_safetensors=True,
        local_files_only=local_files_only,
        **family.loading,
    )
    return Path(folder)


def out_of_reach(source: ModelSource, error: Exception) -> ConfigError:
    """The error for a hub model that is neither here nor to be had, with the ways out."""
    revision = f" --revision {source.revision}" if source.revision else ""
    what = (
        f"{source} is not on this machine and the hub can't give it ({first_line(error)}); "
        f"get it with `hf download {source.repository}{revision}`, give a folder with model=local "
        "model.path=…, or run with model=storybook"
    )
    return ConfigError([Mistake("model.repository", what)])


def check_folder(folder: Path, variant: str | None) -> Family:
    """Refuse a diffusers folder that holds code, pickles in place of weights, or broken weights.

    Raises:
        ConfigError: with every reason, a line each.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        what = f"{folder} is no diffusers folder (it has no model_index.json)"
        raise ConfigError([Mistake("model.path", what)])
    family = check_index(index)
    wrong = folder_mistakes(folder, family, variant)
    if wrong:
        raise ConfigError(wrong)
    return family


def folder_mistakes(folder: Path, family: Family, variant: str | None) -> list[Mistake]:
    """Code, and missing or broken parts, in a folder whose index is right."""
    wrong = code_mistakes(folder)
    for name, (_, class_name) in components(read_json(folder / "model_index.json")).items():
        if name not in family.loading:
            wrong += weight_mistakes(folder / name, class_name, variant)
    return wrong


def check_index(index: Path) -> Family:
    """The family of a `model_index.json`, if its class and its libraries are ones we know."""
    written = read_json(index)
    wrong = family_mistake(str(written.get("_class_name")))
    if wrong:
        raise ConfigError([Mistake(str(index), wrong)])
    family = FAMILIES[written["_class_name"]]
    mistakes = [
        Mistake(str(index), what)
        for name, (library, class_name) in components(written).items()
        if (what := component_mistake(name, library, class_name, family))
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return family


def components(index: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The components that an index names, each with its library and class."""
    return {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value != [None, None]
    }


def component_mistake(name: str, library: Any, class_name: Any, family: Family) -> str | None:
    """Why a component must not be imported, or None."""
    if library == SAFETY_CHECKER and name in family.loading:
        return None
    if not isinstance(library, str) or library not in LIBRARIES:
        return (
            f"component {name!r} wants the library {library!r}; only diffusers and transformers "
            "are imported, never a model's own code"
        )
    if not isinstance(class_name, str) or not hasattr(LIBRARIES[library], class_name):
        return f"component {name!r} wants {library}.{class_name}, which is not there"
    return None


def code_mistakes(folder: Path) -> list[Mistake]:
    """Python files and `auto_map` entries: a model with code of its own is not run."""
    found = [
        Mistake(str(path), "is code; models are data here") for path in sorted(folder.rglob("*.py"))
    ]
    for path in sorted(folder.glob("*/*config.json")):
        if "auto_map" in read_json(path):
            found.append(Mistake(str(path), "has an auto_map, which names code of the model's own"))
    return found


def weight_mistakes(component: Path, class_name: str, variant: str | None) -> list[Mistake]:
    """Missing or broken weights of one component."""
    if not any(component.glob("*")):
        return [Mistake(str(component), "is missing or empty")]
    if class_name.endswith(WEIGHTLESS):
        return []
    weights = sorted(component.glob("*.safetensors"))
    if not weights:
        pickles = [path.name for path in sorted(component.glob("*")) if path.suffix in PICKLES]
        what = (
            f"has {', '.join(pickles)} but no .safetensors; pickled weights can run code and are "
            "not loaded; convert the model with `save_pretrained(…, safe_serialization=True)`"
            if pickles
            else "has no .safetensors weights"
        )
        return [Mistake(str(component), what)]
    if variant and not any(f".{variant}" in path.name for path in weights):
        return [Mistake(str(component), f"has no weights of the variant {variant!r}")]
    return [Mistake(str(path), why) for path in weights if (why := broken(path))]


def broken(path: Path) -> str | None:
    """Why a file is no whole safetensors file, or None. Reads its header only."""
    try:
        with safetensors.safe_open(path, framework="pt"):
            return None
    except (safetensors.SafetensorError, OSError) as error:
        return f"is no whole safetensors file ({first_line(error)}); download it again"


def make_scheduler(own: Any, recipe: Recipe) -> Any:
    """The recipe's scheduler with the model's noise schedule and prediction type.

    Args:
        own: the scheduler that the model's folder holds.

    Raises:
        ConfigError: the class refuses its options or the number of steps.
    """
    chosen = type(own) if recipe.scheduler == "model" else getattr(diffusers, recipe.scheduler)
    foreign = METHOD_KEYS if chosen is not type(own) else set()
    config = {key: value for key, value in own.config.items() if key not in foreign}
    explicit = set(config) - set(config.get("_use_default_values", ()))
    accepted = inspect.signature(chosen.__init__).parameters
    options = {
        key: value
        for key, value in LATENT_DEFAULTS.items()
        if key in accepted and key not in explicit
    }
    try:
        scheduler = chosen.from_config(config, **(options | dict(recipe.scheduler_options)))
        scheduler.set_timesteps(recipe.steps)
    except (ValueError, TypeError, NotImplementedError, ImportError, IndexError) as error:
        what = f"{chosen.__name__} with {recipe.steps} steps: {first_line(error)}"
        raise ConfigError([Mistake("scheduler", what)]) from error
    return scheduler
