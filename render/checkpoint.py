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
from render.families import FAMILIES, Family, ModelSource, family_mistake
from render.models import read_json
from render.singlefile import PICKLES, broken, names_in, parts_held

LIBRARIES = ("diffusers", "transformers")
SAFETY_CHECKER = "stable_diffusion"  # named as a library in old folders; never loaded
WEIGHTLESS = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "FeatureExtractor")
TORCHVISION = {"PixtralProcessor"}  # without it transformers has only their names
CONVERT = "convert the model with `save_pretrained(…, safe_serialization=True)`"


def check_model(source: ModelSource, folder: Path) -> Family:
    """Refuse what is wrong with a model's folder, or with a single file and its folder.

    Raises:
        ConfigError: with every reason, a line each.
    """
    if source.file is None:
        return check_folder(folder, source.variant)
    family = check_index(folder / "model_index.json")
    wrong = code_mistakes(folder) + pickle_mistakes(folder)
    for name, class_name in parts_beside(source, folder, family).items():
        wrong += weight_mistakes(folder / name, class_name, None)
    if wrong:
        raise ConfigError(wrong)
    return family


def parts_beside(source: ModelSource, folder: Path, family: Family) -> dict[str, str]:
    """The components that are loaded from a single file's folder, with their classes."""
    index = read_json(folder / "model_index.json")
    held = parts_held(names_in(source.file or folder, "model.path"), index, family)
    held |= {"vae"} if source.vae else frozenset()
    return {
        name: str(class_name)
        for name, (_, class_name) in components(index).items()
        if name not in held and name not in family.loading
    }


def pickle_mistakes(folder: Path) -> list[Mistake]:
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
        what = f"{folder} is no diffusers folder (it has no model_index.json)"
        raise ConfigError([Mistake("model.path", what)])
    family = check_index(index)
    wrong = folder_mistakes(folder, family, variant)
    if wrong:
        raise ConfigError(wrong)
    return family


def check_index(index: Path) -> Family:
    """The family of a `model_index.json`, if its class and its libraries are ones we know."""
    written = read_json(index)
    wrong = family_mistake(str(written.get("_class_name")))
    if wrong:
        raise ConfigError([Mistake(str(index), wrong)])
    family = FAMILIES[written["_class_name"]]
    mistakes = [Mistake(str(index), what) for what in index_mistakes(written, family)]
    if mistakes:
        raise ConfigError(mistakes)
    return family


def index_mistakes(written: Mapping[str, Any], family: Family) -> Iterator[str]:
    """What an index asks for that is not given to it."""
    if "custom_pipeline" in written:
        yield "names a custom_pipeline, which is code; models are data here"
    for name, (library, class_name) in components(written).items():
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


def components(index: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The components that an index names, each with its library and class."""
    return {
        name: (value[0], value[1]) if len(value) == 2 else (value, None)
        for name, value in index.items()
        if isinstance(value, list) and value != [None, None]
    }


def folder_mistakes(folder: Path, family: Family, variant: str | None) -> list[Mistake]:
    """Code, and missing or broken parts, in a folder whose index is right."""
    wrong = code_mistakes(folder)
    for name, (_, class_name) in components(read_json(folder / "model_index.json")).items():
        if name not in family.loading:
            wrong += weight_mistakes(folder / name, str(class_name), variant)
    return wrong


def code_mistakes(folder: Path) -> list[Mistake]:
    """Python files and what leads to code or weights elsewhere: such a model is not run."""
    found = [
        Mistake(str(path), "is code; models are data here") for path in sorted(folder.rglob("*.py"))
    ]
    for path in sorted(folder.rglob("*config.json")):
        if path.name == "adapter_config.json":
            found.append(Mistake(str(path), "names a model elsewhere; merge the adapter first"))
        elif "auto_map" in read_json(path):
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
            f"not loaded; {CONVERT}"
            if pickles
            else "has no .safetensors weights"
        )
        return [Mistake(str(component), what)]
    if variant and not any(f".{variant}" in path.name for path in weights):
        return [Mistake(str(component), f"has no weights of the variant {variant!r}")]
    wrong = [Mistake(str(path), why) for path in weights if (why := broken(path))]
    return wrong + list(shard_mistakes(component))


def shard_mistakes(component: Path) -> Iterator[Mistake]:
    """Lists of shards that name something else than safetensors files beside them."""
    for index in sorted(component.glob("*.index*.json")):
        listed = read_json(index).get("weight_map")
        names = set(listed.values()) if isinstance(listed, dict) else {listed}
        odd = [n for n in names if not isinstance(n, str) or n != Path(n).name or not safe(n)]
        if odd:
            yield Mistake(str(index), f"names {odd[0]!r}, no safetensors file beside it; {CONVERT}")


def safe(name: str) -> bool:
    """Whether a file name is that of safetensors."""
    return name.endswith(".safetensors")
