"""A ControlNet and the pictures that it follows, looked through before anything is loaded.

One picture serves all frames; of a folder, frame k follows the k-th picture by name, where numbers
count as numbers (`frame2` before `frame10`), and pictures beyond the film are left alone. A picture
is known by its content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from render.config.model_group import ControlConfig
from render.errors import ConfigError, Mistake
from render.models.code_in_folders import mistakes_in_code
from render.models.families import FAMILIES
from render.models.family import Family
from render.models.images import UnusableImage, read_image
from render.models.model_configs import config_of
from render.models.safety import mistakes_in_component

KEY = "model.controlnet"
NUMBER = re.compile(r"(\d+)")
RGB = 3  # channels
NAMED = 5  # files that a warning names
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""Names that promise a picture: such a file is never passed over."""

Pictures = tuple[tuple[Path, str], ...]
"""Files and the digest of each, in the order of the frames that follow them."""


def mistakes_in_controlnet(
    path: Path, family: Family, denoiser: Mapping[str, Any]
) -> Iterator[Mistake]:
    """Why a folder is no ControlNet for a model whose denoiser has this config."""
    if not family.controlnets:
        served = ", ".join(sorted(f.pipeline for f in FAMILIES.values() if f.controlnets))
        yield Mistake(KEY, f"{family.pipeline} follows no ControlNet; use a model of {served}")
        return
    config = config_of(path, ".")
    if config.get("_class_name") != "ControlNetModel":
        what = f"{path} is no ControlNet: give a folder in diffusers' format, with config.json"
        yield Mistake(f"{KEY}.path", what)
        return
    yield from mistakes_in_code(path) + mistakes_in_component(path, "ControlNetModel")
    if (channels := config.get("conditioning_channels", RGB)) != RGB:
        what = f"{path} follows pictures of {channels} channels; only those of {RGB} are given here"
        yield Mistake(f"{KEY}.path", what)
        return
    for name in ("cross_attention_dim", "addition_embed_type", "block_out_channels"):
        its, wanted = config.get(name), denoiser.get(name)
        if denoiser and its != wanted:
            what = f"{path} has {name} {its}, the model's denoiser {wanted}; it is for another one"
            yield Mistake(f"{KEY}.path", what)
            return  # what follows from that one says no more


def is_pooled(path: Path) -> bool:
    """Whether a ControlNet adds the same everywhere in the picture, as the shuffling one does."""
    return bool(config_of(path, ".").get("global_pool_conditions"))


def leaving_negatives(family: Family, controlnet: tuple[Path, float] | None) -> Family:
    """The family with negatives read apart from prompts beside a ControlNet that pools: as in the
    stock pipeline it controls the prompts' rows alone, so an equal text needs a row for each."""
    if controlnet is None or family.negative or not is_pooled(controlnet[0]):
        return family
    return replace(family, negative=as_a_prompt)


def as_a_prompt(pipeline: Any, text: str) -> dict[str, Any]:
    """A negative that is read as a prompt is."""
    return {"prompt": text}


def followed_pictures(
    written: ControlConfig | None, remark: Callable[[str], None] = lambda line: None
) -> Pictures:
    """The picture, or the folder's pictures in the order of their names, each read once.

    Args:
        remark: gets a line for each whose colours can't be followed.

    Raises:
        ConfigError: there is none, or some can't be used; a line each.
    """
    if written is None:
        return ()
    place = written.image.expanduser()
    files = sorted(visible_files(place), key=natural) if place.is_dir() else [place]
    found, wrong = [], []
    for file in files:
        try:
            found.append((file, read_image(file, remark)[0]))
        except UnusableImage as error:
            if file == place or file.suffix.lower() in SUFFIXES:
                wrong.append(Mistake(f"{KEY}.image", f"{file} {error}"))
    if not (found or wrong):
        wrong = [Mistake(f"{KEY}.image", f"{place} holds no pictures")]
    if wrong:
        raise ConfigError(wrong)
    return tuple(found)


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder, without hidden ones."""
    return [p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()]


def natural(file: Path) -> tuple[tuple[int | str, ...], str]:
    """A key that sorts names by their texts and numbers in turn: frame2 before frame10."""
    parts = NUMBER.split(file.name)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), file.name


def picture_warnings(written: ControlConfig | None, pictures: Pictures) -> Iterator[str]:
    """Warnings about files of a folder that are passed over, and about a surprising order."""
    if written is None or not (place := written.image.expanduser()).is_dir():
        return
    files = [file for file, _ in pictures]
    strays = sorted(p.name for p in place.iterdir() if p.is_file() and p not in files)
    if strays:
        yield f"{KEY}.image: {listed(strays)} in {place} {are(strays)} no picture, so passed over"
    yield from order_warnings(files)


def order_warnings(files: Sequence[Path]) -> Iterator[str]:
    """Where names and numbers disagree, and numbers that are missing or doubled."""
    by_letter = sorted(files)
    by_number = f"{KEY}.image: frame k follows the k-th picture"
    if by_letter != list(files):
        place = next(
            k for k, pair in enumerate(zip(files, by_letter, strict=True)) if len({*pair}) > 1
        )
        later, sooner = by_letter[place].name, files[place].name
        yield f"{by_number} by number, not by letter: {sooner} before {later}"
    for one, two in pairwise(files):
        first, second = (NUMBER.findall(file.stem) for file in (one, two))
        if not (first and second):
            continue
        step = int(second[-1]) - int(first[-1])
        alike = NUMBER.split(one.stem)[:-2] == NUMBER.split(two.stem)[:-2]
        if step > 1 and alike:
            yield f"{by_number}; numbers are missing between {one.name} and {two.name}"
            return
        if step == 0 and alike:
            yield f"{by_number}; {one.name} and {two.name} have the same number"
            return
        if step < 0 and not alike:
            yield f"{by_number}; names and numbers disagree: {one.name} comes before {two.name}"
            return


def listed(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def are(names: Sequence[str]) -> str:
    """The verb for one or more."""
    return "is" if len(names) == 1 else "are"


def followed(pictures: Sequence[str], index: int, count: int) -> str:
    """The picture that a frame follows: the only one, or the one at its place; "" if there are
    none.

    Raises:
        ConfigError: the folder has fewer pictures than the film has frames.
    """
    if len(pictures) < 2:
        return pictures[0] if pictures else ""
    if len(pictures) < count:
        what = (
            f"{len(pictures)} pictures for {count} frames; give one a frame, or one for all, "
            "or another output.fps (output.rendered_fps, if that is set)"
        )
        raise ConfigError([Mistake(f"{KEY}.image", what)])
    return pictures[index]
