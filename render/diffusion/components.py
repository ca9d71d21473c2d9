"""A model's parts made into its stock diffusers pipeline, from a folder or from a single file.

The files were checked before (models/safety.py): data only, never code.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from render.config.schema import ComputeConfig
from render.errors import ConfigError, Mistake
from render.kernels.patches import Patches
from render.models.families import FAMILIES
from render.models.family import Family
from render.models.model_configs import encoder_of, read_json
from render.models.model_source import ModelSource
from render.models.safety import components, parts_beside
from render.models.weight_files import WEIGHTLESS, lone_variant

CLIP = CLIPTextModel, CLIPTextModelWithProjection
KINDS: tuple[Any, ...] = (diffusers.ModelMixin, transformers.PreTrainedModel)
"""The libraries' classes of networks."""


def assembled(
    source: ModelSource,
    folder: Path,
    family: Family,
    dtype: torch.dtype,
    patches: Patches,
    quantised: str = "none",
) -> Any:
    """The stock pipeline with its weights in that dtype, on the CPU; its denoiser's perhaps in
    fewer bits.

    Raises:
        ConfigError: a single file that does not fit its configs, or a part that does not fit.
    """
    kind = getattr(diffusers, family.pipeline)
    options = {"dtype": dtype, "local_files_only": True}
    given = {**left_out(folder, kind), **family.loading, **other_vae(source, folder, options)}
    if source.file is None:
        given |= quantising(family.denoiser, quantised)
        with all_weights_there():
            pipeline = kind.from_pretrained(
                folder, variant=source.variant, use_safetensors=True, **options, **given
            )
    else:
        what = f"{source} does not fit the configs in {folder}"
        with fitting("model", what, "give another model.config"), nothing_left_out():
            given |= parts_from(source, folder, family, options)
            pipeline = kind.from_single_file(
                str(source.file), config=str(folder), **options, **given
            )
    limit_texts(pipeline, patches)
    learn_words(pipeline, source.words)
    if source.clip_skip and not hasattr(pipeline.text_encoder, "text_model"):
        # The pipeline's way to the last norm, which transformers 5.6 made shorter.
        patches.replace(pipeline.text_encoder, "text_model", pipeline.text_encoder)
    return pipeline


def left_out(folder: Path, kind: Any) -> dict[str, None]:
    """Arguments for the components that a model was saved without (Stable Diffusion 3's T5): the
    stock pipeline asks for them."""
    takes = inspect.signature(kind.__init__).parameters
    index = read_json(folder / "model_index.json")
    return {name: None for name in takes if index.get(name) == [None, None]}


def limit_texts(pipeline: Any, patches: Patches) -> None:
    """Let CLIP's tokenizers cut texts where their encoders end, if their own configs name no limit
    or a greater one; the stock pipelines fail there."""
    for name, tokenizer in pipeline.components.items():
        encoder = pipeline.components.get(encoder_of(name))
        if name.startswith("tokenizer") and isinstance(encoder, CLIP):
            most = encoder.config.max_position_embeddings
            length = min(tokenizer.model_max_length, most)
            patches.replace(tokenizer, "model_max_length", length)
            if name == "tokenizer" and hasattr(pipeline, "tokenizer_max_length"):
                patches.replace(pipeline, "tokenizer_max_length", length)  # of SD 3 and Flux


