"""`render promote RUN …`: drafts that were chosen, rendered exactly and at their full size.

A final film shares with its draft all that the store has of it already. How far the draft was from
it is measured.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from render.api import Film
from render.cli.compose import compose
from render.cli.from_film import check_model, chosen, timeline_of, values_beside
from render.cli.recipes import CONFIG, FileRecipe, of_config
from render.errors import ConfigError, Mistake, RenderError
from render.run.runs import FRAME
from render.store.judge import names_in
from render.store.plan_digests import frames_in
from render.text import plural

FINAL = "final-"
SPEED_KEYS = (
    "anchors", "early_steps", "guidance_interval", "deep_cache", "block_cache", "every",
    "fewer_steps", "shrink",
)  # fmt: skip
"""The keys of `sampling` that a speed sets."""
SHOWN = 3  # runs that a name may have meant
MOST_FRAMES = 200  # of a draft that are compared
LARGEST_PSNR = 99.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A run that is about to be promoted.

    Attributes:
        root, variant: the folder of all runs, and a sweep job's folder under the run's, or "".
    """

    folder: Path
    recipe: FileRecipe
    root: Path
    variant: str


def promoted(arguments: Sequence[str], say: Callable[[str], None]) -> Iterator[Film]:
    """The final films of drafts; after each is rendered, how far its draft was from it is said.

    Args:
        arguments: the drafts' folders, and overrides for all of them.
        say: is called with a line.

    Raises:
        ConfigError: one is no run, or an override is wrong; nothing is rendered.
    """
    folders = [Path(word).expanduser() for word in arguments if is_folder(word)]
    overrides = [word for word in arguments if not is_folder(word)]
    if not folders:
        what = "needs one run or more: render promote outputs/city/sampling.guidance=3"
        raise ConfigError([Mistake("render promote", what)])
    if speeds := [word for word in overrides if word.lstrip("+").startswith("sampling.speed=")]:
        raise ConfigError([Mistake(speeds[0], "promote renders the exact film; leave it out")])
    drafts = [draft_in(meant(folder)) for folder in folders]
    if finals := [draft for draft in drafts if not (is_draft(draft) or overrides)]:
        what = "is no draft: it is the exact film, as far as it is there"
        raise ConfigError([Mistake(str(draft.folder), what) for draft in finals])
    films = [final_film(draft, overrides) for draft in drafts]
    check_finals(drafts, films, overrides)
    for draft, film in zip(drafts, films, strict=True):
        before = pictures_of(draft.folder)
        yield film
        if line := changed(before, film):
            say(f"{draft.folder}: {line}")


def check_finals(drafts: Sequence[Draft], films: Sequence[Film], overrides: Sequence[str]) -> None:
    """Refuse final films that are not those of their drafts, or would replace each other.

    Raises:
        ConfigError: one is another model's or begins from other pictures, or two share a folder.
    """
    mistakes, folders = [], dict[Path, str]()
    for draft, film in zip(drafts, films, strict=True):
        plan = film.resolved.plan
        if not chosen(overrides):
            check_model(draft.recipe, film)
        if pictures_named(draft.folder) - {
            digest for f in plan.frames for digest, _ in f.spec.start
        }:
            what = "began from pictures that are others here; call promote where it was rendered"
            mistakes.append(Mistake(str(draft.folder), what))
        if folders.setdefault(film.folder, plan.digest) != plan.digest:
            what = f"{film.folder} would be the folder of two films; promote them one by one"
            mistakes.append(Mistake(str(draft.folder), f"{what}, with a name= each"))
    if mistakes:
        raise ConfigError(mistakes)


def pictures_named(folder: Path) -> set[str]:
    """The digests of the pictures that a run's frames began from."""
    try:
        frames = [each for each in frames_in(folder / "plan.json") if isinstance(each, dict)]
        return {str(digest) for frame in frames for digest, _ in frame.get("images", ())}
    except (OSError, ValueError, TypeError):
        return set()


def is_folder(word: str) -> bool:
    """Whether a word is a run's folder, which may have a = in its name, and no override."""
    key, equals, _ = word.partition("=")
    return not equals or os.sep in key or os.path.isdir(os.path.expanduser(word))


