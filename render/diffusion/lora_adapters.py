"""LoRAs in a loaded pipeline: loaded whole or refused, and set to a frame's weights between calls.

The files are read by the pipeline's own `load_lora_weights`; peft's layers add them to the model's
as it computes. Nothing is merged, so while none is at work the model computes what it always did.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.nn import Module

from render.diffusion.lora_layers import Misfit, strengthen
from render.errors import ConfigError, Mistake
from render.kernels.patches import Patches
from render.models.family import Family
from render.models.hub_errors import of_the_hub
from render.models.lora_files import USUAL_NAME, Lora, check_lora, purpose
from render.models.lora_parts import parts_of
from render.plan.conditioning import Weights
from render.text import one_line

ALIAS = "text_model"
KRONECKER = re.compile(r"\.lokr_.*$")


class Adapters:
    """The LoRAs of a pipeline and the weights they are at.

    Attributes:
        reading: names of those that change a text encoder.
        applied: the weights that hold now; none after loading.
    """

    def __init__(self, pipeline: Any, family: Family, loras: Sequence[Lora] = ()) -> None:
        # In one order whatever the config's, as sums of floats depend on it.
        ordered = sorted(loras, key=lambda lora: (lora.identity, lora.name))
        self.adapters = {lora.name: f"lora{place}" for place, lora in enumerate(ordered)}
        for lora in ordered:
            load(pipeline, family, lora, self.adapters[lora.name])
        parts = {name: layers(part) for name, part in pipeline.components.items()}
        self.layers = [layer for part in parts.values() for layer in part]
        for layer in self.layers:
            layer.eval()  # peft makes new layers for training, where dropout leaves gaps at random
        encoders = [part for name, part in parts.items() if name != family.denoiser]
        self.reading = frozenset(
            name
            for name, adapter in self.adapters.items()
            if any(has(layer, adapter) for part in encoders for layer in part)
        )
        self.applied: Weights = (("", 0.0),)
        self.apply(())

    def apply(self, weights: Weights) -> None:
        """Let the LoRAs work at these weights, and those that are not named not at all."""
        if weights == self.applied:
            return
        scales = sorted((self.adapters[name], weight) for name, weight in weights)
        for layer in self.layers:
            layer.enable_adapters(bool(scales))
            layer.set_adapter([adapter for adapter, _ in scales], inference_mode=True)
            for adapter, weight in scales:
                layer.set_scale(adapter, weight)
        self.applied = weights


def layers(part: Any) -> list[Any]:
    """The layers of a component that LoRAs are added to."""
    if not isinstance(part, Module):
        return []
    return [layer for layer in part.modules() if isinstance(layer, BaseTunerLayer)]


def has(layer: Any, adapter: str) -> bool:
    """Whether a LoRA changes this layer."""
    return any(adapter in getattr(layer, kind) for kind in layer.adapter_layer_names)


def load(pipeline: Any, family: Family, lora: Lora, adapter: str) -> None:
    """One LoRA as an adapter of the pipeline's components.

    Raises:
        ConfigError: it can't be had, is refused, or has parts that have no place in this model.
    """
    file = lora.file or fetched(lora)
    check_lora(lora, file, family, getattr(pipeline, family.denoiser).config)
    parts = parts_of(file)
    place = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
    try:
        with warnings.catch_warnings(), own_paths(pipeline):
            warnings.simplefilter("ignore")  # peft's, of a second LoRA, which is meant
            pipeline.load_lora_weights(file.parent, adapter_name=adapter, **place)
            strengthen(pipeline, family.denoiser, parts, adapter)
        if parts.kronecker:
            state = type(pipeline).lora_state_dict(file.parent, **place)
            check_all_there(pipeline, state[0] if isinstance(state, tuple) else state, adapter)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the loaders of a dozen spellings fail in as many ways
        raise unfit(lora, file, family, in_short(error)) from error
    if why := not_finite(pipeline, adapter):
        raise ConfigError([Mistake(lora.where, f"{lora} {why}")])


@contextmanager
def own_paths(pipeline: Any) -> Iterator[None]:
    """Text encoders without the second name that clip_skip gives them (components.py), by which
    diffusers would look for layers where there are none."""
    parts = [part for part in pipeline.components.values() if isinstance(part, Module)]
    with Patches() as patches:
        for part in parts:
            if ALIAS in vars(part):
                patches.remove(part, ALIAS)
        yield


def check_all_there(pipeline: Any, state: Mapping[str, Any], adapter: str) -> None:
    """Refuse a LoKr with fewer layers in the pipeline than its file has."""
    wanted = {KRONECKER.sub("", key) for key in state if KRONECKER.search(key)}
    loaded = sum(
        has(layer, adapter) for part in pipeline.components.values() for layer in layers(part)
    )
    if loaded < len(wanted):
        missing = len(wanted) - loaded
        raise Misfit(f"{missing} of the {len(wanted)} layers that it changes are not there")


def not_finite(pipeline: Any, adapter: str) -> str | None:
    """Why no picture with a LoRA would be one: it holds values that are no finite numbers, as
    training that diverged leaves."""
    for component, part in pipeline.components.items():
        for path, layer in part.named_modules() if isinstance(part, Module) else ():
            for kind in ("lora_A", "lora_B"):
                held = getattr(layer, kind, {}) if isinstance(layer, BaseTunerLayer) else {}
                if adapter in held and not all(
                    p.isfinite().all() for p in held[adapter].parameters()
                ):
                    return (
                        f"holds values that are no finite numbers ({kind} of {component}.{path}), "
                        "so every picture would be lost; get the file again, or one saved earlier "
                        "in its training"
                    )
    return None


def in_short(error: Exception) -> str:
    """A loader's message on one line; its kind where it says nothing."""
    return one_line(str(error))[:160] or type(error).__name__


def unfit(lora: Lora, file: Path, family: Family, why: str) -> ConfigError:
    """The error for a LoRA that this model can't take."""
    what = f"{lora} is made for {purpose(file)} and does not fit this {family.pipeline}: {why}"
    return ConfigError([Mistake(lora.where, what)])


def fetched(lora: Lora) -> Path:
    """The file of a LoRA from the hub.

    Raises:
        ConfigError: it can't be had, or the repository holds several.
    """
    repository = str(lora.repository)
    try:
        name = lora.weight_name
        if name is None:
            files = huggingface_hub.HfApi().list_repo_files(repository, revision=lora.revision)
            held = [file for file in files if file.endswith(".safetensors")]
            if USUAL_NAME in held:
                held = [USUAL_NAME]
            if len(held) != 1:
                found = ", ".join(held[:10]) or "no .safetensors file"
                what = f"{lora} holds {found}; say which one in weight_name"
                raise ConfigError([Mistake(lora.where, what)])
            name = held[0]
        return Path(huggingface_hub.hf_hub_download(repository, name, revision=lora.revision))
    except ConfigError:
        raise
    except Exception as error:  # the hub's client has no common base for being unreachable
        what = (
            f"{lora} is not on this machine and the hub can't give it ({of_the_hub(error)}); get "
            f"it with `hf download {repository} --revision {lora.revision}`, or give it as path"
        )
        raise ConfigError([Mistake(lora.where, what)]) from error
