"""Mistakes in what a config asks of a model that makes no sense in its family."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from render.config.schema import RunConfig
from render.errors import Locate, Mistake
from render.models.families import FAMILIES
from render.models.lora_files import denoiser_config
from render.models.resolve import Model
from render.models.scheduler_numbers import mistakes_in_numbers, mistakes_in_own_variance
from render.models.scheduler_signatures import (
    class_flaw,
    kind_flaw,
    mistakes_in_json,
    mistakes_in_options,
    noising_flaw,
    settings,
)
from render.models.scheduler_values import Made, mistakes_in_idle_options, mistakes_in_values
from render.plan.approximations import approximations_of
from render.plan.blends import BLENDS

if TYPE_CHECKING:
    from render.run.facts import Facts


def blend_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """A blend of embeddings where texts differ in length."""
    family = facts.model.family if facts.model else None
    if family and BLENDS[config.blend].lined_up and not family.lined_up:
        what = (
            f"texts have lengths of their own in {family.pipeline}, so there is nothing half way "
            "between two embeddings; use sampling.blend=noise"
        )
        yield Mistake("sampling.blend" if config.sampling.blend else "model.blend", what)


def negative_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Negatives of a model that has no unconditional prediction."""
    if facts.model and not facts.model.family.guidance.negatives:
        what = "this model was distilled and takes no negatives; leave them out"
        yield from (Mistake(path, what) for path in written_at(config, "negative", facts.locate))


def guidance_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Guidance scales of a model that takes none."""
    if facts.model and not facts.model.family.guidance.taken:
        what = "this model takes no guidance; leave it out"
        yield from (Mistake(path, what) for path in written_at(config, "guidance", facts.locate))


def scheduler_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """A scheduler that can't serve this model, or settings that its class refuses or that change
    nothing."""
    written, model, class_name = config.scheduler, facts.model, facts.scheduler
    if model is None:
        return
    if class_name is None:
        yield from mistakes_in_unknown_anchors(config, model)
        return
    folder = model.source.folder
    if wrong := class_flaw(class_name):
        own = f"{folder}/model_index.json" if folder else "scheduler"
        yield Mistake("scheduler.class" if written.class_name else own, wrong)
    elif mistakes_in_options(class_name, written.options):
        return  # reported with the recipe
    elif of_json := mistakes_in_json(settings_file(model), class_name, model.scheduler_config):
        yield from of_json
    elif wrong := unfit_kind(config, model, class_name):
        yield Mistake("scheduler", wrong)
    else:
        made, json = made_scheduler(config, model, class_name), settings_file(model)
        yield from list(mistakes_in_numbers(made, json)) or mistakes_in_values(made)
        yield from (
            *mistakes_in_own_variance(made, denoiser_config(model), json),
            *mistakes_in_idle_options(made),
        )


def settings_file(model: Model) -> str:
    """Where a model's scheduler has its settings."""
    return f"{model.source.folder or model.source}/scheduler/scheduler_config.json"


def unfit_kind(config: RunConfig, model: Model, class_name: str) -> str | None:
    """Why a scheduler that the config chooses or changes is for models of another kind, or None."""
    options = config.scheduler.options
    if not (config.scheduler.class_name or options):
        return None
    return kind_flaw(class_name, {**model.scheduler_config, **options}, model.family)


def made_scheduler(config: RunConfig, model: Model, class_name: str) -> Made:
    """The scheduler as the run makes it."""
    written, own = config.scheduler, model.scheduler_config
    return Made(
        class_name,
        settings(class_name, model.scheduler, own, written.options, model.family),
        written.options,
        written.steps or config.model.steps,
        model.family,
        settings_file(model) if model.source.folder and not written.class_name else "",
        model.scheduler is not None,
    )


def mistakes_in_unknown_anchors(config: RunConfig, model: Model) -> Iterator[Mistake]:
    """Anchors between seeds, which are for schedulers without noise of their own, while a hub
    model's own scheduler is not known here."""
    frames = config.timeline.keyframes.values()
    seeds = {tuple(frame.seed.items()) for frame in frames if frame.seed}
    walks = len(seeds) > 1 or any(len(seed) > 1 for seed in seeds)
    if approximations_of(config.sampling).anchors and walks:
        what = (
            f"{model.source} is not on this machine, and ways between seeds take anchors only with "
            "some schedulers; name one (scheduler=dpmpp_2m), use sampling.anchors=0, or get the "
            f"model: hf download {model.source.repository}"
        )
        yield Mistake("sampling.anchors", what)


def approximation_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Keys of `sampling` that would save nothing, or can't be followed."""
    if facts.model is None:
        return
    taken, family, control = (
        approximations_of(config.sampling),
        facts.model.family,
        config.model.controlnet,
    )
    if taken.deep_cache > 1 and (control or not family.deep_features):
        why = "a ControlNet adds to the layers between" if control else "this model has no U-Net"
        yield Mistake("sampling.deep_cache", f"{why}; leave it out")
    if taken.block_cache and not family.caches_blocks:
        what = f"{family.pipeline} has no blocks that diffusers can cache; leave it out"
        yield Mistake("sampling.block_cache", what)
    if config.sampling.guidance_interval and not family.guidance.negatives:
        what = "this model has no unconditional row, so there is none to save; leave it out"
        yield Mistake("sampling.guidance_interval", what)
    own = control and control.image.is_dir()
    if taken.anchors and own:
        what = (
            "each frame follows a picture of its own, which no anchor has; use sampling.anchors=0"
        )
        yield Mistake("sampling.anchors", what)
    if taken.path_parts and own:
        what = "each frame follows a picture of its own, and a path follows one; use path: plain"
        yield Mistake("sampling.path", what)
    even = any(
        (keyframe.pace or config.timeline.pace) == "even"
        for keyframe in config.timeline.keyframes.values()
    )
    if even and own:
        what = "each frame follows a picture of its own, which no probe has; use pace: time"
        yield Mistake("timeline.pace", what)


def image_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Pictures to start from where the family or the scheduler knows nothing of them."""
    frames = config.timeline.keyframes.items()
    places = [facts.locate(f"timeline.keyframes.{name}.image") for name, k in frames if k.image]
    if not places or facts.model is None:
        return
    family = facts.model.family
    if family.from_image is None:
        served = ", ".join(sorted(f.pipeline for f in FAMILIES.values() if f.from_image))
        what = f"{family.pipeline} starts from no image; leave it out, or use a model of {served}"
        yield from (Mistake(place, what) for place in places)
    elif config.compute.offload != "none":
        what = "start images need the autoencoder whole and in place; use compute.offload=none"
        yield Mistake("compute.offload", what)
    elif facts.scheduler and (wrong := noising_flaw(facts.scheduler, family)):
        yield Mistake("scheduler", wrong)


def written_at(config: RunConfig, key: str, locate: Locate) -> list[str]:
    """Where a config gives the sampling or a keyframe a value."""
    frames = config.timeline.keyframes.items()
    inside = [locate(f"timeline.keyframes.{name}.{key}") for name, k in frames if getattr(k, key)]
    curve = getattr(config.timeline.curves, key, None) is not None
    whole = [locate(f"timeline.curves.{key}")] if curve else []
    return ([f"sampling.{key}"] if getattr(config.sampling, key) else []) + whole + inside
