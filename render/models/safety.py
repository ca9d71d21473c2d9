"""A model's folder as it lies on the disk: what is refused before anything of it is imported.

Models are data: weights are safetensors, components come from diffusers and transformers. Whatever
could run code or reach outside of the folder is named here, at planning time, without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from render.errors import ConfigError, Mistake
from render.models.code_in_folders import mistakes_in_code
from render.models.component_classes import component_flaw
from render.models.config_against_weights import mistakes_in_config
from render.models.families import FAMILIES
from render.models.family import Family
from render.models.foreign_tensors import mistakes_in_tensors
from render.models.model_configs import CONFIG, config_of, encoder_of, no_folder, read_json
from render.models.model_source import ModelSource
from render.models.single_file import (
    MOST_HEADER_BYTES,
    PICKLES,
    broken,
    header_length,
    parts_held,
    tensors_in,
)
from render.models.sister_pipelines import BESIDE, family_flaw, pipeline_of
from render.models.vocabulary import mistakes_in_vocabulary
from render.models.weight_files import (
    STEMS,
    WEIGHTLESS,
    chosen_variant,
    file_names,
    held_variants,
    loaded_files,
    lone_variant,
    single_file,
)

LIBRARIES = ("diffusers", "transformers")
SAFETY_CHECKER = "stable_diffusion"  # named as a library in old folders; never loaded
PROCESSORS = ("Processor", "FeatureExtractor")
SCHEDULER_CONFIG = "scheduler_config.json"
TORCHVISION = {"PixtralProcessor"}  # without it transformers has only their names
NEEDED = ("scheduler", "text_encoder", "tokenizer", "vae")
DENOISERS = {"transformer", "unet"}
SECOND = ("text_encoder_2", "tokenizer_2")
ALSO_NEEDED = dict.fromkeys(
    ("FluxPipeline", "StableDiffusion3Pipeline", "StableDiffusionXLPipeline"), SECOND
)
"""Components beside the denoiser that a model was not saved without, if it is whole."""
CONVERT = "convert the model with `save_pretrained(…, safe_serialization=True)`"


def check_model(source: ModelSource, folder: Path) -> Family:
    """Refuse what is wrong with a model's folder, or with a single file and its folder.

    Raises:
        ConfigError: with every reason, a line each.
    """
    if source.file is None:
        return check_folder(folder, source.variant)
    family = check_index(folder / "model_index.json")
    wrong = mistakes_in_code(folder) + mistakes_in_pickles(folder)
    parts = loaded_parts(folder, family)
    for name in parts_beside(source, folder, family):
        library, class_name = parts[name]
        wrong += mistakes_in_component(folder / name, class_name, library)
    wrong += mistakes_in_small_files(folder, parts)
    if wrong:
        raise ConfigError(wrong)
    return family


def parts_beside(source: ModelSource, folder: Path, family: Family) -> dict[str, str]:
    """The components that are loaded from a single file's folder, with their classes."""
    index = read_json(folder / "model_index.json")
    held = parts_held(tensors_in(source.file or folder, "model.path"), index, family)
    held |= {"vae"} if source.vae else frozenset()
    parts = loaded_parts(folder, family)
    return {name: class_name for name, (_, class_name) in parts.items() if name not in held}


def loaded_parts(folder: Path, family: Family) -> dict[str, tuple[str, str]]:
    """The components that a folder's pipeline is made of, each with its library and class."""
    index = components(read_json(folder / "model_index.json"))
    return {
        name: (str(library), str(class_name))
        for name, (library, class_name) in index.items()
        if name not in family.loading and name not in BESIDE
    }


def mistakes_in_pickles(folder: Path) -> list[Mistake]:
    """Pickles beside a single file's configs: diffusers would fall back to them."""
    return [
        Mistake(str(path), "is a pickle, which can run code; remove it, no weights are needed here")
        for path in sorted(folder.glob("*/*"))
        if path.suffix in PICKLES
    ]


