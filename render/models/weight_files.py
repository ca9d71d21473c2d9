"""The weight files of a model's component: those that are there, and those its library loads.

Only names are looked at here, so without torch. Beside the plain files a folder may hold variants
of them (`fp16`, `non_ema`). diffusers takes a variant for the components that have it and the plain
files for the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""How the names of the files begin that each library loads."""
WEIGHTLESS = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "FeatureExtractor")
FILE = r"{stem}(?:\.(?P<variant>[\w-]+?))?(?:-\d+-of-\d+)?(?:\.(?P<older>[\w-]+))?\.safetensors"


def held_variants(component: Path, library: str) -> set[str | None]:
    """The variants of which there are safetensors that the library knows; None is the plain one."""
    pattern = re.compile(FILE.format(stem=STEMS[library]))
    found = [match for name in file_names(component) if (match := pattern.fullmatch(name))]
    return {match["variant"] or match["older"] for match in found}


def loaded_files(component: Path, library: str, variant: str | None) -> list[Path]:
    """The safetensors of one variant that the library loads, shards among them; None is plain."""
    pattern = re.compile(FILE.format(stem=STEMS[library]))
    found = [(name, pattern.fullmatch(name)) for name in file_names(component)]
    return [
        component / name
        for name, match in found
        if match and (match["variant"] or match["older"]) == variant
    ]


def chosen_variant(component: Path, variant: str | None) -> str | None:
    """The variant that diffusers takes for this component when the whole model is asked for one.

    It goes by the second part of a name, whatever kind of file that is.
    """
    marked = (name.split(".")[1:2] for name in file_names(component))
    return variant if variant and any(p and p[0].startswith(variant) for p in marked) else None


def lone_variant(component: Path, library: str = "diffusers") -> str | None:
    """The variant to load a component as that is loaded on its own: None, unless all its weights
    are of one."""
    held = held_variants(component, library)
    return held.pop() if len(held) == 1 else None


def single_file(component: Path, library: str, variant: str | None) -> Path:
    """The one file that holds all weights of a variant where there are no shards."""
    mark = f".{variant}" if variant else ""
    return component / f"{STEMS[library]}{mark}.safetensors"


def only_variant(folder: Path, parts: Mapping[str, tuple[Any, Any]]) -> str | None:
    """The variant that a folder's components must be loaded as, since some have no plain weights.

    Args:
        parts: library and class of every component that is loaded.
    """
    lacking = [
        held
        for name, (library, class_name) in parts.items()
        if isinstance(library, str)
        and library in STEMS
        and not str(class_name).endswith(WEIGHTLESS)
        if (held := held_variants(folder / name, library)) and None not in held
    ]
    common = set.intersection(*lacking) if lacking else set()
    return common.pop() if len(common) == 1 else None


def file_names(component: Path) -> list[str]:
    """The names of a component's files, sorted; none if there is no such folder."""
    return sorted(path.name for path in component.iterdir()) if component.is_dir() else []
