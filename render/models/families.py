"""Model families as data. Without torch: a plan reads it.

A family is one row of `FAMILIES`: how the stock diffusers pipeline is called so that its own
guidance is off and this project's blend (blend.py) stands where the guidance would. Another family
is another row; its functions get the loaded pipeline and tensors.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from render.models.prompt_weights import sd_texts, sdxl_texts


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's weights are: a diffusers folder, or a repository of the hub at a commit."""

    folder: Path | None
    repository: str | None
    revision: str | None
    variant: str | None
    family: str | None
    file: Path | None = None
    """A checkpoint in one file, whose configs are in the folder."""
    vae: Path | None = None
    """Folder or file of another VAE."""
    clip_skip: int | None = None
    long_prompts: bool = False
    words: tuple[tuple[Path, str], ...] = ()
    """Files of learned words, each with its token."""
    controlnet: tuple[Path, float] | None = None
    """Folder of a ControlNet, and the scale of what it adds."""

    def __str__(self) -> str:
        if self.file is not None:
            return str(self.file)
        if self.folder is not None:
            return str(self.folder)
        return f"{self.repository}@{self.revision}" if self.revision else str(self.repository)


# --- guidance: from u (what it leads away from) towards the prompts, d = c - u, at scale g -------


def classifier_free(u: Any, d: Any, g: float) -> Any:
    """u + g d (Ho and Salimans 2022)."""
    return u + g * d


def beyond_the_prompt(u: Any, d: Any, g: float) -> Any:
    """c + g d: the scale counts from the prompt's own prediction."""
    return u + (1 + g) * d


def length_kept(u: Any, d: Any, g: float) -> Any:
    """u + g d, scaled to the length of c along the last axis."""
    guided = u + g * d
    return guided * ((u + d).norm(dim=-1, keepdim=True) / guided.norm(dim=-1, keepdim=True))


def as_it_is(pipeline: Any, scales: Any) -> Any:
    """The guidance scales (B,) themselves."""
    return scales


def sinusoidal(pipeline: Any, scales: Any) -> Any:
    """Scales (B,) as the embedding (B, D) that a distilled U-Net takes (Meng et al. 2023)."""
    width = pipeline.unet.config.time_cond_proj_dim
    return pipeline.get_guidance_scale_embedding(scales - 1, embedding_dim=width)


@dataclass(frozen=True, slots=True)
class Guidance:
    """How a family leads its pictures towards the prompts."""

    combine: Callable[[Any, Any, float], Any] = classifier_free
    """(u, d, g) to a frame's prediction."""
    off: float = 1.0
    """Scales up to this one are no guidance, as in diffusers: the prompts' prediction alone."""
    negatives: bool = True
    """Whether there is anything to lead away from; not in models that were distilled."""
    argument: str | None = None
    """The denoiser's argument that takes the scale, where the model was distilled so."""
    value: Callable[[Any, Any], Any] = as_it_is
    """(pipeline, scales (B,)) to that argument."""

    @property
    def taken(self) -> bool:
        """Whether the model has any place for a scale."""
        return self.negatives or self.argument is not None

    def leads_away(self, scale: float) -> bool:
        """Whether a frame of that scale needs its negatives' rows."""
        return self.negatives and scale > self.off


# --- noise ---------------------------------------------------------------------------------------


def unet_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (C, h, w) of one frame's noise for a U-Net over a picture of height x width pixels."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.unet.config.in_channels, height // factor, width // factor


def transformer_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (C, h, w) for a transformer that cuts the latents into patches itself."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.transformer.config.in_channels, height // factor, width // factor


def patched_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (C, h, w) before 2 x 2 latent pixels become one token of 4 C channels."""
    factor: int = pipeline.vae_scale_factor
    return pipeline.transformer.config.in_channels // 4, height // factor, width // factor


def film_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (1, C, h, w): a film of one picture, as the pipeline draws it."""
    return 1, *patched_noise(pipeline, height, width)


def token_noise(pipeline: Any, height: int, width: int) -> tuple[int, ...]:
    """Shape (4 C, h / 2, w / 2): drawn with the patches as channels."""
    channels, rows, columns = patched_noise(pipeline, height, width)
    return 4 * channels, rows // 2, columns // 2


def unpacked(pipeline: Any, noise: Any) -> Any:
    """The noise (B, C, h, w) as it was drawn."""
    return noise


def packed(pipeline: Any, noise: Any) -> Any:
    """Noise (B, …, C, h, w) as tokens (B, h w / 4, 4 C)."""
    return pipeline._pack_latents(noise, noise.shape[0], *noise.shape[-3:])


# --- negatives, where a family reads them otherwise than prompts ---------------------------------


