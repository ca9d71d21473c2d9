"""`render from FILM|FRAME`: a film or a frame, rendered again by the recipe that its file carries.

The timeline is written as a file that a person can read and change. The rest of the recipe is
merged over the usual config, and overrides over both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

from render.api import Film
from render.cli.compose import compose
from render.cli.config_folders import known_choices
from render.cli.recipes import FileRecipe, mistake, read_recipe
from render.config.timeline_file import Document, document_of
from render.errors import ConfigError, Mistake
from render.files.atomic import is_there, says, write_whole
from render.importers.timeline_text import as_yaml
from render.models.identity import file_hash
from render.plan.plan_json import shown_film
from render.report.run_record import versions
from render.run.difference import config_of

GROUPS = ("model", "scheduler", "output", "compute")
USAGE = "needs a film, a frame, a config.yaml or a run's folder: render from outputs/city/city.mp4"
OF_PIXELS = ("render", "torch", "diffusers", "transformers")
"""Libraries whose versions may change a picture."""


def opened_again(arguments: Sequence[str]) -> tuple[Film, list[str]]:
    """The film of a recipe, with its timeline written into the current folder, and lines about it.

    Args:
        arguments: the file, and overrides.

    Raises:
        ConfigError: there is no recipe, or something that it names is not here; nothing is written.
    """
    if not arguments or arguments[0].startswith("-") or is_override(arguments[0]):
        raise ConfigError([Mistake("render from", USAGE)])
    recipe, overrides = read_recipe(Path(arguments[0]).expanduser()), arguments[1:]
    document = timeline_of(recipe)
    values = values_beside(recipe, document, overrides)
    film = Film(compose(document, overrides, values).config)
    if not chosen(overrides):
        check_model(recipe, film)
    named = any(override.lstrip("+").startswith("name=") for override in overrides)
    if named:
        check_name(film, document)
    with written(document, film, named) as file:
        if not named:
            values["name"] = file.stem
        composed = compose(str(file), overrides, values)
        film = Film(composed.config, locate=composed.locate)
    return film, [f"the timeline is {file}", *differences(recipe, film)]


def is_override(argument: str) -> bool:
    """Whether an argument is `key=value` and no file."""
    return "=" in argument and not Path(argument).exists()


def timeline_of(recipe: FileRecipe) -> Document:
    """The timeline as a file that holds it. It is data, whoever it comes from.

    Raises:
        ConfigError: it is no timeline.
    """
    timeline = recipe.config["timeline"]
    name = timeline.get("name") or recipe.config.get("name") or "film"
    named = {"name": name, **{key: value for key, value in timeline.items() if key != "name"}}
    try:
        document = document_of(as_yaml(named), recipe.file)
    except ConfigError as error:
        raise mistake(recipe.file, f"carries no timeline: {error.mistakes[0].what}") from None
    return Document(recipe.file, document.content, {})  # no file of a person's own


def plain(name: object) -> str:
    """A name of a file in this folder."""
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in str(name))
    return kept.lstrip("-.")[:80] or "film"


def values_beside(
    recipe: FileRecipe, document: Document, overrides: Sequence[str]
) -> dict[str, Any]:
    """The values of the recipe but its timeline. Groups that are chosen anew are the chosen ones,
    and a model of the package has its files where the package is."""
    asked = {override.lstrip("+").partition("=")[0] for override in overrides}
    values = {
        key: value
        for key, value in recipe.config.items()
        if key != "timeline" and not (key in GROUPS and key in asked)
    }
    model = values.get("model")
    if isinstance(model, dict) and model.get("name") in known_choices("model"):
        usual = compose(document, [f"model={model['name']}"]).config["model"]
        values["model"] = {key: here(value, usual.get(key)) for key, value in model.items()}
    return values


def here(value: object, usual: object) -> object:
    """The usual file, if the recipe names a file that is called so."""
    both = isinstance(value, str) and isinstance(usual, str)
    return usual if both and Path(str(usual)).name == value else value


def chosen(overrides: Sequence[str]) -> bool:
    """Whether a model is asked for, so that another one than the film's is meant."""
    return any(override.lstrip("+").startswith(("model=", "model.")) for override in overrides)