def check_folder(folder: Path, variant: str | None) -> Family:
    """Refuse a diffusers folder that holds code, pickles in place of weights, or broken weights.

    Raises:
        ConfigError: with every reason, a line each.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise ConfigError([Mistake("model.path", no_folder(folder))])
    family = check_index(index)
    wrong = mistakes_in_folder(folder, family, variant)
    if wrong:
        raise ConfigError(wrong)
    return family


def check_index(index: Path) -> Family:
    """The family of a `model_index.json`, if its class and its libraries are ones we know."""
    written = read_json(index)
    wrong = family_flaw(str(written.get("_class_name")))
    if wrong:
        raise ConfigError([Mistake(str(index), wrong)])
    family = FAMILIES[pipeline_of(written)]
    mistakes = [Mistake(str(index), what) for what in index_flaws(written, family)]
    if mistakes:
        raise ConfigError(mistakes)
    return family


def index_flaws(written: Mapping[str, Any], family: Family) -> Iterator[str]:
    """Requests of a model's index that are refused."""
    if "custom_pipeline" in written:
        yield "names a custom_pipeline, which is code; models are data here"
    named = components(written)
    denoiser = () if DENOISERS & set(named) else (family.denoiser,)
    for name in (*NEEDED, *ALSO_NEEDED.get(family.pipeline, ()), *denoiser):
        if name not in named:
            yield f"names no {name}, without which nothing is painted; download the model again"
    for name, (library, class_name) in named.items():
        if library == SAFETY_CHECKER and name in family.loading:
            continue
        if not isinstance(library, str) or library not in LIBRARIES:
            yield (
                f"component {name!r} wants the library {library!r}; only diffusers and "
                "transformers are imported, never a model's own code"
            )
        elif str(class_name) in TORCHVISION and not find_spec("torchvision"):
            yield (
                f"component {name!r} is a {class_name}, which needs torchvision; install the "
                "torchvision that goes with this torch"
            )
        elif "Pipeline" in str(class_name):
            yield f"component {name!r} is a pipeline with components of its own, never a part"
        elif why := component_flaw(name, str(class_name), family):
            yield f"component {name!r} is a {class_name}, {why}"