def zeros_for_empty(pipeline: Any, text: str) -> dict[str, Any]:
    """SDXL: nothing to lead away from is zeros and not the empty text, if the model says so."""
    if text or not pipeline.config.force_zeros_for_empty_prompt:
        return {"prompt": text}
    encoded = pipeline.encode_prompt("", negative_prompt=None, do_classifier_free_guidance=True)
    return {"prompt": None, "prompt_embeds": encoded[1], "pooled_prompt_embeds": encoded[3]}


def without_instruction(pipeline: Any, text: str) -> dict[str, Any]:
    """Sana: the instruction that stands before prompts does not stand before negatives."""
    return {"prompt": text, "complex_human_instruction": None}


def without_system_prompt(pipeline: Any, text: str) -> dict[str, Any]:
    """Lumina 2: likewise."""
    _, _, embeddings, mask = pipeline.encode_prompt("", negative_prompt=text)
    return {"prompt": None, "prompt_embeds": embeddings, "prompt_attention_mask": mask}


# --- what a model's own configs say --------------------------------------------------------------


def said_latent(denoiser: Mapping[str, Any]) -> Any:
    """Latent pixels on a side, as the denoiser's config has it."""
    return denoiser.get("sample_size")


def latent_of_old_unets(denoiser: Mapping[str, Any]) -> Any:
    """The same; but diffusers before 0.9 wrote its own default of 32 for models trained at 64."""
    side = said_latent(denoiser)
    written_by = re.match(r"(\d+)\.(\d+)", str(denoiser.get("_diffusers_version", "")))
    old = written_by is not None and (int(written_by[1]), int(written_by[2])) < (0, 9)
    return 64 if old and isinstance(side, int) and side < 64 else side


