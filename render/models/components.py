"""The parts that a config puts in place of a model's own, or adds to them. Without torch.

Another VAE, layers of CLIP that are skipped, and words that were learned (textual inversion). Each
that is used is part of the model's identity, by its content; where none is, nothing changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from render.config.model_group import ControlConfig, ModelConfig
from render.errors import ConfigError, Mistake
from render.models.code_in_folders import mistakes_in_code
from render.models.controlnet_inputs import is_pooled, leaving_negatives, mistakes_in_controlnet
from render.models.families import FAMILIES
from render.models.family import Family
from render.models.foreign_tensors import mistakes_in_tensors
from render.models.hub_cache import cached_folder
from render.models.identity import IDENTITY_SUFFIXES, file_hash
from render.models.lora_parts import content, raw_header
from render.models.model_configs import config_of, vae_factor
from render.models.prompt_weights import reader_name
from render.models.resolve import Model
from render.models.safety import mistakes_in_component
from render.models.single_file import is_single_file, shapes_in, tensors_in, types_in
from render.text import digits

UNSERVED_VAES = {
    "AsymmetricAutoencoderKL": "can't decode pictures one by one, so frames would depend on others",
    "ConsistencyDecoderVAE": "paints noise of its own into each picture, so no frame comes twice",
}
UNET = "UNet2DConditionModel"
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types of learned words as safetensors calls them, with numpy's of the same bytes."""


class ModelParts(NamedTuple):
    """A config's parts with their places made whole."""

    vae: Path | None
    words: tuple[tuple[Path, str], ...]
    """Files of learned words, each with its token."""
    control: ControlConfig | None


def with_parts(model: Model, written: ModelConfig, known: dict[str, Any], here: Path) -> Model:
    """The model with the parts that its config names.

    Args:
        known: hashes of big files; those of new ones are added.
        here: what relative paths are relative to.

    Raises:
        ConfigError: every part that does not fit, a line each.
    """
    parts = placed(written, here)
    if wrong := list(mistakes_in_parts(model, written, parts)):
        raise ConfigError(wrong)
    control = parts.control
    controlnet = (control.path, control.scale) if control else None
    family = reading_whole(skipping(model.family, written.clip_skip), written.long_prompts)
    return replace(
        model,
        source=replace(
            model.source,
            vae=parts.vae,
            clip_skip=written.clip_skip,
            long_prompts=written.long_prompts,
            words=parts.words,
            controlnet=controlnet,
        ),
        identity=" ".join([model.identity, *marks(written, parts, known)]),
        family=leaving_negatives(family, controlnet),
    )


def placed(written: ModelConfig, here: Path) -> ModelParts:
    """The parts that a config names."""
    control = written.controlnet
    if control:
        control = control.model_copy(update={"path": here / control.path.expanduser()})
    return ModelParts(
        vae=here / written.vae.expanduser() if written.vae else None,
        words=tuple((here / word.path.expanduser(), word.token) for word in written.embeddings),
        control=control,
    )


def mistakes_in_parts(model: Model, written: ModelConfig, parts: ModelParts) -> Iterator[Mistake]:
    """Why parts do not fit the model."""
    source, family, vae = model.source, model.family, parts.vae
    folder = source.folder or cached_folder(str(source.repository), str(source.revision))
    denoiser = config_of(folder, family.denoiser)
    if vae:
        yield from mistakes_in_vae(vae, config_of(folder, "vae"))
    if written.clip_skip:
        yield from mistakes_in_skip(written.clip_skip, family, folder)
    if written.long_prompts:
        yield from mistakes_in_long_prompts(written, family)
    yield from mistakes_in_words(parts.words, family, folder)
    yield from mistakes_in_latents(
        denoiser, config_of(vae, ".") if vae else config_of(folder, "vae")
    )
    if parts.control:
        yield from mistakes_in_controlnet(parts.control.path, family, denoiser)


