"""A ControlNet and the pictures that it follows, looked through before anything is loaded.

One picture serves all frames; of a folder, frame k follows the k-th picture by name, and pictures
beyond the film are left alone. A picture is known by its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from render.checkpoint import code_mistakes, part_mistakes
from render.config import ControlConfig
from render.errors import ConfigError, Mistake
from render.families import Family
from render.images import UnusableImage, read_image
from render.models import config_of

FOLLOWING = {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
KEY = "model.controlnet"

Pictures = tuple[tuple[Path, str], ...]
"""Files and the sha256 of each, in the order of the frames that follow them."""


def control_mistakes(path: Path, family: Family, denoiser: Mapping[str, Any]) -> Iterator[Mistake]:
    """Why a folder is no ControlNet for a model whose denoiser has this config."""
    if family.pipeline not in FOLLOWING:
        served = ", ".join(sorted(FOLLOWING))
        yield Mistake(KEY, f"{family.pipeline} follows no ControlNet; use a model of {served}")
        return
    config = config_of(path, ".")
    if config.get("_class_name") != "ControlNetModel":
        what = f"{path} is no ControlNet: give a folder in diffusers' format, with config.json"
        yield Mistake(f"{KEY}.path", what)
        return
    yield from code_mistakes(path) + part_mistakes(path, "ControlNetModel")
    for name in ("cross_attention_dim", "addition_embed_type", "block_out_channels"):
        its, wanted = config.get(name), denoiser.get(name)
        if denoiser and its != wanted:
            what = f"{path} has {name} {its}, the model's denoiser {wanted}; it is for another one"
            yield Mistake(f"{KEY}.path", what)
            return  # what follows from that one says no more


def followed_pictures(written: ControlConfig | None) -> Pictures:
    """The picture, or the folder's pictures in the order of their names, each read once.

    Raises:
        ConfigError: there is none, or some can't be used; a line each.
    """
    if written is None:
        return ()
    place = written.image.expanduser()
    files = [place]
    if place.is_dir():
        files = sorted(p for p in place.iterdir() if not p.name.startswith(".") and p.is_file())
        if not files:
            raise ConfigError([Mistake(f"{KEY}.image", f"{place} holds no pictures")])
    found, wrong = [], []
    for file in files:
        try:
            found.append((file, read_image(file)[0]))
        except UnusableImage as error:
            wrong.append(Mistake(f"{KEY}.image", f"{file} {error}"))
    if wrong:
        raise ConfigError(wrong)
    return tuple(found)


def followed(pictures: Sequence[str], index: int, count: int) -> str:
    """What a frame follows: the only picture, or the one at its place; "" if there are none.

    Raises:
        ConfigError: the folder has fewer pictures than the film has frames.
    """
    if len(pictures) < 2:
        return pictures[0] if pictures else ""
    if len(pictures) < count:
        what = (
            f"{len(pictures)} pictures for {count} frames; give one a frame, or one for all, "
            "or another output.fps"
        )
        raise ConfigError([Mistake(f"{KEY}.image", what)])
    return pictures[index]
