"""Mistakes in what a config asks of a model that makes no sense in its family."""

from __future__ import annotations

from render.config.schema import RunConfig
from render.errors import Locate, Mistake
from render.models.families import FAMILIES
from render.models.family import Family
from render.models.resolve import Model
from render.models.scheduler_signatures import (
    class_mistake,
    json_mistakes,
    kind_mistake,
    noising_mistake,
    option_mistakes,
    settings,
)
from render.models.scheduler_values import Made, idle_mistakes, value_mistakes
from render.plan.approximations import shortcuts
from render.run.unused_keys import unused_mistakes


def family_mistakes(config: RunConfig, model: Model, locate: Locate) -> list[Mistake]:
    """What a config asks of a model that makes no sense in its family."""
    family, found = model.family, []
    if config.sampling.blend == "embedding" and not family.lined_up:
        what = (
            f"texts have lengths of their own in {family.pipeline}, so there is nothing half way "
            "between two embeddings; use sampling.blend=noise"
        )
        found.append(Mistake("sampling.blend", what))
    guidance = family.guidance
    if not guidance.negatives:
        what = "this model was distilled and leads away from nothing; leave negatives out"
        found += [Mistake(path, what) for path in written_at(config, "negative", locate)]
    if not guidance.negatives and guidance.argument is None:
        what = "this model takes no guidance; leave it out"
        found += [Mistake(path, what) for path in written_at(config, "guidance", locate)]
    class_name = config.scheduler.class_name or model.scheduler
    found += unused_mistakes(config, model)
    found += scheduler_mistakes(config, model)
    found += shortcut_mistakes(config, family)
    return found + image_mistakes(config, class_name, family, locate)


def scheduler_mistakes(config: RunConfig, model: Model) -> list[Mistake]:
    """A scheduler that can't serve this model, or settings that its class refuses or that change
    nothing."""
    written, folder = config.scheduler, model.source.folder
    class_name = written.class_name or model.scheduler
    if class_name is None:
        return []
    if wrong := class_mistake(class_name):
        own = f"{folder}/model_index.json" if folder else "scheduler"
        return [Mistake("scheduler.class" if written.class_name else own, wrong)]
    if option_mistakes(class_name, written.options):
        return []  # a mistake of the recipe
    path = f"{folder or model.source}/scheduler/scheduler_config.json"
    if wrong_types := json_mistakes(path, class_name, model.scheduler_config):
        return wrong_types
    own_json, options = model.scheduler_config, written.options
    if written.class_name or options:
        wrong = kind_mistake(class_name, {**own_json, **options}, model.family)
        if wrong:
            return [Mistake("scheduler", wrong)]
    made = Made(
        class_name,
        settings(class_name, model.scheduler, own_json, options, model.family),
        options,
        written.steps or config.model.steps,
        model.family,
        f"{folder}/scheduler/scheduler_config.json" if folder and not written.class_name else "",
        model.scheduler is not None,
    )
    return [*value_mistakes(made), *idle_mistakes(made)]


def shortcut_mistakes(config: RunConfig, family: Family) -> list[Mistake]:
    """Keys of `sampling` that would save nothing, or can't be followed."""
    taken, found = shortcuts(config.sampling), []
    control = config.model.controlnet
    if taken.deep_cache > 1 and (family.denoiser != "unet" or control):
        why = "a ControlNet adds to the layers between" if control else "this model has no U-Net"
        found.append(Mistake("sampling.deep_cache", f"{why}; leave it out"))
    if config.sampling.guidance_interval and not family.guidance.negatives:
        what = "this model leads away from nothing, so there is no row to save; leave it out"
        found.append(Mistake("sampling.guidance_interval", what))
    if taken.anchors and control and control.image.is_dir():
        what = (
            "each frame follows a picture of its own, which no anchor has; use sampling.anchors=0"
        )
        found.append(Mistake("sampling.anchors", what))
    return found


def image_mistakes(
    config: RunConfig, scheduler: str | None, family: Family, locate: Locate
) -> list[Mistake]:
    """Pictures to start from where the family or the scheduler knows nothing of them."""
    frames = config.timeline.keyframes.items()
    places = [locate(f"timeline.keyframes.{name}.image") for name, k in frames if k.image]
    if places and family.from_image is None:
        served = ", ".join(sorted(f.pipeline for f in FAMILIES.values() if f.from_image))
        what = f"{family.pipeline} starts from no image; leave it out, or use a model of {served}"
        return [Mistake(place, what) for place in places]
    if places and config.compute.offload != "none":
        what = "start images need the autoencoder whole and in place; use compute.offload=none"
        return [Mistake("compute.offload", what)]
    wrong = noising_mistake(scheduler, family) if places and scheduler else None
    return [Mistake("scheduler", wrong)] if wrong else []


def written_at(config: RunConfig, key: str, locate: Locate) -> list[str]:
    """Where a config gives the sampling or a keyframe a value."""
    frames = config.timeline.keyframes.items()
    inside = [locate(f"timeline.keyframes.{name}.{key}") for name, k in frames if getattr(k, key)]
    return ([f"sampling.{key}"] if getattr(config.sampling, key) else []) + inside
