"""Where the weights of a model are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's weights are: a diffusers folder, or a repository of the hub at a commit."""

    folder: Path | None
    repository: str | None
    revision: str | None
    variant: str | None
    family: str | None
    file: Path | None = None
    """A checkpoint in one file, whose configs are in the folder."""
    vae: Path | None = None
    """Folder or file of another VAE."""
    clip_skip: int | None = None
    long_prompts: bool = False
    words: tuple[tuple[Path, str], ...] = ()
    """Files of learned words, each with its token."""
    controlnet: tuple[Path, float] | None = None
    """Folder of a ControlNet, and the scale of what it adds."""

    def __str__(self) -> str:
        if self.file is not None:
            return str(self.file)
        if self.folder is not None:
            return str(self.folder)
        return f"{self.repository}@{self.revision}" if self.revision else str(self.repository)