def nothing_settled(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pipeline takes its scheduler as it is."""
    return {}


def settled_for_latents(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stable Diffusion's pipeline: one step of offset, and latents are not clipped."""
    wanted = {"steps_offset": 1, "clip_sample": False}
    return {key: value for key, value in wanted.items() if settings.get(key, value) != value}


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
    guidance: Guidance = Guidance()
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
    native: int | None = None
    """Pixels on a side, where the model's configs do not say."""
    native_latent: Callable[[Mapping[str, Any]], Any] = said_latent
    """(the denoiser's config) to the latent pixels on a side, or [height, width]."""
    settled: Callable[[Mapping[str, Any]], Mapping[str, Any]] = nothing_settled
    """(what the scheduler is made of) to those settings that the pipeline puts right in it."""
    multiple: int = 8
    """What width and height must be a multiple of, while the model is not on this machine."""
    from_image: str | None = None
    """Name of the pipeline's class in diffusers that starts from a picture, if that is served."""
    loras: bool = True
    """Whether diffusers loads LoRAs into this pipeline."""
    half: str = "float16"
    """The dtype on a GPU, if none is asked for."""
    readers: tuple[Reader, ...] = (Reader(),)
    """The text encoder that reads most, then what stands in for it in models that lack it."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `from_pretrained`; a component given as None is never loaded."""
    unserved: Mapping[str, str] = field(default_factory=dict)
    """What the denoiser's config may not switch on, and why."""
    adapt: Callable[[Family, Mapping[str, Any], Mapping[str, Any]], Family] | None = None
    """(family, model_index.json, the denoiser's config) to what holds for that very model."""


def distilled_unet(family: Family, index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> Family:
    """A latent consistency model takes the guidance scale as an embedding."""
    if not denoiser.get("time_cond_proj_dim"):
        return family
    taken = Guidance(negatives=False, argument="timestep_cond", value=sinusoidal)
    return replace(family, guidance=taken)


def flux_by_its_config(
    family: Family, index: Mapping[str, Any], denoiser: Mapping[str, Any]
) -> Family:
    """Schnell takes no guidance at all and reads half as many tokens."""
    if denoiser.get("guidance_embeds"):
        return family
    reader = replace(family.readers[0], tokens=256)
    return replace(
        family,
        guidance=Guidance(negatives=False, off=0.0),
        call={**family.call, "max_sequence_length": reader.tokens},
        readers=(reader,),
    )


def klein_by_its_index(
    family: Family, index: Mapping[str, Any], denoiser: Mapping[str, Any]
) -> Family:
    """The distilled Klein takes no guidance at all."""
    distilled = index.get("is_distilled", False)
    return replace(family, guidance=Guidance(negatives=False)) if distilled else family


flow_transformer = partial(Family, denoiser="transformer", flow=True, half="bfloat16")
NO_PICTURES_IN = {"feature_extractor": None, "image_encoder": None}

FAMILIES = {
    family.pipeline: family
    for family in (
        Family(  # Stable Diffusion 1.x and 2.x, epsilon and v-prediction, SD-Turbo; storybook
            pipeline="StableDiffusionPipeline",
            from_image="StableDiffusionImg2ImgPipeline",
            denoiser="unet",
            call={"guidance_scale": 1.0},
            state=frozenset({"sample", "timestep", "timestep_cond"}),
            noise_shape=unet_noise,
            weighted=sd_texts,
            native_latent=latent_of_old_unets,
            settled=settled_for_latents,
            loading={
                **NO_PICTURES_IN,
                "safety_checker": None,
                "requires_safety_checker": False,
            },
            adapt=distilled_unet,
        ),
        Family(  # Stable Diffusion XL, SDXL-Turbo, and the many fine-tunes
            pipeline="StableDiffusionXLPipeline",
            from_image="StableDiffusionXLImg2ImgPipeline",
            denoiser="unet",
            call={"guidance_scale": 1.0},
            state=frozenset({"sample", "timestep", "timestep_cond", "added_cond_kwargs.time_ids"}),
            noise_shape=unet_noise,
            negative=zeros_for_empty,
            weighted=sdxl_texts,
            # The watermark would be there or not by what else is installed.
            loading={**NO_PICTURES_IN, "add_watermarker": False},
            adapt=distilled_unet,
        ),
        flow_transformer(  # Stable Diffusion 3 and 3.5
            pipeline="StableDiffusion3Pipeline",
            from_image="StableDiffusion3Img2ImgPipeline",
            call={"guidance_scale": 1.0, "max_sequence_length": 256},
            state=frozenset({"hidden_states", "timestep"}),
            noise_shape=transformer_noise,
            mu="dynamic",
            patch=2,
            multiple=16,
            native=1024,
            readers=(Reader("tokenizer_3", 256, marks=1), Reader()),
            loading=NO_PICTURES_IN,
        ),
        flow_transformer(  # Flux.1: dev, Krea and schnell
            pipeline="FluxPipeline",
            from_image="FluxImg2ImgPipeline",
            call={"guidance_scale": 1.0, "max_sequence_length": 512},
            state=frozenset({"hidden_states", "timestep", "guidance"}),
            noise_shape=patched_noise,
            pack=packed,
            guidance=Guidance(negatives=False, argument="guidance"),
            sigmas="unless_flow_sigmas",
            mu="always",
            patch=2,
            native=1024,
            multiple=16,
            readers=(Reader("tokenizer_2", 512, marks=1),),
            loading=NO_PICTURES_IN,
            adapt=flux_by_its_config,
        ),
        Family(  # PixArt-Sigma
            pipeline="PixArtSigmaPipeline",
            denoiser="transformer",
            call={"guidance_scale": 1.0, "use_resolution_binning": False, "clean_caption": False},
            state=frozenset({"hidden_states", "timestep"}),
            noise_shape=transformer_noise,
            lined_up=False,
            patch=2,
            multiple=16,
            native=1024,
            readers=(Reader("tokenizer", 300, marks=1),),
            loras=False,
        ),
        flow_transformer(  # Sana
            pipeline="SanaPipeline",
            call={"guidance_scale": 1.0, "use_resolution_binning": False, "clean_caption": False},
            state=frozenset({"hidden_states", "timestep"}),
            noise_shape=transformer_noise,
            noise_dtype="float32",
            negative=without_instruction,
            lined_up=False,
            multiple=32,
            native=1024,
            readers=(Reader("tokenizer", 300),),
        ),
        flow_transformer(  # Lumina-Image 2
            pipeline="Lumina2Pipeline",
            call={"guidance_scale": 1.0},
            state=frozenset({"hidden_states", "timestep"}),
            noise_shape=transformer_noise,
            guidance=Guidance(length_kept),
            negative=without_system_prompt,
            lined_up=False,
            sigmas="always",
            mu="always",
            patch=2,
            multiple=16,
            native=1024,
            readers=(Reader("tokenizer", 256, marks=40),),
        ),
        flow_transformer(  # Chroma
            pipeline="ChromaPipeline",
            call={"guidance_scale": 1.0},
            state=frozenset({"hidden_states", "timestep"}),
            noise_shape=patched_noise,
            pack=packed,
            lined_up=False,
            sigmas="always",
            mu="always",
            patch=2,
            native=1024,
            multiple=16,
            readers=(Reader("tokenizer", 512, marks=1),),
            loading=NO_PICTURES_IN,
        ),
        flow_transformer(  # Z-Image, Z-Image-Turbo
            pipeline="ZImagePipeline",
            call={"guidance_scale": 0.0},
            state=frozenset({"x", "t"}),
            noise_shape=transformer_noise,
            noise_dtype="float32",
            guidance=Guidance(beyond_the_prompt, off=0.0),
            lined_up=False,
            sigmas="always",
            mu="always",
            patch=2,
            native=1024,
            multiple=16,
            readers=(Reader("tokenizer", 512, marks=8),),
        ),
        flow_transformer(  # Qwen-Image
            pipeline="QwenImagePipeline",
            call={"true_cfg_scale": 1.0, "max_sequence_length": 512},
            state=frozenset({"hidden_states", "timestep", "guidance", "img_shapes"}),
            noise_shape=film_noise,
            pack=packed,
            guidance=Guidance(length_kept),
            lined_up=False,
            sigmas="always",
            mu="always",
            patch=2,
            native=1328,
            multiple=16,
            readers=(Reader("tokenizer", 512, marks=5),),
            unserved={
                "guidance_embeds": "a Qwen-Image model that takes guidance as an input is no row "
                "of the table of families yet (it would need the argument `guidance`); use one "
                "without"
            },
        ),
        flow_transformer(  # Flux.2 dev
            pipeline="Flux2Pipeline",
            call={"guidance_scale": 1.0},
            state=frozenset({"hidden_states", "timestep", "guidance", "img_ids"}),
            noise_shape=token_noise,
            guidance=Guidance(negatives=False, argument="guidance"),
            sigmas="unless_flow_sigmas",
            mu="always",
            mu_by_settings=False,
            patch=2,
            native=1024,
            multiple=16,
            readers=(Reader("tokenizer", 512),),
        ),
        flow_transformer(  # Flux.2 Klein
            pipeline="Flux2KleinPipeline",
            call={"guidance_scale": 1.0},
            state=frozenset({"hidden_states", "timestep", "guidance", "img_ids"}),
            noise_shape=token_noise,
            sigmas="unless_flow_sigmas",
            mu="always",
            mu_by_settings=False,
            patch=2,
            native=1024,
            multiple=16,
            readers=(Reader("tokenizer", 512, marks=12),),
            adapt=klein_by_its_index,
        ),
    )
}
STABLE_DIFFUSION = FAMILIES["StableDiffusionPipeline"]


SUFFIXES = ("Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint", "PAG")
STEMS = ("StableDiffusion", "StableDiffusionXL", "StableDiffusion3", "Flux", "Chroma", "ZImage")
SISTERS = {
    **{f"{stem}{suffix}Pipeline": f"{stem}Pipeline" for stem in STEMS for suffix in SUFFIXES},
    "QwenImageImg2ImgPipeline": "QwenImagePipeline",
    "LatentConsistencyModelPipeline": "StableDiffusionPipeline",
    "LatentConsistencyModelImg2ImgPipeline": "StableDiffusionPipeline",
}
"""Pipelines made of the same parts as a family's own, so that their folders are read as its."""
BESIDE = frozenset({"controlnet"})
"""Components of sister pipelines that a family's own does not have."""


def pipeline_of(index: Mapping[str, Any]) -> str:
    """The class of the family that reads a folder with this `model_index.json`."""
    written = str(index.get("_class_name"))
    return SISTERS.get(written, written)


def sister_mistake(index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> str | None:
    """Why a folder of a sister pipeline would not give its family's pictures, or None."""
    written, family = str(index.get("_class_name")), pipeline_of(index)
    if written == family:
        return None
    taken, given = denoiser.get("in_channels"), denoiser.get("out_channels")
    if given is not None and taken != given:
        return (
            f"{written} with a denoiser that takes {taken} channels and gives {given}: it was "
            f"trained to change given pictures; the nearest is the {family} that it was made from"
        )
    if index.get("requires_aesthetics_score"):
        return f"{written} that refines given pictures; the nearest is its base, a {family}"
    return None


def family_of(index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> Family:
    """The family of a model by its `model_index.json` and its denoiser's config."""
    family = FAMILIES[pipeline_of(index)]
    return family.adapt(family, index, denoiser) if family.adapt else family


def family_mistake(pipeline: str) -> str | None:
    """What is wrong with a pipeline class, or None if its family is known."""
    if pipeline in FAMILIES or pipeline in SISTERS:
        return None
    near = difflib.get_close_matches(pipeline, FAMILIES, n=1, cutoff=0.0)[0]
    return (
        f"no model family for the pipeline {pipeline!r}; it would need a row of its own in "
        "render/models/families.py (its denoiser's inputs, how its guidance is switched off, the "
        f"shape of its noise); the nearest by name is {near}; known: {', '.join(sorted(FAMILIES))}"
    )
