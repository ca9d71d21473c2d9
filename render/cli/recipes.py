"""Recipes: the config in a film's file, in a frame's, or in the config.yaml of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from render.cli.frame_recipe import NotAlone, recipe_of_frame
from render.config.schema import NAME_PATTERN, RunConfig
from render.config.timeline_file import read_document
from render.errors import ConfigError, Mistake
from render.files.received_json import parsed
from render.plan.plan_json import shown_film
from render.run.film_recipe import LEFT_OUT
from render.store.frame_png import DIGEST_KEY, RECIPE_KEY, SPEC_KEY
from render.text import shortened
from render.video.recipe import NoRecipe, texts_of

CONFIG = "config.yaml"
OF_FILES = ("audio", "config", "file", "image", "inbetween", "path", "upscale", "vae")
"""Keys whose values name files."""


@dataclass(frozen=True, slots=True)
class FileRecipe:
    """The recipe of a film or a frame, as its file has it.

    Attributes:
        file: where it was read.
        config: values by the keys of the whole config; the timeline among them.
        model: the identity of the model; empty where the file does not say.
        plan: the film's digest; empty for a frame, and where the file does not say.
        frame: the frame's digest; empty for a film.
        sound: the sha256 of its sound; empty where there is none, or the file does not say.
        versions: of the libraries, by name.
    """

    file: Path
    config: Mapping[str, Any]
    model: str = ""
    plan: str = ""
    frame: str = ""
    sound: str = ""
    versions: Mapping[str, str] | None = None


def read_recipe(file: Path) -> FileRecipe:
    """The recipe of a video, a frame, a config.yaml or a run's folder.

    Raises:
        ConfigError: there is none, or it is no recipe.
    """
    if file.is_dir():
        file = file / CONFIG
    if file.suffix.lower() in (".yaml", ".yml"):
        return of_config(file)
    try:
        texts = texts_of(file)
    except NoRecipe as error:
        raise mistake(file, str(error)) from None
    if DIGEST_KEY in texts and SPEC_KEY in texts:
        return of_frame(file, texts)
    if not texts.get("Comment"):
        raise mistake(file, "carries no recipe: render did not make it, or it was converted since")
    return of_film(file, texts["Comment"])


def of_config(file: Path) -> FileRecipe:
    """The recipe in a config.yaml of a run."""
    content = dict(read_document(file).content)
    if "timeline" not in content:
        what = f"holds no timeline; a run's {CONFIG} does, or write render {file}"
        raise mistake(file, what)
    config = known({key: value for key, value in content.items() if key not in LEFT_OUT}, file)
    shown = shown_film(file.parent)
    model = str(shown.shared.get("model", "")) if shown else ""
    return FileRecipe(file, config, model, shown.digest if shown else "")


def of_film(file: Path, comment: str) -> FileRecipe:
    """The recipe in a film's comment."""
    content = data_of(file, comment)
    config = content.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("timeline"), dict):
        raise mistake(file, "carries a comment that is no recipe of render")
    check_files(config, file)
    versions = content.get("versions")
    of = {
        key: value
        for key in ("model", "plan", "sound")
        if isinstance(value := content.get(key), str)
    }
    return FileRecipe(file, known(config, file), versions=named(versions), **of)


def of_frame(file: Path, texts: Mapping[str, str]) -> FileRecipe:
    """The recipe in a frame's picture."""
    if RECIPE_KEY not in texts:
        what = "is a frame that an older render made; its film has the recipe: render from FILM.mp4"
        raise mistake(file, what)
    digest = texts[DIGEST_KEY]
    spec, recipe = data_of(file, texts[SPEC_KEY]), data_of(file, texts[RECIPE_KEY])
    try:
        config = known(recipe_of_frame(spec, recipe, digest), file, ("at",))
    except NotAlone as error:
        raise mistake(file, str(error)) from None
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        raise mistake(file, "carries a recipe that is not whole") from None
    return FileRecipe(file, config, str(recipe.get("model", "")), frame=digest)


def data_of(file: Path, text: str) -> dict[str, Any]:
    """A JSON object of a file that may come from anyone."""
    try:
        found = parsed(text)
    except ValueError as error:
        raise mistake(file, f"carries a recipe that {error}") from None
    if not isinstance(found, dict):
        raise mistake(file, "carries a comment that is no recipe of render")
    return found


def known(config: Mapping[str, Any], file: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    """The config, which has no key that no recipe has, and no folder of any machine.

    Raises:
        ConfigError: it has; render did not write it, or a newer version did.
    """
    keys = {*RunConfig.model_fields} - {*LEFT_OUT} | {*more}
    unknown = sorted(map(str, config.keys() - keys))
    if unknown:
        what = f"has the key {unknown[0]!r} in its recipe, where this version of render has none"
        raise mistake(file, what)
    name = config.get("name")
    if name is not None and not NAME_PATTERN.fullmatch(str(name)):
        raise mistake(file, f"carries a name that can't name a folder: {shortened(str(name))!r}")
    return dict(config)


def check_files(value: Any, file: Path, key: str = "") -> None:
    """Refuse a recipe that names a file by more than its name: it may come from anyone, and no
    film that render made names a folder.

    Raises:
        ConfigError: it does.
    """
    if isinstance(value, Mapping):
        for inner, item in value.items():
            check_files(item, file, str(inner))
    elif isinstance(value, list):
        for item in value:
            check_files(item, file, key)
    elif key in OF_FILES and isinstance(value, str) and os.path.basename(value) != value:
        what = f"names the file {shortened(value)} of a machine in its recipe; render never does"
        raise mistake(file, what)


def named(versions: object) -> dict[str, str]:
    """Versions by name."""
    items = versions.items() if isinstance(versions, dict) else ()
    return {str(name): str(version) for name, version in items}


def mistake(file: Path, what: str) -> ConfigError:
    """One mistake of a file."""
    return ConfigError([Mistake(os.fspath(file), what)])
