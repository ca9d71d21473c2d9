"""The type of a row of the table of families."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from render.models.guidance import Guidance
from render.models.noise_shapes import unpacked


def said_latent(denoiser: Mapping[str, Any]) -> Any:
    """Latent pixels on a side, as the denoiser's config has it."""
    return denoiser.get("sample_size")


def nothing_settled(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pipeline takes its scheduler as it is."""
    return {}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a prompt: the tokenizer's folder, how many tokens, of which some are marks."""

    folder: str = "tokenizer"
    tokens: int | None = None
    """None: what the tokenizer's own config says."""
    marks: int = 2


@dataclass(frozen=True, slots=True)
class Family:
    """How the pipelines of one family are loaded and called."""

    pipeline: str
    """Name of the pipeline's class in diffusers, as `model_index.json` gives it."""
    denoiser: str
    """The component whose `forward` is patched."""
    call: Mapping[str, Any]
    """Arguments of the pipeline's call that switch its own guidance off, and fixed others."""
    state: frozenset[str]
    """Arguments of the denoiser that belong to the frame; the others are the text's."""
    noise_shape: Callable[[Any, int, int], tuple[int, ...]]
    """(pipeline, height, width) to the shape of one frame's noise."""
    pack: Callable[[Any, Any], Any] = unpacked
    """(pipeline, noise of all frames) to the latents that the pipeline takes."""
    noise_dtype: str | None = None
    """Dtype of the latents between the steps, where it is not the model's."""
    guidance: Guidance = field(default_factory=Guidance)
    negative: Callable[[Any, str], dict[str, Any]] | None = None
    """(pipeline, text) to arguments of the pipeline's call; None: negatives are read as prompts."""
    weighted: Callable[..., dict[str, Any]] | None = None
    """(pipeline, text with weights) to arguments of the pipeline's call, where it can be given."""
    whole_texts: bool = False
    """Whether `weighted` reads all texts, long ones in several windows of the encoder."""
    lined_up: bool = True
    """Whether all texts have one length, so that embeddings can be blended."""
    flow: bool = False
    """Whether the model predicts a flow (rectified flow), so needs such a scheduler."""
    sigmas: Literal["never", "always", "unless_flow_sigmas"] = "never"
    """When the pipeline hands its scheduler the sigmas to use."""
    mu: Literal["never", "dynamic", "always"] = "never"
    """When the pipeline hands its scheduler a shift for the picture's size: never, with
    `use_dynamic_shifting`, or always."""
    mu_by_settings: bool = True
    """Whether that shift is computed from the scheduler's settings."""
    patch: int = 1
    """Latent pixels on a side that are one to the denoiser."""
    places: str | None = None
    """The key of the denoiser's config that says how many of those fit on a side."""
    native: int | None = None
    """Pixels on a side, where the model's configs do not say."""
    native_latent: Callable[[Mapping[str, Any]], Any] = said_latent
    """(the denoiser's config) to the latent pixels on a side, or [height, width]."""
    settled: Callable[[Mapping[str, Any]], Mapping[str, Any]] = nothing_settled
    """(what the scheduler is made of) to those settings that the pipeline puts right in it."""
    multiple: int = 8
    """The number of which width and height must be multiples, while the model is not on this
    machine."""
    sisters: frozenset[str] = frozenset()
    """Names of other pipelines' classes that are made of the same parts, for given pictures, say:
    their folders are read as this family's own."""
    from_image: str | None = None
    """Name of the pipeline's class in diffusers that starts from a picture, if that is served."""
    caches_blocks: bool = False
    """Whether diffusers can skip the transformer's blocks (FirstBlockCache)."""
    loras: bool = True
    """Whether diffusers loads LoRAs into this pipeline."""
    lokr: bool = False
    """Whether it reads LoKr files, too (Kronecker products in place of low ranks)."""
    loras_by_layer: bool = False
    """Whether a LoRA's strength is taken layer by layer, as earlier versions did not."""
    cross_attention: bool = False
    """Whether the denoiser attends to texts of a width that its config names; else texts and
    picture are tokens of one width."""
    deep_features: bool = False
    """Whether the denoiser has deep blocks whose features change slowly (`deep_cache`)."""
    controlnets: bool = False
    """Whether a ControlNet can be followed."""
    skips_clip: bool = False
    """Whether CLIP's last layers can be skipped."""
    learned_words: Mapping[str, str] = field(default_factory=dict)
    """The text encoders whose vocabulary grows (textual inversion), by the tensor in a learned
    word's file; "" is any. Empty: the pipeline learns no words."""
    single_files: bool = True
    """Whether diffusers reads checkpoints of this family from one file."""
    areas: tuple[float, float] = (0.24, 4.1)
    """The smallest and largest picture that it paints well, in parts of the native area; by default
    those of models that were trained at many sizes."""
    longest: float = math.inf
    """The side from which on it repeats what it paints, in parts of the native one."""
    half: str = "float16"
    """The dtype on a GPU, if none is asked for."""
    denoiser_class: str = ""
    """Part of the names of the classes that its denoiser may be of."""
    encoders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The classes of CLIP and T5 that the pipeline can read texts with, by component."""
    readers: tuple[Reader, ...] = (Reader(),)
    """The text encoder that reads most, then what stands in for it in models that lack it."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `from_pretrained`; a component given as None is never loaded."""
    unserved: Mapping[str, str] = field(default_factory=dict)
    """Settings that the denoiser's config may not switch on, each with the reason."""
    adapt: Callable[[Family, Mapping[str, Any], Mapping[str, Any]], Family] | None = None
    """(family, model_index.json, the denoiser's config) to what holds for that very model."""

    @property
    def rows_share_calls(self) -> bool:
        """Whether rows of several frames may share a call on a CPU: a row comes out bit for bit the
        same wherever it stands. A transformer's differs in its last bits."""
        return self.denoiser == "unet"

    @property
    def lora_names_are_layers(self) -> bool:
        """Whether diffusers reads LoRAs in two spellings alone, each with the layers' own names."""
        return self.denoiser == "unet"

    @property
    def has_kernels(self) -> bool:
        """Whether the denoiser and its autoencoder are made of the layers that kernels compute
        faster: convolutions of pictures, residual blocks, cross-attention."""
        return self.denoiser == "unet"

    @property
    def host_runs_ahead(self) -> bool:
        """Whether calls are so short on a GPU that the host has to prepare the next frames
        meanwhile."""
        return self.denoiser == "unet"

    @property
    def converts(self) -> bool:
        """Whether OpenVINO can convert the denoiser."""
        return self.denoiser == "unet"