def components(index: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The components that an index names, each with its library and class."""
    return {
        name: (value[0], value[1]) if len(value) == 2 else (value, None)
        for name, value in index.items()
        if isinstance(value, list) and value != [None, None]
    }


def mistakes_in_folder(folder: Path, family: Family, variant: str | None) -> list[Mistake]:
    """Code, and missing or broken parts, in a folder whose index is right."""
    wrong, parts = mistakes_in_code(folder), loaded_parts(folder, family)
    for name, (library, class_name) in parts.items():
        wrong += mistakes_in_weights(folder / name, class_name, variant, library)
    if variant and not any(chosen_variant(folder / name, variant) for name in parts):
        what = f"no component has weights of the variant {variant!r}; leave model.variant out"
        wrong.append(Mistake("model.variant", what))
    return wrong + mistakes_in_small_files(folder, parts)


def mistakes_in_small_files(folder: Path, parts: Mapping[str, tuple[str, str]]) -> list[Mistake]:
    """Missing or damaged configs and vocabularies of components that are there."""
    wrong: list[Mistake] = []
    for name, (_, class_name) in parts.items():
        component = folder / name
        config = component / config_name(class_name)
        if not any(component.glob("*")):
            continue
        if name.startswith("tokenizer"):
            encoder = config_of(folder, encoder_of(name))
            wrong += mistakes_in_vocabulary(component, class_name, encoder)
        elif not class_name.endswith(PROCESSORS) and not config.is_file():
            what = f"{config.name} is missing; download the model again, or copy it from there"
            wrong.append(Mistake(str(component), what))
    return wrong


def config_name(class_name: str) -> str:
    """The name of the file in which a component of a class keeps its settings."""
    return SCHEDULER_CONFIG if class_name.endswith("Scheduler") else CONFIG


def mistakes_in_weights(
    component: Path, class_name: str, variant: str | None, library: str = "diffusers"
) -> list[Mistake]:
    """Missing or broken weights of one component.

    Args:
        variant: the one that the whole model is asked for; components without it load plain files.
        library: the one that loads the component, which has names of its own for weights.
    """
    if not any(component.glob("*")):
        return [Mistake(str(component), "is missing or empty")]
    if class_name.endswith(WEIGHTLESS):
        return []
    if not (weights := sorted(component.glob("*.safetensors"))):
        return [Mistake(str(component), f"has {only_pickles(component)}")]
    lengths = [length for path in weights if (length := header_length(path)) <= MOST_HEADER_BYTES]
    if sum(lengths) > MOST_HEADER_BYTES:
        what = f"has headers of {sum(lengths):,} bytes in {len(lengths):,} files"
        return [Mistake(str(component), f"{what}, which no model has; download it again")]
    wrong = [Mistake(str(path), why) for path in weights if (why := broken(path))]
    wrong += mistakes_in_shards(component)
    wrong = wrong or list(mistakes_in_variants(component, library, variant))
    loaded = loaded_files(component, library, chosen_variant(component, variant))
    wrong = wrong or list(mistakes_in_tensors(loaded))
    return wrong or list(mistakes_in_config(component, library))


def mistakes_in_component(
    component: Path, class_name: str, library: str = "diffusers"
) -> list[Mistake]:
    """Missing or broken weights of a component that is loaded on its own, as whatever variant it
    has."""
    variant = lone_variant(component, library) if library in STEMS else None
    return mistakes_in_weights(component, class_name, variant, library)


def only_pickles(component: Path) -> str:
    """The weights that a component has in place of safetensors, in words."""
    pickles = [path.name for path in sorted(component.glob("*")) if path.suffix in PICKLES]
    if not pickles:
        return "no .safetensors weights"
    listed = ", ".join(pickles)
    return (
        f"{listed} but no .safetensors; pickled weights can run code and are not loaded; {CONVERT}"
    )


def mistakes_in_variants(component: Path, library: str, variant: str | None) -> Iterator[Mistake]:
    """Weights that are there under names that the library would not load them by."""
    chosen = chosen_variant(component, variant)
    held = held_variants(component, library)
    if chosen in held:
        if chosen and (odd := [name for name in file_names(component) if "." not in name]):
            what = f"diffusers stumbles over {odd[0]} where variants are loaded; move it away"
            yield Mistake(str(component), what)
        return
    wanted = single_file(component, library, chosen).name
    if variants := sorted(name for name in held if name):
        way = f"add model.variant={variants[0]}" if chosen is None else "choose that one"
        what = f"has no {wanted} but weights of the variant {' and '.join(variants)}; {way}"
    elif chosen:
        what = (
            f"has no safetensors of the variant {chosen!r}; leave model.variant out, or {CONVERT}"
        )
    else:
        what = f"has no {wanted}, which {library} loads; download the model again"
    yield Mistake(str(component), what)


def mistakes_in_shards(component: Path) -> Iterator[Mistake]:
    """Lists of shards that name something else than safetensors files beside them, or files that
    are not there."""
    for index in sorted(component.glob("*.index*.json")):
        listed = read_json(index).get("weight_map")
        named = list(listed.values()) if isinstance(listed, dict) else [listed]
        shards = sorted({name for name in named if isinstance(name, str) and safe(name)})
        if odd := [name for name in named if name not in shards]:
            yield Mistake(str(index), f"names {odd[0]!r}, no safetensors file beside it; {CONVERT}")
        elif missing := [name for name in shards if not (component / name).is_file()]:
            listing = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            what = f"names {listing}, which is not there; download the model again"
            yield Mistake(str(index), what)


def safe(name: str) -> bool:
    """Whether a file name is that of safetensors in the folder that names it."""
    return name.endswith(".safetensors") and name == Path(name).name
