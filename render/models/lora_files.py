"""LoRAs as a plan needs them: which file, what it is (identity), what it was made for. No torch.

A file's identity is its hash, wherever it lies and whatever it is called; one of the hub is known
by its commit, as models are. A file is refused here if it is a pickle, is broken, holds no LoRA,
was plainly made for another kind of model, or changes layers that are known not to be there
(lora_places.py); whether every part of it has its place, loading shows
(diffusion/lora_adapters.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors

from render.config.model_group import LoraConfig, ModelConfig
from render.config.values import shown
from render.errors import ConfigError, Mistake
from render.models.families import FAMILIES
from render.models.family import Family
from render.models.hub_cache import cached_folder, resolve_commit
from render.models.identity import file_hash
from render.models.lora_parts import LoraParts, parts_flaw, parts_of
from render.models.lora_places import place_flaw
from render.models.lora_settings import has_dropout, settings_flaw
from render.models.model_configs import config_of
from render.models.resolve import Model
from render.models.single_file import PICKLES, broken

USUAL_NAME = "pytorch_lora_weights.safetensors"  # what diffusers writes
PEFTS_NAME, PEFTS_CONFIG = "adapter_model.safetensors", "adapter_config.json"  # what peft writes
PARTS = re.compile(r"lora[_.]|[_.]lora|\.lokr_")
U_NET = re.compile(
    r"(unet\.|lora_unet_|)(down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block)"
)
TRANSFORMER = re.compile(
    r"(transformer|diffusion_model|lora_transformer|lora_unet_(double|single|joint|layers))[._]"
)
CROSS_ATTENTION = re.compile(r"attn2[._](processor\.)?to_k\W?(_lora)?.*(lora_A|lora_down|\bdown)\b")
LAYER_BY_LAYER = " alpha/rank"
"""Marks identities of LoRAs whose layers once were taken at wrong strengths."""
NO_DROPOUT = " no dropout"
"""Marks identities of LoRAs that once were added with the random gaps of their training."""
KRONECKER = re.compile(r"\.lokr_")
FROM_HIDDEN = re.compile(r"(to[._]q|attn[._]qkv|attention[._]qkv|single_blocks[._]\d+[._]linear1)$")
"""Layers of transformers that take the hidden states."""
MADE_FOR = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
"""By the channels of the texts that its U-Net attends to."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA resolved. `name` is what keyframes call it, `where` its place in the config."""

    name: str
    where: str
    identity: str
    file: Path | None
    """None: of the hub, and not on this machine yet."""
    repository: str | None = None
    revision: str | None = None
    weight_name: str | None = None

    def __str__(self) -> str:
        source = self.file or f"{self.repository}@{self.revision}"
        return f"the LoRA {shown(self.name)} ({source})"


def resolve_loras(
    written: ModelConfig, model: Model, known: dict[str, Any], here: Path
) -> tuple[Lora, ...]:
    """Find the model's LoRAs and look into their files.

    Args:
        known: hashes of big files (`remembered`); those of new ones are added.
        here: what a relative path is relative to.

    Raises:
        ConfigError: one is not there, is unsafe or broken, or does not fit the model; all of them
            at once.
    """
    if written.loras and not model.family.loras:
        what = f"diffusers loads no LoRAs into a {model.family.pipeline}; leave them out"
        raise ConfigError([Mistake("model.loras", what)])
    found: list[Lora] = []
    mistakes: list[Mistake] = []
    for place, lora in enumerate(written.loras):
        try:
            found.append(resolve_lora(lora, f"model.loras.{place}", model, known, here))
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(found)


def resolve_lora(
    written: LoraConfig, where: str, model: Model, known: dict[str, Any], here: Path
) -> Lora:
    """One LoRA; its file is looked into if it is on this machine."""
    if written.repository is not None:
        commit = hub_commit(written.repository, written.revision or "main", where)
        file = cached_file(written.repository, commit, written.weight_name or USUAL_NAME)
        lora = Lora(
            written.called,
            where,
            "",
            file,
            written.repository,
            commit,
            written.weight_name,
        )
    else:
        file = local_file(here / Path(str(written.path)).expanduser(), written.weight_name, where)
        lora = Lora(written.called, where, "", file)
    if file is not None:
        check_lora(lora, file, model.family, denoiser_config(model))
        if what := place_flaw(parts_of(file), model.family, weights_folder(model)):
            raise ConfigError([Mistake(lora.where, f"{lora} {what}")])
    return hashed(lora, file, known) if file and not lora.repository else committed(lora, model)


