"""A film resolved: everything that is decided before work starts, from config to plan.

Config, timeline, model, device and recipe are each looked at even when another is wrong, so that
all mistakes are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from render.config.parse import InvalidConfig, parse
from render.config.schema import RunConfig
from render.engines.requirements import engine_mistakes
from render.errors import ConfigError, Locate, Mistake
from render.files.received_json import flaw_of
from render.models.controlnet_inputs import Pictures, followed_pictures, picture_warnings
from render.models.identity import remember, remembered
from render.models.images import start_images
from render.models.lora_files import Lora, hashed, resolve_loras
from render.models.resolve import Model
from render.models.scheduler_signatures import settings
from render.plan.build import make_plan, make_recipe
from render.plan.cost import TIMINGS_NAME
from render.plan.frame_plan import Recipe
from render.run.devices import choose_device, choose_dtype
from render.run.film import Film
from render.run.film_model import HASHES_NAME, model_with_parts, sound_model
from render.run.memory_checks import memory_mistakes, with_memory
from render.run.model_checks import family_mistakes
from render.run.prompt_checks import (
    negative_warnings,
    revision_warnings,
    size_warnings,
    weight_mistakes,
    word_warnings,
)
from render.run.sound_checks import sound_length, sound_warnings
from render.run.unused_keys import fallback_warnings, usual_guidance
from render.store.store import STORE_NAME
from render.timeline.spec import Timeline
from render.timeline.timeline import resolve
from render.video.codecs import output_mistakes

T = TypeVar("T")


def open_film(composed: Mapping[str, Any], variant: str, locate: Locate) -> Film:
    """The film a composed config declares.

    Args:
        composed: the config as plain data.
        variant: a sweep job's folder under the run's, or "".
        locate: turns a dotted path into the place a person should look at.

    Raises:
        ConfigError: everything that is wrong, a line each.
    """
    mistakes: list[Mistake] = []
    try:
        config = parse(composed, locate)
    except InvalidConfig as error:
        rest = error.rest or with_another_timeline(composed)
        if rest is None:
            raise
        config = rest
        mistakes += error.mistakes
    return resolved(config, variant, locate, mistakes)


def with_another_timeline(composed: Mapping[str, Any]) -> RunConfig | None:
    """The config with a right timeline in place of a wrong one, to find what else is wrong."""
    try:
        return parse({**composed, "timeline": {"keyframes": [{"at": 0, "prompt": ""}]}})
    except InvalidConfig as error:
        return error.rest


def resolved(config: RunConfig, variant: str, locate: Locate, mistakes: list[Mistake]) -> Film:
    """Each part resolved; raises with all mistakes if there are any."""

    def look(part: Callable[[], T]) -> T | None:
        try:
            return part()
        except ConfigError as error:
            mistakes.extend(error.mistakes)
            return None

    folder = config.root / config.name / variant
    mistakes += link_mistakes(config.root, folder)
    hashes = config.root / STORE_NAME / HASHES_NAME
    known = remembered(hashes)
    remarks: list[str] = []
    images = look(lambda: start_images(config.timeline, locate, remarks.append)) or {}
    control = look(lambda: followed_pictures(config.model.controlnet, remarks.append)) or ()
    timeline = look(lambda: written_timeline(config, locate, images))
    device = look(lambda: choose_device(config.compute))
    # Of a device that is not there, only its name counts for the dtype.
    place = device or config.compute.device
    model = look(lambda: with_memory(sound_model(config.model, known), config.compute))
    loras = look(lambda: resolve_loras(config.model, model, known, Path())) if model else None
    half = model.family.half if model else "float16"
    dtype = look(lambda: choose_dtype(config.compute, config.model, place, half))
    recipe = look(lambda: make_recipe(config, model, dtype or "float32")) if model else None
    mistakes += family_mistakes(config, model, locate) if model else []
    mistakes += weight_mistakes(config, model, locate) if model else []
    mistakes += memory_mistakes(config.compute, place, model) if model else []
    mistakes += engine_mistakes(config, place, model) if model else []
    mistakes += output_mistakes(config.output)
    sound_s = look(lambda: sound_length(config.output))
    if mistakes or not (timeline and device and model and recipe and loras is not None):
        raise ConfigError(list({str(mistake): mistake for mistake in mistakes}.values()))
    memory = (hashes, config.root / STORE_NAME / TIMINGS_NAME, folder / "run.json")
    flaws = tuple(flaw for path in memory if (flaw := flaw_of(path)))
    remember(hashes, known)
    remarks += [*word_warnings(config, model, locate), *size_warnings(config, model)]
    film = planned(config, folder, timeline, device, model, recipe, images, control, loras)
    return with_warnings(film, [*remarks, *flaws, *sound_warnings(film, timeline, sound_s)])


def with_warnings(film: Film, more: Sequence[str]) -> Film:
    """The film with more that its plan warns of, each once."""
    warnings = tuple(dict.fromkeys((*film.plan.warnings, *more)))
    return replace(film, plan=replace(film.plan, warnings=warnings)) if more else film


def link_mistakes(root: Path, folder: Path) -> list[Mistake]:
    """The root may lead anywhere; a link below it could lead into someone else's folder."""
    store = root / STORE_NAME
    below = [folder / "frames", folder, folder.parent, store]
    if store.is_dir() and not store.is_symlink():
        below += [Path(entry.path) for entry in os.scandir(store)]
    return [
        Mistake(str(path), "is a link; remove it, or give another place with root=")
        for path in sorted(set(below) - {root})
        if path.is_symlink()
    ]