def check_model(recipe: FileRecipe, film: Film) -> None:
    """Refuse a model that is not the one of the recipe.

    Raises:
        ConfigError: it is another one.
    """
    name, found = film.opened.config.model.name, film.opened.plan.recipe.model
    if not recipe.model or found == recipe.model:
        return
    what = (
        f"{recipe.file.name} was made with {recipe.model[:24]}…, and {name} is {found[:24]}… here; "
        "give the film's own model (model.path=…, model.revision=…), or say "
        f"model={name} to render it with this one"
    )
    raise ConfigError([Mistake("model", what)])


@contextmanager
def written(document: Document, film: Film, named: bool) -> Iterator[Path]:
    """The file of a timeline in the current folder, and under a name that no other film has: a
    timeline that says something else keeps its name, and so does a run. A new file goes if the
    block raises an error.

    Args:
        film: as it will be rendered, whatever its name.
        named: whether a name for the run is asked for, which then need not be that of the file.
    """
    root, stem = film.opened.config.root, plain(document.content["name"])
    names = (f"{stem}{more}" for more in chain([""], (f"-{k}" for k in count(2))))
    found = ((name, as_yaml({**document.content, "name": name})) for name in names)
    name, text = next(
        (name, text)
        for name, text in found
        if is_of(name, text) and (named or is_free(root / name, film))
    )
    file = Path(f"{name}.yaml")
    if is_there(file):
        yield file
        return
    write_whole(file, text.encode())
    try:
        yield file
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def is_of(name: str, text: str) -> bool:
    """Whether a timeline's file has this text, or is not there."""
    file = Path(f"{name}.yaml")
    return says(file, text.encode()) or not is_there(file)


def is_free(run: Path, film: Film) -> bool:
    """Whether a folder shows this very film, or no frame of any."""
    if not any(os.path.lexists(run / trace) for trace in ("frames", "run.json")):
        return True
    shown = shown_film(run)
    return shown is not None and shown.digest == film.resolved.plan.digest


def check_name(film: Film, document: Document) -> None:
    """Refuse a name under which a film of another timeline is.

    Raises:
        ConfigError: one is.
    """
    if is_free(film.folder, film):
        return
    timeline = config_of(film.folder).get("timeline")
    if not isinstance(timeline, dict) or {**timeline, "name": ""} != {
        **document.content,
        "name": "",
    }:
        what = f"{film.folder} is the run of another film; choose another name, or leave it out"
        raise ConfigError([Mistake("name", what)])


def differences(recipe: FileRecipe, film: Film) -> Iterator[str]:
    """Lines about what is not as it was when the film of the recipe was made."""
    plan = film.resolved.plan
    if recipe.model and plan.recipe.model != recipe.model:
        yield f"another model than that of {recipe.file.name}: its pictures will differ"
    elif recipe.plan and plan.digest == recipe.plan:
        yield "the same film, frame by frame"
    elif recipe.frame and recipe.frame in {frame.digest for frame in plan.frames}:
        yield "the same frame"
    elif recipe.frame or (recipe.plan and not plan.unmeasured):
        what = "frame" if recipe.frame else "film"
        why = "an override, a file that is another one here, a change by hand or a newer recipe"
        yield f"not the same {what} as {recipe.file.name}: {why} makes another one"
    audio = film.resolved.output.audio
    if recipe.sound and audio and file_hash(audio, {}) != recipe.sound:
        yield f"{audio} is another sound than that of {recipe.file.name}"
    found = versions()
    changed = [
        f"{name} {found[name]} (then {then})"
        for name, then in (recipe.versions or {}).items()
        if name in OF_PIXELS and found.get(name, then) != then
    ]
    if changed:
        yield f"made with other versions, whose pictures may differ slightly: {', '.join(changed)}"