def marks(written: ModelConfig, parts: ModelParts, known: dict[str, Any]) -> Iterator[str]:
    """The part of the model's identity that each of its parts is."""
    if parts.vae:
        yield f"vae:{content_hash(parts.vae, known)}"
    if written.clip_skip:
        yield f"clip_skip:{written.clip_skip}"
    if written.long_prompts:
        yield f"long_prompts:{reader_name()}"
    yield from sorted(f"{token}:{content_hash(file, known)}" for file, token in parts.words)
    if parts.control:
        yield control_mark(parts.control, known)


def control_mark(written: ControlConfig, known: dict[str, Any]) -> str:
    """A ControlNet's part of the model's identity."""
    rows = " prompts only" if is_pooled(written.path) else ""  # earlier versions: negatives too
    return f"control:{content_hash(written.path, known)}*{digits(written.scale)}{rows}"


def content_hash(path: Path, known: dict[str, Any]) -> str:
    """sha256 of a file, or of the names and hashes of a folder's files."""
    if path.is_file():
        return file_hash(path, known)
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.suffix in IDENTITY_SUFFIXES and file.is_file():
            total.update(f"{file.name}\0{file_hash(file, known)}\n".encode())
    return total.hexdigest()


# --- VAE -----------------------------------------------------------------------------------------


def mistakes_in_vae(path: Path, own: Mapping[str, Any]) -> Iterator[Mistake]:
    """Why a VAE can't stand in the place of the model's own, whose config is given."""
    if is_single_file(path):
        tensors_in(path, "model.vae")
        yield from mistakes_in_tensors([path], "model.vae")
        return
    config = config_of(path, ".")
    if not config:
        what = f"{path} is no VAE: give a folder with config.json and weights, or a .safetensors"
        yield Mistake("model.vae", what)
        return
    kind = str(config.get("_class_name"))
    yield from mistakes_in_code(path) + mistakes_in_component(path, kind)
    pairs = {
        "class": (kind, own.get("_class_name", kind)),
        "latent channels": (config.get("latent_channels"), own.get("latent_channels")),
        "pixels a latent pixel": (vae_factor(config), vae_factor(own)),
    }
    for what, (its, wanted) in pairs.items():
        if own and its != wanted:
            yield Mistake("model.vae", f"{path} has {what} {its}, the model wants {wanted}")
            return  # what follows from that one says no more