def check_unchanged(film: Film) -> None:
    """Hold the model's files against those that the film was planned by; for after their loading.

    Raises:
        ConfigError: they are others, so the frames would have a wrong identity.
    """
    written, known = film.config.model, remembered(film.config.root / STORE_NAME / HASHES_NAME)
    files = [(lora, lora.file) for lora in film.loras if lora.file and not lora.repository]
    same = all(hashed(lora, file, known) == lora for lora, file in files)
    if same and (written.path or written.vae or written.embeddings or written.controlnet):
        # The hub is not asked again: a commit's files are what they are, parts are the user's own.
        pinned = written.model_copy(update={"revision": film.model.source.revision})
        model = with_memory(model_with_parts(pinned, known), film.config.compute)
        same = model.identity == film.model.identity
    if not same:
        what = "was changed after the film was planned; the same command plans it anew"
        raise ConfigError([Mistake("model", f"{film.model.source} {what}")])


def written_timeline(
    config: RunConfig, locate: Locate, images: Mapping[Path, str] | None = None
) -> Timeline:
    """The config's timeline, with what it leaves open filled in."""
    guidance = usual_guidance(config)
    loras = {lora.called: lora.weight for lora in config.model.loras}
    return resolve(
        config.timeline, config.sampling, config.output.fps, guidance, locate, images, loras
    )


def planned(
    config: RunConfig,
    folder: Path,
    timeline: Timeline,
    device: str,
    model: Model,
    recipe: Recipe,
    images: Mapping[Path, str],
    control: Pictures,
    loras: tuple[Lora, ...],
) -> Film:
    """The film with its plan."""
    scheduler = config.scheduler.class_name or model.scheduler or "unknown"
    plan = make_plan(
        timeline,
        recipe,
        config.output.fps,
        scheduler,
        model.family.guidance,
        {lora.name: lora.identity for lora in loras},
        [digest for _, digest in control],
        settings(
            scheduler,
            model.scheduler,
            model.scheduler_config,
            config.scheduler.options,
            model.family,
        ),
    )
    more = [
        *fallback_warnings(config),
        *model.notes,
        *negative_warnings(timeline, model.family.guidance),
        *revision_warnings(model, config.model.revision),
        *picture_warnings(config.model.controlnet, control),
    ]
    plan = replace(plan, warnings=(*plan.warnings, *more))
    store = config.root / STORE_NAME
    places = {digest: path for path, digest in (*images.items(), *control)}
    return Film(config, folder, store, model, device, scheduler, plan, places, loras)
