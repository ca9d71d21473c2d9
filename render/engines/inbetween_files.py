"""The way to make pictures in between, by what a person wrote. Without torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from render.config.output_group import NONE, OutputConfig, Script
from render.engines.film_inbetweens import KEY, opened, opened_script
from render.engines.film_shape import film_shape
from render.errors import ConfigError, Mistake
from render.models.identity import file_hash
from render.models.single_file import FLOATS, PICKLES, shapes_in, types_in
from render.video.inbetweens import INBETWEENS, Inbetween

PROGRAMS = {".torchscript", *PICKLES}
FILE_VERSION = SCRIPT_VERSION = 1
"""Raised by hand when the same pictures would give others."""


def way_of(output: OutputConfig) -> Inbetween | None:
    """The way that a config asks for; None if nothing is to lie in between."""
    wanted = output.inbetween
    if isinstance(wanted, Script):
        return Inbetween(partial(opened_script, wanted.file), SCRIPT_VERSION, weights=wanted.file)
    if isinstance(wanted, Path):
        return Inbetween(partial(opened, wanted), FILE_VERSION, weights=wanted)
    return None if wanted == NONE else INBETWEENS[wanted]


def called(output: OutputConfig) -> str:
    """The way's name, as people read it."""
    wanted = output.inbetween
    if isinstance(wanted, Script):
        return wanted.file.stem
    return wanted.stem if isinstance(wanted, Path) else wanted


def identity_of(output: OutputConfig, hashes: dict[str, Any]) -> str:
    """The identity of the way, with its version and its weights.

    Args:
        hashes: of big files, as `file_hash` remembers them.

    Raises:
        ConfigError: its file can't be read, is none that is known, or has another hash.
    """
    wanted, way = output.inbetween, way_of(output)
    if way is None:
        return ""
    if isinstance(wanted, Path) and wanted.suffix.lower() in PROGRAMS:
        what = (
            f"{wanted} can run code; give a .safetensors, or, if it is TorchScript that you trust"
        )
        asked = f"output.inbetween={{file: {wanted}, sha256: HASH}}"
        raise ConfigError([Mistake(KEY, f"{what}, its publisher's hash as well: {asked}")])
    if isinstance(wanted, Path) and (odd := {*types_in(wanted, KEY).values()} - {*FLOATS}):
        what = f"{wanted} holds weights of {', '.join(sorted(odd))}, not {', '.join(FLOATS)}"
        raise ConfigError([Mistake(KEY, f"{what}; give another file")])
    if isinstance(wanted, Path) and film_shape(shapes_in(wanted, KEY)) is None:
        what = f"{wanted} has no weights of FILM under the names of its PyTorch port"
        raise ConfigError([Mistake(KEY, f"{what}; give another file, or flow")])
    if isinstance(wanted, Script) and wanted.file.suffix.lower() == ".safetensors":
        what = f"{wanted.file} is no TorchScript; give it by its path alone"
        raise ConfigError([Mistake(KEY, what)])
    weights = [hash_of(way.weights, hashes)] if way.weights else []
    if isinstance(wanted, Script) and weights != [wanted.sha256]:
        what = f"{wanted.file} has the sha256 {weights[0]}, and not the one given"
        raise ConfigError([Mistake(KEY, f"{what}; download it again")])
    kind = "torchscript" if isinstance(wanted, Script) else "film"
    name = wanted if isinstance(wanted, str) else f"file {kind}"
    return " ".join([name, str(way.version), *weights])


def hash_of(file: Path, hashes: dict[str, Any]) -> str:
    """The sha256 of a file.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return file_hash(file, hashes)
    except OSError as error:
        what = f"{file} can't be read: {error.strerror or error}"
        raise ConfigError([Mistake(KEY, what)]) from None
