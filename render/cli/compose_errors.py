"""Errors of composing a config, by Hydra, OmegaConf, YAML or the disk, as errors of the tree."""

from __future__ import annotations

import traceback
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from render.cli.config_folders import reworded
from render.config.timeline_file import in_our_words
from render.errors import TOO_LITTLE_MEMORY, ConfigError, Mistake, RenderError, short_of_memory


def shown(file: Path) -> Path:
    """A file as a person would name it from here."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def foreseen(error: Exception) -> RenderError:
    """An exception of composing a config as an error of the tree."""
    if isinstance(error, RenderError):
        return error
    if short_of_memory(error):
        return RenderError(TOO_LITTLE_MEMORY)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        what = f"broken YAML: {in_our_words(str(error.problem))}"
        return ConfigError([Mistake(f"{shown(Path(mark.name))}:{mark.line + 1}", what)])
    if isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError):
        return ConfigError([reworded(str(error) or type(error).__name__)])
    if isinstance(error, OSError):  # after Hydra's own, of which some are OSErrors, too
        what = f"{error.strerror or error}; mend that, or give another"
        return ConfigError([Mistake(str(error.filename or "config"), what)])
    place = traceback.extract_tb(error.__traceback__)[-1]
    file, said = Path(place.filename), str(error).partition("\n")[0]
    if {"hydra", "omegaconf"} & set(file.parts):
        return ConfigError([reworded(said or type(error).__name__)])
    what = f"{type(error).__name__}: {said}, {file.name}:{place.lineno}"
    return RenderError(f"this is a bug in render ({what})")