def mistakes_in_latents(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Iterator[Mistake]:
    """Why what is painted can't be decoded: by the autoencoder's class, or by the channels of
    a U-Net's latents and of its own."""
    if why := UNSERVED_VAES.get(str(vae.get("_class_name"))):
        yield Mistake("model", f"an {vae['_class_name']} {why}; use one with an AutoencoderKL")
        return
    takes, gives = denoiser.get("in_channels"), vae.get("latent_channels")
    if denoiser.get("_class_name") != UNET or not (isinstance(takes, int) and gives):
        return
    if takes != gives:
        what = (
            f"the U-Net takes {takes} channels and the autoencoder gives {gives}: such a model "
            "needs a picture or a mask beside the text (inpainting, editing); use a text-to-image "
            "model"
        )
        yield Mistake("model", what)


# --- clip skip -----------------------------------------------------------------------------------


def mistakes_in_skip(layers: int, family: Family, folder: Path | None) -> Iterator[Mistake]:
    """Why so many of CLIP's last layers can't be skipped."""
    if not family.skips_clip:
        what = f"{family.pipeline} reads no prompts with CLIP's layers; leave it out"
        yield Mistake("model.clip_skip", what)
        return
    config = config_of(folder, "text_encoder")
    most = config.get("num_hidden_layers", layers + 1) - 1
    if layers > most:
        yield Mistake("model.clip_skip", f"{layers}: this model's CLIP has {most} to skip")


def skipping(family: Family, layers: int | None) -> Family:
    """The family with so many of CLIP's last layers skipped; for prompts only, as diffusers does:
    negatives are read whole."""
    if layers is None:
        return family
    negative = partial(read_whole, family.negative)
    return replace(family, call={**family.call, "clip_skip": layers}, negative=negative)


def read_whole(negative: Any, pipeline: Any, text: str) -> dict[str, Any]:
    """How the family reads a negative, without the skip."""
    given = negative(pipeline, text) if negative else {"prompt": text}
    return {**given, "clip_skip": None}


# --- long prompts --------------------------------------------------------------------------------


def mistakes_in_long_prompts(written: ModelConfig, family: Family) -> Iterator[Mistake]:
    """Why long texts can't be read in several windows."""
    if family.weighted is None:
        what = f"{family.pipeline} reads texts in one window; only Stable Diffusion 1, 2 and XL"
        yield Mistake("model.long_prompts", f"{what} read more")
    elif written.clip_skip:
        yield Mistake("model.long_prompts", "goes without model.clip_skip; leave one of them out")


def reading_whole(family: Family, long_prompts: bool) -> Family:
    """The family with its long texts read whole; they then differ in length, so that embeddings
    can't be blended."""
    if not long_prompts or family.weighted is None:
        return family
    weighted = partial(family.weighted, whole=True)
    return replace(family, weighted=weighted, whole_texts=True, lined_up=False)


# --- learned words -------------------------------------------------------------------------------


def mistakes_in_words(
    words: tuple[tuple[Path, str], ...], family: Family, folder: Path | None
) -> Iterator[Mistake]:
    """Why words can't be learned."""
    if words and not family.learned_words:
        known = ", ".join(other.pipeline for other in FAMILIES.values() if other.learned_words)
        what = f"{family.pipeline} learns no words; these do: {known}"
        yield Mistake("model.embeddings", what)
        return
    tokens = [token for _, token in words]
    for token in sorted({token for token in tokens if tokens.count(token) > 1}):
        yield Mistake("model.embeddings", f"{token!r} is given twice")
    for file, _ in words:
        yield from mistakes_in_word_file(file, family.learned_words, folder)


def mistakes_in_word_file(
    file: Path, encoders: Mapping[str, str], folder: Path | None
) -> Iterator[Mistake]:
    """Why a learned word's file does not fit the model's text encoders."""
    shapes = shapes_in(file, "model.embeddings")
    one = len(shapes) == 1
    if set(shapes) != set(encoders) and not (one and "" in encoders):
        held, wanted = ", ".join(sorted(shapes)[:5]), ", ".join(filter(None, encoders)) or "one"
        what = f"{file} holds {held}, a word of this family {wanted}; it was learned for another"
        yield Mistake("model.embeddings", what)
        return
    for tensor, encoder in encoders.items():
        shape = next(iter(shapes.values())) if one else shapes[tensor]
        width = config_of(folder, encoder).get("hidden_size")
        if not shape or (width and shape[-1] != width):
            its = shape[-1] if shape else 0
            what = f"{file} was learned for an encoder {its} wide, this model's is {width} wide"
            yield Mistake("model.embeddings", what)
            return
    if why := vectors_flaw(file, shapes):
        yield Mistake("model.embeddings", f"{file} {why}; get the file again, or leave it out")


def vectors_flaw(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Why the tensors of a learned word's file are no vectors that a text encoder can take."""
    for name, kind in types_in(file, "model.embeddings").items():
        shape = shapes[name]
        if kind not in FLOATS or len(shape) > 2:
            return f"holds no vectors in {name} ({kind} of shape {shape})"
        if 0 in shape:
            return f"holds no vector at all ({name} has the shape {shape})"
        if not is_finite(file, name, kind):
            return f"holds values in {name} that are no finite numbers"
    return None


def is_finite(file: Path, name: str, kind: str) -> bool:
    """Whether all numbers of a tensor of one of FLOATS are finite."""
    header, begin = raw_header(file)
    numbers = np.frombuffer(content(file, header[name], begin), dtype=FLOATS[kind])
    if kind == "BF16":  # numpy has no such type; they are the upper halves of float32
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return bool(np.isfinite(numbers).all())


def vectors_of(words: tuple[tuple[Path, str], ...]) -> dict[str, int]:
    """How many tokens each learned word takes in a text: one for each vector of its file."""
    return {
        token: max(
            (shape[0] for shape in shapes_in(file, "model.embeddings").values() if shape[1:]),
            default=1,
        )
        for file, token in words
    }