def committed(lora: Lora, model: Model) -> Lora:
    """The LoRA with the hub's commit as its identity; its file may not be on this machine."""
    named = f"/{lora.weight_name}" if lora.weight_name else ""
    mark = LAYER_BY_LAYER if model.family.loras_by_layer else ""
    mark += NO_DROPOUT if lora.file and has_dropout(header(lora.file)[1]) else ""
    return replace(lora, identity=f"{lora.repository}@{lora.revision}{named}{mark}")


def hashed(lora: Lora, file: Path, known: dict[str, Any]) -> Lora:
    """The LoRA with its file's hash as its identity."""
    try:
        mark = LAYER_BY_LAYER if parts_of(file).uneven else ""
        mark += NO_DROPOUT if has_dropout(header(file)[1]) else ""
        return Lora(lora.name, lora.where, f"sha256:{file_hash(file, known)}{mark}", file)
    except OSError as error:
        raise ConfigError(
            [Mistake(lora.where, f"{file} can't be read ({error.strerror})")]
        ) from None


def denoiser_config(model: Model) -> dict[str, Any]:
    """The config of the model's denoiser; empty if the model is not on this machine."""
    return config_of(model_folder(model), model.family.denoiser)


def model_folder(model: Model) -> Path | None:
    """The folder of the model's components; None if it is not on this machine."""
    source = model.source
    return source.folder or cached_folder(str(source.repository), str(source.revision))


def weights_folder(model: Model) -> Path | None:
    """The same where it holds the model's weights, too."""
    return None if model.source.file else model_folder(model)


def local_file(path: Path, weight_name: str | None, where: str) -> Path:
    """The file itself, or the one of a folder that is meant."""
    if path.is_dir():
        path = path / weight_name if weight_name else only_file(path, where)
    elif weight_name:
        raise ConfigError([Mistake(where, f"{path} is no folder, so weight_name={weight_name} …")])
    if not path.exists():
        hint = "" if path.is_absolute() else "; a LoRA of the hub is given as its repository"
        raise ConfigError([Mistake(where, f"{path} is not there{hint}")])
    return path


def only_file(folder: Path, where: str) -> Path:
    """The LoRA in a folder that holds one."""
    if (folder / USUAL_NAME).is_file():
        return folder / USUAL_NAME
    inside = sorted(path.name for path in folder.iterdir() if path.is_file())
    files = [name for name in inside if name.endswith(".safetensors")]
    if len(files) == 1:
        return folder / files[0]
    pickles = [name for name in inside if Path(name).suffix in PICKLES]
    if files:
        what = f"{folder} holds {', '.join(files)}; say which one in weight_name"
    elif pickles:
        return folder / pickles[0]  # to be refused as what it is
    else:
        what = f"{folder} holds no .safetensors file"
    raise ConfigError([Mistake(where, what)])


def hub_commit(repository: str, revision: str, where: str) -> str:
    """The commit that a repository's revision stands for."""
    try:
        return resolve_commit(repository, revision)
    except ConfigError:
        what = (
            f"the hub can't say what {repository} at {revision!r} is; pin the LoRA's revision to a "
            f"commit, get it with `hf download {repository}`, or give its file as path"
        )
        raise ConfigError([Mistake(where, what)]) from None


def cached_file(repository: str, commit: str, name: str) -> Path | None:
    """A file of the hub on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def check_lora(lora: Lora, file: Path, family: Family, denoiser: Mapping[str, Any]) -> None:
    """Refuse a file that is unsafe or broken, holds no LoRA, or one for another kind of model.

    Args:
        denoiser: the model's config of it; empty if nobody knows it yet.

    Raises:
        ConfigError: the reason.
    """
    what = file_flaw(file) or misfit(file, family, denoiser)
    if what is None:
        parts = parts_of(file)
        what = parts_flaw(parts) or settings_flaw(header(file)[1], parts)
        what = what or config_flaw(file, parts)
    if what:
        raise ConfigError([Mistake(lora.where, f"{lora} {what}")])


def file_flaw(file: Path) -> str | None:
    """Why a file is not read as a LoRA, by its name and header alone."""
    if file.suffix != ".safetensors" and file.suffix.lower() == ".safetensors":
        return "must end in .safetensors, in small letters, to be read; rename it"
    if file.suffix != ".safetensors":
        return (
            "is no .safetensors file; pickled weights can run code and are not loaded: convert it, "
            "or get the .safetensors file of it"
        )
    if not file.is_file():
        return "is no file"
    if why := broken(file):
        return why
    keys = header(file)[0]
    if not any(map(PARTS.search, keys)):
        return "holds no LoRA that diffusers reads (no key in it names one)"
    return None


def header(file: Path) -> tuple[dict[str, list[int]], dict[str, str]]:
    """The shapes of a safetensors file's tensors by key, and its metadata."""
    with safetensors.safe_open(file, framework="numpy") as tensors:
        keys = tensors.keys()
        return {key: tensors.get_slice(key).get_shape() for key in keys}, tensors.metadata() or {}


