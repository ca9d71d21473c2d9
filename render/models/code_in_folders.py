"""Code in a model's folder, and settings by which libraries would fetch some: refused or unread.

Models are data. Nothing here imports anything of the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from render.config.values import shown
from render.errors import ConfigError, Mistake
from render.models.model_configs import read_json

LOADED_CODE = {"diffusers.py", "transformers.py"}  # diffusers looks for it in components
MOST_FILES = 10_000
ATTENTION_KEYS = {"attn_implementation", "_attn_implementation", "experts_implementation"}
ELSEWHERE = {
    "configuration_files": "another config in place of this one; leave it out",
    "fast_tokenizer_files": "another file in place of tokenizer.json; leave it out",
    "transformers_weights": "another file of weights, or a pickle; call the weights "
    "model.safetensors and leave it out",
    "attribute_map": "other names for settings, by which any can be hidden; leave it out",
}
"""Settings that lead transformers past the files that are looked through here."""
OWN_ATTENTION = (None, "eager", "sdpa")  # of torch and the libraries themselves


def mistakes_in_code(folder: Path) -> list[Mistake]:
    """Everything that leads to code or weights elsewhere: such a model is not run."""
    found = []
    for path in walked(folder):
        if path.name in LOADED_CODE:
            what = f"would be run in place of {path.stem}; remove it"
            found.append(Mistake(str(path), f"is code; models are data here: it {what}"))
        elif path.name == "adapter_config.json":
            found.append(Mistake(str(path), "names a model elsewhere; merge the adapter first"))
        elif path.name.endswith("config.json"):
            found += [Mistake(str(path), what) for what in setting_flaws(read_json(path))]
    return found


def setting_flaws(settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings, at any depth, for which the libraries would run code of the model's or fetch
    some from the hub."""
    left: list[Any] = [settings]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            yield from code_settings(value)


def code_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Those of one object of a config."""
    if "auto_map" in settings:
        yield "has an auto_map, which names code of the model's own"
    for key in sorted(ELSEWHERE.keys() & settings.keys()):
        yield f"has {key}, which names {ELSEWHERE[key]}"
    for key in sorted(ATTENTION_KEYS & settings.keys()):
        if (kind := settings[key]) not in OWN_ATTENTION:
            yield f"{key}: {shown(kind)} may be fetched from the hub as code; leave the key out"
    if settings.get("quantization_config") is not None:
        yield (
            "has a quantization_config, for which libraries fetch code from the hub; give the "
            "plain weights (compute.quantised=int8 makes them smaller)"
        )


def code_notes(folder: Path) -> list[str]:
    """Lines about Python files beside the weights, which nobody asked for: they stay unread."""
    stray = [path for path in walked(folder) if path.suffix == ".py"]
    return [f"{path} is code and stays unread; models are data here" for path in stray[:3]] + (
        [f"{len(stray) - 3:,} more Python files in {folder} stay unread"] if stray[3:] else []
    )


def walked(folder: Path) -> list[Path]:
    """Every file in a folder and those below it, sorted. A component may be a link to a folder;
    links farther down are not entered, and nothing is loaded from there.

    Raises:
        ConfigError: there are so many that this is no model's folder.
    """
    found: list[Path] = []
    linked = [path for path in folder.glob("*") if path.is_symlink() and path.is_dir()]
    for place, _, names in chain.from_iterable(map(os.walk, [folder, *linked])):
        found += [Path(place, name) for name in names]
        if len(found) > MOST_FILES:
            what = f"holds more than {MOST_FILES:,} files; give the folder of one model"
            raise ConfigError([Mistake(str(folder), what)])
    return sorted(found)
