"""Facts about a config's surroundings, learnt before work starts: files, model, device, recipe.

Each fact is learnt once, when it is first asked for, so that checks need not know in which order
others ask. A fact that can't be learnt is None, and `unlearnt` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from render.config.schema import RunConfig
from render.errors import ConfigError, Locate, Mistake
from render.models.controlnet_inputs import Pictures, followed_pictures
from render.models.identity import remembered
from render.models.images import start_images
from render.models.lora_files import Lora, resolve_loras
from render.models.resolve import Model
from render.plan.build import make_recipe
from render.plan.finish import Finish
from render.plan.frame_plan import Recipe
from render.run.devices import choose_device, choose_dtype
from render.run.film_model import HASHES_NAME, sound_model
from render.run.finish_facts import finish_of
from render.run.memory_checks import with_memory
from render.run.sound_checks import sound_length
from render.run.sounds import heard_sounds
from render.run.unused_keys import usual_guidance
from render.store.store import STORE_NAME
from render.timeline.heard import Heard
from render.timeline.spec import Timeline
from render.timeline.timeline import resolve

T = TypeVar("T")
Check = Callable[[RunConfig, "Facts"], Iterator[Mistake]]
"""Finds mistakes of one kind in a config."""


class Learnt(Generic[T]):
    """A fact as an attribute of `Facts`: learnt when it is first read, None if it can't be."""

    def __init__(self, find: Callable[[Facts], T | None]) -> None:
        self.find, self.name = find, find.__name__
        self.__doc__ = find.__doc__

    def __get__(self, facts: Facts, kind: type[Facts]) -> T | None:
        return facts.learn(self.name, self.find)


class Facts:
    """The facts of one config.

    Args:
        variant: a sweep job's folder under the run's, or "".
        locate: turns a dotted path into the place a person should look at.

    Attributes:
        learnt: the facts that were asked for, by name.
        reasons: why a fact could not be learnt, by its name.
        remarks: lines to warn of that came up on the way.
        hashes: of big files of weights; those of new ones are added.
    """

    def __init__(self, config: RunConfig, variant: str, locate: Locate) -> None:
        self.config, self.variant, self.locate = config, variant, locate
        self.learnt: dict[str, Any] = {}
        self.reasons: dict[str, Sequence[Mistake]] = {}
        self.remarks: list[str] = []

    def learn(self, name: str, find: Callable[[Facts], T | None]) -> T | None:
        """The fact of that name, found once; None if it can't be, with the reasons kept."""
        if name not in self.learnt:
            self.learnt[name], self.reasons[name] = None, ()
            try:
                self.learnt[name] = find(self)
            except ConfigError as error:
                self.reasons[name] = error.mistakes
        fact: T | None = self.learnt[name]
        return fact

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.config.root / self.config.name / self.variant

    @property
    def store(self) -> Path:
        """The root's store of frames."""
        return self.config.root / STORE_NAME

    @cached_property
    def hashes(self) -> dict[str, Any]:
        return remembered(self.store / HASHES_NAME)

    @property
    def place(self) -> str:
        """The device; of one that is not there only its name counts."""
        return self.device or self.config.compute.device

    @property
    def scheduler(self) -> str | None:
        """Class name of the scheduler in use; None for a model that is not downloaded yet."""
        own = self.model.scheduler if self.model else None
        return self.config.scheduler.class_name or own

    @Learnt
    def images(self) -> Mapping[Path, str] | None:
        """Digests of the pictures that keyframes start from, by their files."""
        return start_images(self.config.timeline, self.locate, self.remarks.append)

    @Learnt
    def control(self) -> Pictures | None:
        """The pictures that a ControlNet follows."""
        return followed_pictures(self.config.model.controlnet, self.remarks.append)

    @Learnt
    def timeline(self) -> Timeline | None:
        """The timeline, with what it leaves open filled in."""
        if self.sounds is None:
            return None
        return written_timeline(self.config, self.locate, self.images or {}, self.sounds)

    @Learnt
    def sounds(self) -> Mapping[str, Heard] | None:
        """The timeline's sounds by name, analysed; none where nothing follows them."""
        return heard_sounds(self.config, self.store, self.folder, self.locate)

    @Learnt
    def device(self) -> str | None:
        """`cpu`, `mps`, or `cuda` with a number perhaps."""
        return choose_device(self.config.compute)

    @Learnt
    def model(self) -> Model | None:
        """The model with its parts, as it is loaded."""
        return with_memory(sound_model(self.config.model, self.hashes), self.config.compute)

    @Learnt
    def loras(self) -> tuple[Lora, ...] | None:
        """The model's LoRAs."""
        if self.model is None:
            return None
        return resolve_loras(self.config.model, self.model, self.hashes, Path())

    @Learnt
    def dtype(self) -> str | None:
        """`float32`, `float16` or `bfloat16`."""
        half = self.model.family.half if self.model else "float16"
        return choose_dtype(self.config.compute, self.config.model, self.place, half)

    @Learnt
    def recipe(self) -> Recipe | None:
        """The recipe of all frames."""
        if self.model is None:
            return None
        return make_recipe(self.config, self.model, self.dtype or "float32")

    @Learnt
    def finish(self) -> Finish | None:
        """How the pictures that are shown are made of the frames; None if they are the frames."""
        return finish_of(self.config, self.hashes, self.store)

    @Learnt
    def sound_s(self) -> float | None:
        """Seconds of the film's sound; None without sound, too."""
        return sound_length(self.config)


def unlearnt(name: str) -> Check:
    """The check that a fact can be learnt."""

    def check(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
        getattr(facts, name)
        yield from facts.reasons[name]

    return check


def written_timeline(
    config: RunConfig,
    locate: Locate,
    images: Mapping[Path, str] | None = None,
    sounds: Mapping[str, Heard] | None = None,
) -> Timeline:
    """The config's timeline, with what it leaves open filled in."""
    guidance = usual_guidance(config)
    loras = {lora.called: lora.weight for lora in config.model.loras}
    more = (guidance, locate, images, loras, sounds)
    return resolve(config.timeline, config.sampling, config.output.fps, *more)
