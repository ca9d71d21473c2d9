"""A hub model's identity, its commit: the pinned one, else what the local cache or the hub
says that the named revision is today.
"""

from __future__ import annotations

import re
from pathlib import Path

from render.errors import ConfigError, Mistake
from render.models.hub_errors import of_the_hub

COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_commit(repository: str, revision: str) -> str:
    """The commit a revision stands for: itself, else by the local cache, else by the hub."""
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants

    store = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    remembered = store / "refs" / revision
    if remembered.is_file():
        return remembered.read_text(encoding="utf-8").strip()
    try:
        return str(HfApi().model_info(repository, revision=revision, timeout=5).sha)
    except Exception as error:  # the hub's client has no common base for being unreachable
        what = (
            f"the hub can't say what {repository} at {revision!r} is ({of_the_hub(error)}); "
            f"pin model.revision to a commit, download it with `hf download {repository}`, give a "
            "folder with model=local model.path=…, or run with model=storybook"
        )
        raise ConfigError([Mistake("model.revision", what)]) from None


def cached_folder(repository: str, commit: str) -> Path | None:
    """The snapshot of a hub model on this machine, if there is one with its index."""
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    folder = store / "snapshots" / commit
    return folder if (folder / "model_index.json").is_file() else None
