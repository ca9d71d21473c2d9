"""A hub model before its weights are here: its small configs, and whether the hub gives it at all.

Without torch, and within a time: a proxy or a slow network may answer at any length.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from render.errors import ConfigError, Mistake
from render.models.hub_cache import cached_folder
from render.models.hub_errors import of_the_hub
from render.models.model_source import ModelSource
from render.models.safety import check_index, mistakes_in_folder

T = TypeVar("T")

CONFIGS_S = 8.0  # what a plan waits for all of a model's configs
REACH_S = 10.0  # what a render waits for the hub's first word
INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call, or its exception.

    Raises:
        TimeoutError: it takes longer; its thread goes on and ends with the process.
    """
    answers: SimpleQueue[tuple[T, None] | tuple[None, Exception]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:
            answers.put((None, error))

    Thread(target=ask, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # it is one or the other


def planned_folder(
    repository: str, commit: str, denoiser: str
) -> tuple[Path | None, tuple[str, ...]]:
    """The snapshot of a hub model with the configs that a plan goes by, fetched if they are not on
    this machine; with a line that says so where the hub can't give them."""
    folder = cached_folder(repository, commit)
    if folder and all((folder / name).is_file() for name in planned_by(denoiser)):
        return folder, ()
    try:
        within(CONFIGS_S, partial(fetch_configs, repository, commit, denoiser))
    except Exception as error:  # the hub's client has no common base for being unreachable
        what = (
            f"{repository} is not on this machine and the hub can't give it ({of_the_hub(error)}): "
            "planned by what its config here says; frames are rendered only once it is there"
        )
        return cached_folder(repository, commit), (what,)
    return cached_folder(repository, commit), ()


def planned_by(denoiser: str) -> tuple[str, str]:
    """The configs that decide on frames: a film is not planned by one of them alone."""
    return SCHEDULER, f"{denoiser}/config.json"


def fetch_configs(repository: str, commit: str, denoiser: str) -> None:
    """Fetch the small files of a model into the hub's cache; those that it lacks are left out."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        hf_hub_download(repository, INDEX, revision=commit)
        for name in (*planned_by(denoiser), "vae/config.json"):
            try:
                hf_hub_download(repository, name, revision=commit)
            except LocalEntryNotFoundError:  # the network went away
                raise
            except EntryNotFoundError:
                pass
    finally:
        if shown:
            with suppress(Exception):
                enable_progress_bars()


def check_within_reach(source: ModelSource, planned: bool) -> None:
    """Refuse to render with a hub model that is neither here nor to be had.

    Args:
        planned: whether the film was planned by the model's own configs.

    Raises:
        ConfigError: with the reason and the ways out.
    """
    if source.folder is not None:
        return
    repository, commit = str(source.repository), str(source.revision)
    folder = cached_folder(repository, commit)
    if planned and folder:
        family = check_index(folder / INDEX)
        if not mistakes_in_folder(folder, family, source.variant):
            return
    from huggingface_hub import HfApi

    try:
        ask = partial(HfApi().model_info, repository, revision=commit, timeout=REACH_S)
        within(REACH_S, ask)
    except Exception as error:  # the hub's client has no common base for being unreachable
        raise out_of_reach(source, error) from error
    if not planned:
        what = f"{source}'s configs did not come in time to plan by; the same command tries again"
        raise ConfigError([Mistake("model.repository", what)])


def out_of_reach(source: ModelSource, error: Exception) -> ConfigError:
    """The error for a hub model that is neither here nor to be had, with the ways out."""
    revision = f" --revision {source.revision}" if source.revision else ""
    what = (
        f"{source} is not on this machine and the hub can't give it ({of_the_hub(error)}); "
        f"get it with `hf download {source.repository}{revision}`, give a folder with model=local "
        "model.path=…, or run with model=storybook"
    )
    return ConfigError([Mistake("model.repository", what)])
