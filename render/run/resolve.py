"""A film resolved: everything that is decided before work starts, from config to plan.

Config, timeline, model, device and recipe are each looked at even when another is wrong, so that
everything wrong is told at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from render.config.parse import InvalidConfig, parse
from render.config.schema import ModelConfig, OutputConfig, RunConfig
from render.engines.requirements import engine_mistakes
from render.errors import ConfigError, EncodeError, Mistake
from render.files.received_json import flaw_of
from render.models.components import with_parts
from render.models.controlnet_inputs import Pictures, followed_pictures, picture_warnings
from render.models.families import FAMILIES, Family
from render.models.images import start_images
from render.models.lora_files import Lora, hashed, resolve_loras
from render.models.resolve import Model, remember, remembered, resolve_model
from render.models.safety import check_index, check_model, code_notes
from render.models.scheduler_signatures import (
    class_mistake,
    kind_mistake,
    noising_mistake,
    option_mistakes,
    settings,
)
from render.models.scheduler_values import Made, idle_mistakes, value_mistakes
from render.plan.approximations import shortcuts
from render.plan.cost import TIMINGS_NAME
from render.plan.frame_plan import FramePlan, Recipe, make_plan, make_recipe
from render.run.devices import choose_device, choose_dtype
from render.run.memory_checks import memory_mistakes, with_memory
from render.run.prompt_checks import (
    negative_warnings,
    revision_warnings,
    size_warnings,
    weight_mistakes,
    word_warnings,
)
from render.run.unused_keys import fallback_warnings, unused_mistakes, usual_guidance
from render.store.store import STORE_NAME
from render.timeline.timeline import Timeline, resolve
from render.video import codecs
from render.video.codecs import audio_mistake, output_mistakes
from render.video.sound import length_warning, measured

HASHES_NAME = "models.json"

Locate = Callable[[str], str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Film:
    """One run: what it renders, with what, and where it goes."""

    config: RunConfig
    folder: Path
    store: Path
    model: Model
    device: str
    scheduler: str
    """Class name of the scheduler in use; `unknown` for a model that is not downloaded yet."""
    plan: FramePlan
    images: Mapping[str, Path]
    """Where the pictures lie that frames start from or follow, by their digests."""
    loras: tuple[Lora, ...] = ()

    @property
    def frames(self) -> Path:
        """Where the run shows its frames."""
        return self.folder / "frames"

    @property
    def output(self) -> OutputConfig:
        """The video's settings with nothing left open."""
        return codecs.resolved(self.config.output, self.config.timeline.loop)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, in pixels."""
        return self.plan.recipe.width, self.plan.recipe.height


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


def sound_length(output: OutputConfig) -> float | None:
    """Seconds of the film's sound; None without sound, or without an ffmpeg to read it.

    Raises:
        ConfigError: the file holds no sound.
    """
    if output.audio is None or audio_mistake(output):
        return None
    try:
        seconds, wrong = measured(output.audio)
    except EncodeError:  # there is no ffmpeg, which encoding says with its own exit code
        return None
    if wrong:
        raise ConfigError([Mistake("output.audio", wrong)])
    return seconds


def sound_warnings(film: Film, timeline: Timeline, sound_s: float | None) -> list[str]:
    """That the sound is shorter or longer than the film, where it is."""
    audio, fps = film.config.output.audio, film.plan.fps
    if audio is None or sound_s is None:
        return []
    opens = not timeline.loop and not timeline.open and len(film.plan.frames) > 1
    told = length_warning(audio, sound_s, len(film.plan.frames), fps, opens)
    return [told] if told else []


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


def sound_model(written: ModelConfig, known: dict[str, Any]) -> Model:
    """The config's model; a folder is looked through before anything of it is loaded."""
    model = model_with_parts(written, known)
    if model.source.folder:
        check_model(model.source, model.source.folder)
        model = replace(model, notes=(*model.notes, *code_notes(model.source.folder)))
    elif model.tokenizer:
        check_index(model.tokenizer.parent / "model_index.json")
    return model


def model_with_parts(written: ModelConfig, known: dict[str, Any]) -> Model:
    """The config's model with its parts, by what lies in its files now."""
    return with_parts(resolve_model(written, known, Path()), written, known, Path())


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
        return []  # told with the recipe
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
