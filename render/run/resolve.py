"""A film resolved: everything that is decided before work starts, from config to plan.

Config, timeline, model, device and recipe are each looked at even when another is wrong, so that
all mistakes are reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from render.config.parse import InvalidConfig, parse
from render.config.schema import RunConfig
from render.errors import ConfigError, Locate, Mistake
from render.files.received_json import flaw_of
from render.models import identity
from render.models.controlnet_inputs import picture_warnings
from render.models.lora_files import hashed
from render.models.resolve import Model
from render.models.scheduler_signatures import settings
from render.plan.build import make_plan
from render.plan.cost import TIMINGS_NAME
from render.plan.frame_plan import FramePlan, Recipe
from render.plan.parts import mistakes_in_part
from render.plan.plan_warnings import unmeasured_warnings
from render.run.facts import Facts
from render.run.film import ResolvedFilm
from render.run.film_model import HASHES_NAME, model_with_parts
from render.run.finish_facts import bridging_of
from render.run.memory_checks import with_memory
from render.run.mistakes import all_mistakes
from render.run.other_film import other_film_warnings, timeline_file
from render.run.prompt_checks import (
    negative_warnings,
    revision_warnings,
    size_warnings,
    word_warnings,
)
from render.run.sound_checks import sound_warnings
from render.run.sounds import remember_sounds, with_sound
from render.run.unused_keys import fallback_warnings
from render.store.store import STORE_NAME
from render.store.time_maps import MAPS_NAME, remembered
from render.store.upscale_factors import FACTORS_NAME
from render.timeline.clock import NO_TEMPO
from render.timeline.pace import TimeMap
from render.timeline.spec import Timeline


def open_film(composed: Mapping[str, Any], variant: str, locate: Locate) -> ResolvedFilm:
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
    return resolved(with_sound(config), variant, locate, mistakes)


def with_another_timeline(composed: Mapping[str, Any]) -> RunConfig | None:
    """The config with a right timeline in place of a wrong one, to find what else is wrong."""
    try:
        return parse({**composed, "timeline": {"keyframes": [{"at": 0, "prompt": ""}]}})
    except InvalidConfig as error:
        return error.rest


def resolved(
    config: RunConfig, variant: str, locate: Locate, mistakes: list[Mistake]
) -> ResolvedFilm:
    """The film of a config in which these mistakes of form were found.

    Raises:
        ConfigError: those, and every mistake of meaning, a line each.
    """
    facts = Facts(config, variant, locate)
    meaning = [*all_mistakes(config, facts)]
    keys = (getattr(each.where, "key", each.where) for each in mistakes)
    if any("tempo" in key for key in keys):  # without which no beat has a time
        meaning = [each for each in meaning if each.what != NO_TEMPO]
    found = [*mistakes, *meaning]
    timeline, model, recipe = facts.timeline, facts.model, facts.recipe
    if found or not (timeline and model and recipe):
        raise ConfigError(list({str(mistake): mistake for mistake in found}.values()))
    memory = [facts.store / name for name in (HASHES_NAME, TIMINGS_NAME, MAPS_NAME, FACTORS_NAME)]
    flaws = tuple(flaw for path in (*memory, facts.folder / "run.json") if (flaw := flaw_of(path)))
    identity.remember(facts.store / HASHES_NAME, facts.hashes)
    remember_sounds(facts.store, facts.sounds or {})
    remarks = [*facts.remarks, *word_warnings(config, model, locate), *size_warnings(config, model)]
    film = planned(facts, timeline, model, recipe)
    if wrong := list(mistakes_in_part(film.plan, config, timeline)):
        raise ConfigError([Mistake(locate(each.where), each.what) for each in wrong])
    film = replace(film, timeline_file=timeline_file(locate))
    remarks += [*flaws, *sound_warnings(film, timeline, facts.sound_s), *other_film_warnings(film)]
    return with_warnings(film, remarks)


def with_warnings(film: ResolvedFilm, more: Sequence[str]) -> ResolvedFilm:
    """The film with more that its plan warns of, each once; also when it is planned again."""

    def warned(plan: FramePlan) -> FramePlan:
        return replace(plan, warnings=tuple(dict.fromkeys((*plan.warnings, *more))))

    return replace(film, plan=warned(film.plan), plan_by=lambda maps: warned(film.plan_by(maps)))


def check_unchanged(film: ResolvedFilm) -> None:
    """Hold the model's files against those that the film was planned by; for after their loading.

    Raises:
        ConfigError: they are others, so the frames would have a wrong identity.
    """
    written, known = (
        film.config.model,
        identity.remembered(film.config.root / STORE_NAME / HASHES_NAME),
    )
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


def planned(facts: Facts, timeline: Timeline, model: Model, recipe: Recipe) -> ResolvedFilm:
    """The film with its plan."""
    config, scheduler = facts.config, facts.scheduler or "unknown"
    loras, control, images = facts.loras or (), facts.control or (), facts.images or {}
    own = model.scheduler_config, config.scheduler.options, model.family
    make = partial(
        make_plan,
        timeline,
        recipe,
        config.output.planned_fps,
        scheduler,
        model.family.guidance,
        {lora.name: lora.identity for lora in loras},
        [digest for _, digest in control],
        settings(scheduler, model.scheduler, *own),
        finish=facts.finish,
        bridging=bridging_of(config, facts.hashes),
    )
    more = [
        *fallback_warnings(config),
        *model.notes,
        *negative_warnings(timeline, model.family.guidance),
        *revision_warnings(model, config.model.revision),
        *picture_warnings(config.model.controlnet, control),
    ]

    def plan_by(maps: Mapping[str, TimeMap]) -> FramePlan:
        plan = make(time_maps=maps)
        return replace(plan, warnings=(*plan.warnings, *more, *unmeasured_warnings(plan)))

    places = {digest: path for path, digest in (*images.items(), *control)}
    plan = plan_by(remembered(facts.store))
    return ResolvedFilm(
        *(config, facts.folder, facts.store, model, facts.place, scheduler, timeline, plan),
        *(plan_by, places, loras),
    )