def misfit(file: Path, family: Family, denoiser: Mapping[str, Any]) -> str | None:
    """Why a LoRA can't be one for this model: it changes another kind of denoiser, or a U-Net that
    attends to texts of another width."""
    keys, _ = header(file)
    kinds = {"unet": U_NET, "transformer": TRANSFORMER}
    changed = {kind for kind, pattern in kinds.items() if any(map(pattern.match, keys))}
    widths = {shape[1] for key, shape in keys.items() if CROSS_ATTENTION.search(key) and shape[1:]}
    width = denoiser.get("cross_attention_dim")
    if changed and family.denoiser not in changed:
        return f"is made for {purpose(file)}, and the model is a {family.pipeline}"
    if family.cross_attention and widths and isinstance(width, int) and widths != {width}:
        own = MADE_FOR.get(width, f"one for texts of {width} channels")
        return f"is made for {purpose(file)}, and the model is {own}"
    if any(map(KRONECKER.search, keys)) and not family.lokr:
        served = ", ".join(sorted(f.pipeline for f in FAMILIES.values() if f.lokr))
        return (
            f"is a LoKr, which diffusers reads for {served}, and the model is a {family.pipeline}"
        )
    if not family.cross_attention and (wide := transformer_width(denoiser)):
        asked = {p.shapes[0][1] for p in parts_of(file).pairs if FROM_HIDDEN.search(p.layer)}
        if asked and asked != {wide}:
            its = " and ".join(map(str, sorted(asked)))
            return f"is made for layers {its} wide, and those of this {family.pipeline} are {wide}"
    return None


def transformer_width(denoiser: Mapping[str, Any]) -> int | None:
    """Channels of a transformer's hidden states by its config."""
    heads, channels = denoiser.get("num_attention_heads"), denoiser.get("attention_head_dim")
    found = denoiser.get("hidden_size") or denoiser.get("dim")
    if found is None and isinstance(heads, int) and isinstance(channels, int):
        found = heads * channels
    return found if isinstance(found, int) else None


def config_flaw(file: Path, parts: LoraParts) -> str | None:
    """A strength that stands beside the file, where peft keeps it and diffusers does not look."""
    beside = config_of(file.parent, ".", PEFTS_CONFIG) if file.name == PEFTS_NAME else {}
    ranks = {pair.rank for pair in parts.pairs}
    alpha = beside.get("lora_alpha")
    apart = bool(beside.get("alpha_pattern") or beside.get("use_rslora"))
    if alpha is None or parts.configured or (ranks == {alpha} and not apart):
        return None
    its = ", ".join(map(str, sorted(ranks)))
    return (
        f"has its strength in adapter_config.json (alpha {alpha} for rank {its}), which diffusers "
        "does not read; save it with the pipeline's save_lora_weights, or with an alpha for each "
        "layer"
    )


def purpose(file: Path) -> str:
    """The kind of model that a LoRA was made for, as far as its file names it."""
    keys, metadata = header(file)
    said = metadata.get("modelspec.architecture") or metadata.get("ss_base_model_version")
    if said:
        return shown(said)
    widths = {shape[1] for key, shape in keys.items() if CROSS_ATTENTION.search(key) and shape[1:]}
    if any(map(U_NET.match, keys)):
        readers = [MADE_FOR.get(width, f"texts of {width} channels") for width in sorted(widths)]
        return f"a U-Net ({', '.join(readers)})" if readers else "a U-Net"
    if any(map(TRANSFORMER.match, keys)):
        return "a transformer"
    return "another model"
