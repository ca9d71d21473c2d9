"""The model that is loaded, kept from one job of a sweep to the next. Without torch until one is.

What is kept renders the same pictures as what is loaded anew: nothing of an earlier job has a say
in a frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from render.config.schema import ComputeConfig
from render.engines.registry import abilities_named
from render.models.hub_configs import check_within_reach
from render.models.lora_files import Lora
from render.plan.approximations import Approximations
from render.plan.frame_plan import Recipe
from render.run.film import ResolvedFilm
from render.run.memory_checks import check_memory
from render.run.spared_warnings import libraries_spared

if TYPE_CHECKING:
    from render.diffusion.sampler import Diffusion


Settings = Callable[[ComputeConfig, str], AbstractContextManager[None]]
"""(config, device) to the context in which a model is loaded."""


class Models:
    """Loads the models of runs.

    Args:
        settings: of the process, where they are made: a command's (process_settings.applied), or
            none.

    Attributes:
        more: whether another run with this model is to come, so that it is kept, with its text
            encoders.
    """

    def __init__(self, settings: Settings = lambda compute, device: nullcontext()) -> None:
        self.settings = settings
        self.more = False
        self.loaded: Diffusion | None = None
        self.key: Any = None

    def expect(self, more: bool) -> None:
        """Keep the model after the run that begins, if another with it is to come."""
        self.more = more

    def open(
        self, film: ResolvedFilm, loras: Sequence[Lora], say: Callable[[str], None]
    ) -> Diffusion:
        """The film's model, ready for its recipe: the kept one if it serves.

        Args:
            loras: those that frames to render name.
            say: called with a line when loading begins, and while it takes long.
        """
        key = what_is_loaded(film, loras)
        if self.loaded is not None and self.key == key:
            with libraries_spared():
                self.loaded.turn_to(film.plan.recipe, film.images)
            return self.loaded
        self.drop()
        check_within_reach(film.model.source, planned=film.model.by_own_configs)
        say(f"loading {film.config.model.name} on {film.device}")
        check_memory()
        # Libraries that are imported here add filters of their own to the process's warnings.
        settings = self.settings(film.config.compute, film.device)
        with warnings.catch_warnings(), libraries_spared(), settings:
            loaded = load(film, loras, say)
        self.loaded, self.key = loaded, key
        return loaded

    def release(self) -> None:
        """The run needs it no longer."""
        if not self.more:
            self.drop()

    def drop(self) -> None:
        """Free the memory of what is kept."""
        loaded, self.loaded, self.key = self.loaded, None, None
        if loaded is not None:
            loaded.close()


def load(film: ResolvedFilm, loras: Sequence[Lora], say: Callable[[str], None]) -> Diffusion:
    """The film's model, loaded on its device."""
    batch = film.config.compute.batch
    from render.engines.open_model import open_diffusion  # torch, only now

    return open_diffusion(
        film.model.source,
        film.plan.recipe,
        film.device,
        None if batch == "auto" else batch,
        compute=film.config.compute,
        images=film.images,
        loras=loras,
        on_notice=say,
    )


def what_is_loaded(film: ResolvedFilm, loras: Sequence[Lora]) -> tuple[Any, ...]:
    """All that a loaded model depends on. Another scheduler, other steps and anchors, and other
    pictures to start from can be had of the same one, where neither its engine nor a ControlNet
    holds on to them."""
    compute, recipe = film.config.compute, film.plan.recipe
    turns = abilities_named(compute.engine).serves_other_recipes
    fixed = not turns or film.model.source.controlnet is not None
    more = (recipe, dict(film.images)) if fixed else (built_in(recipe),)
    return film.model.source, film.device, compute, tuple(loras), more


def built_in(recipe: Recipe) -> Recipe:
    """The recipe without what can be changed after a model is loaded; the content of the model's
    files stays in it, as other weights may come under their names between two jobs."""
    taken = recipe.approximations
    layers = Approximations(
        deep_cache=taken.deep_cache, block_cache=taken.block_cache, shrink=taken.shrink
    )
    return replace(recipe, scheduler="", scheduler_options={}, steps=1, approximations=layers)