def meant(folder: Path) -> Path:
    """The folder that is meant, if only some of its overrides are written.

    Raises:
        ConfigError: several have these overrides.
    """
    if folder.is_dir() or not folder.parent.is_dir():
        return folder
    written = {*folder.name.split(",")}
    found = [
        each
        for each in sorted(folder.parent.iterdir())
        if (each / CONFIG).is_file() and written <= {*each.name.split(",")}
    ]
    if len(found) > 1:
        some = ", ".join(each.name for each in found[:SHOWN])
        what = f"{len(found)} runs have these overrides, {some}{' …' if len(found) > SHOWN else ''}"
        raise ConfigError([Mistake(str(folder), f"{what}; write more of them")])
    return found[0] if found else folder


def is_draft(draft: Draft) -> bool:
    """Whether a run's frames are approximations, by its config."""
    sampling = draft.recipe.config.get("sampling")
    values = sampling if isinstance(sampling, dict) else {}
    return values.get("speed", "exact") != "exact" or any(map(values.get, SPEED_KEYS))


def draft_in(folder: Path) -> Draft:
    """The draft in a folder.

    Raises:
        ConfigError: there is no run.
    """
    if not (folder / CONFIG).is_file():
        what = f"is no run's folder: it holds no {CONFIG}; render list shows the runs"
        raise ConfigError([Mistake(str(folder), what)])
    recipe, whole = of_config(folder / CONFIG), Path(os.path.abspath(folder))
    name = str(recipe.config.get("name"))
    for variant, above in (("", whole), (whole.name, whole.parent)):
        if above.name == name:
            return Draft(folder, recipe, Path(os.path.relpath(above.parent)), variant)
    what = f"is not where its run was; its folder, or the one above, has to be called {name}"
    raise ConfigError([Mistake(str(folder), what)])


def final_film(draft: Draft, overrides: Sequence[str]) -> Film:
    """The film of a draft, without what makes it one."""
    exact = {"speed": "exact", **dict.fromkeys(SPEED_KEYS)}
    values = values_beside(draft.recipe, timeline_of(draft.recipe), overrides)
    sampling = values.get("sampling")
    values["sampling"] = {**(sampling if isinstance(sampling, dict) else {}), **exact}
    given = [f"root={draft.root}", *overrides]
    composed = compose(timeline_of(draft.recipe), given, values)
    return Film(composed.config, final_variant(draft.variant), composed.locate)


def final_variant(variant: str) -> str:
    """The folder of a final film under its run's: the draft's without its speed. A name with a hash
    at its end is not whole without it."""
    parts = variant.split(",")
    kept = [part for part in parts if not part.startswith("sampling.speed=")]
    if not variant:
        return ""
    whole = not re.search(r"-[0-9a-f]{8}$", variant)
    return ",".join(kept) if whole and kept and len(kept) < len(parts) else f"{FINAL}{variant}"


def pictures_of(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Some frames of a run, evenly chosen, by their names: uint8, (H, W, 3)."""
    names = sorted(filter(FRAME.fullmatch, names_in(folder / "frames")))
    every = -(-len(names) // MOST_FRAMES) or 1
    return {name: picture(folder / "frames" / name) for name in names[::every]}


def picture(file: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A frame's pixels, in a size of its own or in this one (width, height)."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            plain = image.convert("RGB")
            sized = (
                plain if size in (None, plain.size) else plain.resize(size, Image.Resampling.BOX)
            )
            return np.asarray(sized)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RenderError(f"{file}: can't be read: {error}") from error


def changed(before: dict[str, NDArray[np.uint8]], film: Film) -> str:
    """How far a draft was from its final film; empty if they have no frames in common."""
    frames = film.opened.frames
    names = {f"frame_{frame.index:06d}.png": frame for frame in film.opened.plan.frames}
    found = [
        (error(old, picture(frames / name, (old.shape[1], old.shape[0]))), name)
        for name, old in before.items()
        if name in names and (frames / name).is_file()
    ]
    if not found:
        return ""
    worst, where = max(found)
    if not worst:
        return f"the draft was the same picture in all of {plural(len(found), 'frame')}"
    return (
        f"the draft was {psnr(sum(each for each, _ in found) / len(found)):.1f} dB from the film, "
        f"and {psnr(worst):.1f} dB at {float(names[where].time):.2f} s "
        f"({plural(len(found), 'frame')}, at the draft's size)"
    )


def error(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean squared error of two pictures."""
    return float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))


def psnr(error: float) -> float:
    """Peak signal to noise ratio of a mean squared error, in dB."""
    return LARGEST_PSNR if error == 0 else min(LARGEST_PSNR, 10 * math.log10(255**2 / error))
