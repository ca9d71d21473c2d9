"""Model families as data. Without torch: a plan reads it.

A family is one row of `FAMILIES`: how the stock diffusers pipeline is called so that its own
guidance is off and this project's blend stands where the guidance would. Another family is another
row; its functions get the loaded pipeline and tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from render import extensions
from render.extensions import Registry
from render.models.family import Family, Reader, said_latent
from render.models.guidance import Guidance, beyond_the_prompt, length_kept, sinusoidal
from render.models.noise_shapes import (
    film_noise,
    packed,
    patched_noise,
    token_noise,
    transformer_noise,
    unet_noise,
)
from render.models.prompt_weights import sd_texts, sdxl_texts


def zeros_for_empty(pipeline: Any, text: str) -> dict[str, Any]:
    """SDXL: the conditioning of an empty negative is zeros and not the empty text, if the model
    says so."""
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


def latent_of_old_unets(denoiser: Mapping[str, Any]) -> Any:
    """The same; but diffusers before 0.9 wrote its own default of 32 for models trained at 64."""
    side = said_latent(denoiser)
    written_by = re.match(r"(\d+)\.(\d+)", str(denoiser.get("_diffusers_version", "")))
    old = written_by is not None and (int(written_by[1]), int(written_by[2])) < (0, 9)
    return 64 if old and isinstance(side, int) and side < 64 else side


def settled_for_latents(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stable Diffusion's pipeline: one step of offset, and latents are not clipped."""
    wanted = {"steps_offset": 1, "clip_sample": False}
    return {key: value for key, value in wanted.items() if settings.get(key, value) != value}


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


SISTERS_FOR = (
    "Img2Img",
    "Inpaint",
    "ControlNet",
    "ControlNetImg2Img",
    "ControlNetInpaint",
    "PAG",
)


def sisters(stem: str, *more: str) -> frozenset[str]:
    """The usual sister pipelines by the beginning of their names, and others."""
    return frozenset({*(f"{stem}{suffix}Pipeline" for suffix in SISTERS_FOR), *more})


flow_transformer = partial(
    Family, denoiser="transformer", denoiser_class="Transformer", flow=True, half="bfloat16"
)
unet = partial(
    Family,
    denoiser="unet",
    denoiser_class="UNet2DConditionModel",
    state=frozenset({"sample", "timestep", "timestep_cond"}),
    noise_shape=unet_noise,
    loras_by_layer=True,
    cross_attention=True,
    deep_features=True,
    controlnets=True,
    skips_clip=True,
    areas=(0.5, 1.65),
    longest=2.0,
)
HIDDEN, POOLED = ("CLIPTextModel",), ("CLIPTextModelWithProjection",)
"""CLIP's classes by what they give first: the hidden states of all tokens, or one vector."""
T5 = ("T5EncoderModel",)
NO_PICTURES_IN = {"feature_extractor": None, "image_encoder": None}

BUILT_IN = {
    family.pipeline: family
    for family in (
        unet(  # Stable Diffusion 1.x and 2.x, epsilon and v-prediction, SD-Turbo; storybook
            pipeline="StableDiffusionPipeline",
            sisters=sisters(
                "StableDiffusion",
                "LatentConsistencyModelPipeline",
                "LatentConsistencyModelImg2ImgPipeline",
            ),
            encoders={"text_encoder": (*HIDDEN, *T5)},
            from_image="StableDiffusionImg2ImgPipeline",
            call={"guidance_scale": 1.0},
            weighted=sd_texts,
            learned_words={"": "text_encoder"},
            native_latent=latent_of_old_unets,
            settled=settled_for_latents,
            loading={
                **NO_PICTURES_IN,
                "safety_checker": None,
                "requires_safety_checker": False,
            },
            adapt=distilled_unet,
        ),
        unet(  # Stable Diffusion XL, SDXL-Turbo, and the many fine-tunes
            pipeline="StableDiffusionXLPipeline",
            sisters=sisters("StableDiffusionXL"),
            encoders={"text_encoder": HIDDEN, "text_encoder_2": POOLED},
            from_image="StableDiffusionXLImg2ImgPipeline",
            call={"guidance_scale": 1.0},
            state=frozenset({"sample", "timestep", "timestep_cond", "added_cond_kwargs.time_ids"}),
            negative=zeros_for_empty,
            weighted=sdxl_texts,
            learned_words={"clip_l": "text_encoder", "clip_g": "text_encoder_2"},
            # The watermark would be there or not by what else is installed.
            loading={**NO_PICTURES_IN, "add_watermarker": False},
            adapt=distilled_unet,
        ),
        flow_transformer(  # Stable Diffusion 3 and 3.5
            pipeline="StableDiffusion3Pipeline",
            sisters=sisters("StableDiffusion3"),
            encoders={"text_encoder": POOLED, "text_encoder_2": POOLED, "text_encoder_3": T5},
            skips_clip=True,
            from_image="StableDiffusion3Img2ImgPipeline",
            call={"guidance_scale": 1.0, "max_sequence_length": 256},
            state=frozenset({"hidden_states", "timestep"}),
            noise_shape=transformer_noise,
            mu="dynamic",
            patch=2,
            places="pos_embed_max_size",
            multiple=16,
            native=1024,
            readers=(Reader("tokenizer_3", 256, marks=1), Reader()),
            loading=NO_PICTURES_IN,
        ),
        flow_transformer(  # Flux.1: dev, Krea and schnell
            pipeline="FluxPipeline",
            sisters=sisters("Flux"),
            encoders={"text_encoder": HIDDEN, "text_encoder_2": T5},
            caches_blocks=True,
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
            single_files=False,
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
            sisters=sisters("Chroma"),
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
            sisters=sisters("ZImage"),
            lokr=True,
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
            sisters=frozenset({"QwenImageImg2ImgPipeline"}),
            caches_blocks=True,
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
            lokr=True,
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
            lokr=True,
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
STABLE_DIFFUSION = BUILT_IN["StableDiffusionPipeline"]
FAMILIES = Registry(extensions.FAMILIES, Family, BUILT_IN)
"""By the class of the pipeline; another package names a family of its own by that class under the
entry points `render.families`."""