def quantising(denoiser: str, quantised: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` that keep the denoiser's weights in 8 bits; computed with in
    the dtype of the others."""
    if quantised == "none":
        return {}
    from torchao.quantization import Int8WeightOnlyConfig

    config = diffusers.TorchAoConfig(Int8WeightOnlyConfig())
    return {
        "quantization_config": diffusers.PipelineQuantizationConfig(
            quant_mapping={denoiser: config}
        )
    }


def placed(pipeline: Any, device: str, compute: ComputeConfig, patches: Patches) -> Any:
    """The pipeline on its device, or its parts waiting in main memory for their turn there."""
    pipeline.vae.enable_slicing()  # one picture at a time: pixels do not depend on neighbours
    patches.add(pipeline.vae.disable_slicing)
    if compute.vae_tiling:
        pipeline.vae.enable_tiling()
        patches.add(pipeline.vae.disable_tiling)
    if compute.offload == "none":
        return pipeline.to(device)
    if compute.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
        return pipeline
    pipeline.enable_model_cpu_offload(device=device)
    # The stock one takes all hooks off and on again, and this project's `forward` with them.
    patches.replace(pipeline, "maybe_free_model_hooks", partial(offload, pipeline._all_hooks))
    return pipeline


def offload(hooks: Sequence[Any]) -> None:
    """Send all parts back to main memory."""
    for hook in hooks:
        hook.offload()


@contextmanager
def fitting(key: str, what: str, way_out: str) -> Iterator[None]:
    """Say in one line that a stranger's file does not fit; it can fail anywhere."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError([Mistake(key, f"{what} ({in_short(error)}); {way_out}")]) from error


def other_vae(source: ModelSource, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The VAE in place of the model's own, if there is one."""
    if source.vae is None:
        return {}
    name = read_json(folder / "model_index.json")["vae"][1]
    kind = getattr(diffusers, name)
    with fitting("model.vae", f"{source.vae} does not fit as the model's {name}", "give another"):
        if source.vae.is_dir():
            variant = lone_variant(source.vae)
            with all_weights_there():
                vae = kind.from_pretrained(
                    source.vae, variant=variant, use_safetensors=True, **options
                )
            return {"vae": vae}
        with nothing_left_out():
            vae = kind.from_single_file(
                str(source.vae), config=str(folder), subfolder="vae", **options
            )
        return {"vae": vae}


def learn_words(pipeline: Any, words: tuple[tuple[Path, str], ...]) -> None:
    """Textual inversion (Gal et al. 2022): each file's vectors become a token of its own."""
    encoders = FAMILIES[type(pipeline).__name__].learned_words if words else {}
    for file, token in words:
        with fitting(
            "model.embeddings", f"{file} can't be learned as {token!r}", "mend or omit it"
        ):
            tensors = load_file(file)
            for name, encoder in encoders.items():
                pipeline.load_textual_inversion(
                    tensors[name] if name else next(iter(tensors.values())),
                    token=token,
                    tokenizer=getattr(pipeline, encoder.replace("text_encoder", "tokenizer")),
                    text_encoder=getattr(pipeline, encoder),
                )


def parts_from(
    source: ModelSource, folder: Path, family: Family, options: dict[str, Any]
) -> dict[str, Any]:
    """The components with weights that a single file lacks, from its folder."""
    index = components(read_json(folder / "model_index.json"))
    return {
        name: getattr(sys.modules[index[name][0]], class_name).from_pretrained(
            folder,
            subfolder=name,
            variant=lone_variant(folder / name, index[name][0]),
            use_safetensors=True,
            **options,
        )
        for name, class_name in parts_beside(source, folder, family).items()
        if not class_name.endswith(WEIGHTLESS)
    }


@contextmanager
def nothing_left_out() -> Iterator[None]:
    """Refuse weights that a file lacks: diffusers leaves them random and says nothing, or, where
    accelerate is installed, on no device and says something else.

    Raises:
        ValueError: a network was filled only in part.
    """
    lacking: list[str] = []
    with Patches() as patches, all_weights_there():
        for kind in KINDS:
            patches.replace(kind, "load_state_dict", noting_missing(kind, lacking))
            patches.replace(kind, "to", noting_nowhere(kind, lacking))
        yield
    if lacking:
        raise ValueError(f"it lacks {len(set(lacking))} weights, the first {lacking[0]}")


def noting_missing(kind: Any, lacking: list[str]) -> Callable[..., Any]:
    """The class's `load_state_dict` that adds the weights that were missing to a list."""
    stock = kind.load_state_dict

    def load_state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        loaded = stock(self, *args, **kwargs)
        lacking.extend(loaded.missing_keys)
        return loaded

    return load_state_dict


def noting_nowhere(kind: Any, lacking: list[str]) -> Callable[..., Any]:
    """The class's `to` that adds weights on no device to a list, and leaves such a network."""
    stock = kind.to

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        nowhere = [name for name, weight in self.named_parameters() if weight.is_meta]
        lacking.extend(nowhere)
        return self if nowhere else stock(self, *args, **kwargs)

    return to


@contextmanager
def all_weights_there() -> Iterator[None]:
    """Refuse a component whose folder lacks some of its weights: transformers makes them up at
    random and only logs it, diffusers leaves them on no device.

    Raises:
        ValueError: of which class the component is, and what it lacks.
    """
    with Patches() as patches:
        for kind in KINDS:
            patches.replace(kind, "from_pretrained", checked(vars(kind)["from_pretrained"]))
        yield


def checked(stock: Any) -> Any:
    """The class method `from_pretrained` that refuses what its files lack."""

    def load(cls: Any, *args: Any, **kwargs: Any) -> Any:
        loaded, info = stock.__func__(cls, *args, **kwargs, output_loading_info=True)
        # A list of shards may promise what no shard holds; that stays on no device.
        nowhere = [name for name, weight in loaded.named_parameters() if weight.is_meta]
        if lacking := sorted({*info["missing_keys"], *nowhere}):
            count = f"{len(lacking)} of its weights"
            raise ValueError(f"the {cls.__name__}'s files lack {count}, the first {lacking[0]}")
        return loaded

    return classmethod(load)


def unusable(source: ModelSource, what: str) -> ConfigError:
    """The error for a model that is there but can't be used."""
    return ConfigError([Mistake("model", f"{source} {what}; model=storybook runs as it is")])


def in_short(error: BaseException) -> str:
    """The first two lines of a library's error, since torch's first only says where."""
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:2])[:300]
