"""The upscaler of a film, by what a person wrote and by the model. Without torch.

A file of Compact's shape is read by render itself. Any other goes through spandrel, which knows
some forty architectures (ESRGAN, SPAN, SwinIR, DAT …) by their weights.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from render.config.output_group import NONE, OutputConfig
from render.engines.compact_shape import compact_shape
from render.errors import ConfigError, Mistake
from render.models.identity import file_hash
from render.models.single_file import shapes_in
from render.plan.finish import Upscaler

KEY = "output.upscale"
OF_THE_MODEL = "model.upscaler"
LANCZOS_VERSION = COMPACT_VERSION = SPANDREL_VERSION = 1
"""Raised by hand when the same picture would become another one."""
LARGEST_FACTOR = 8


def upscaler_for(
    output: OutputConfig,
    of_the_model: Path | None,
    hashes: dict[str, Any],
    factors: MutableMapping[str, int],
) -> Upscaler | None:
    """The upscaler of a film; None if its pictures stay as large as its frames.

    Args:
        of_the_model: the file of the model's own upscaler.
        hashes: of big files, as `file_hash` remembers them.
        factors: of upscalers that spandrel reads, by their sha256; a new one's is added.

    Raises:
        ConfigError: there is no such file, or it can't be read.
    """
    wanted = output.upscale
    if wanted == NONE or (wanted is None and of_the_model is None):
        return None
    if isinstance(wanted, Path):
        return of_file(wanted, KEY, hashes, factors)
    if of_the_model is None:
        factor = int(wanted or 1)
        return Upscaler("Lanczos", factor, f"lanczos {LANCZOS_VERSION}")
    own = of_file(of_the_model, OF_THE_MODEL, hashes, factors)
    return own if wanted is None else repeated(own, int(wanted))


def repeated(own: Upscaler, wanted: int) -> Upscaler:
    """The model's own upscaler, used as often as it takes.

    Raises:
        ConfigError: that never gives the factor.
    """
    for times in (1, 2):
        if own.factor**times == wanted:
            return Upscaler(own.called, own.factor, own.identity, own.file, times)
    what = f"the model's own upscaler makes pictures {own.factor} times as large, never {wanted}"
    raise ConfigError([Mistake(KEY, f"{what}; leave it out, or give a file")])


def of_file(
    file: Path, key: str, hashes: dict[str, Any], factors: MutableMapping[str, int]
) -> Upscaler:
    """The upscaler of a file of weights.

    Raises:
        ConfigError: it is not there, a pickle, or no upscaler that is known.
    """
    shapes = shapes_in(file, key)
    try:
        sha256 = file_hash(file, hashes)
    except OSError as error:
        what = f"{file} can't be read: {error.strerror or error}"
        raise ConfigError([Mistake(key, what)]) from None
    if shape := compact_shape(shapes):
        if not 1 <= shape.factor <= LARGEST_FACTOR:
            what = f"{file} makes pictures {shape.factor} times as large, not 1 to {LARGEST_FACTOR}"
            raise ConfigError([Mistake(key, f"{what}; give another file")])
        return Upscaler(file.stem, shape.factor, f"compact {COMPACT_VERSION} {sha256}", file)
    factor = factors.get(sha256)
    if factor is None:
        factor = factors[sha256] = factor_by_spandrel(file, key)
    return Upscaler(file.stem, factor, f"spandrel {SPANDREL_VERSION} {sha256}", file)


def factor_by_spandrel(file: Path, key: str) -> int:
    """How much larger an upscaler makes pictures, as spandrel finds out by reading it.

    Raises:
        ConfigError: spandrel is not there, or does not know such a file.
    """
    if missing := [name for name in ("spandrel", "torchvision") if find_spec(name) is None]:
        names = " ".join(missing)
        what = (
            f"{file} is read by spandrel, which needs {names} here: pip install {names} "
            "(torchvision of the same build as torch); files of Real-ESRGAN's Compact need neither"
        )
        raise ConfigError([Mistake(key, what)])
    from render.engines.by_spandrel import read  # torch

    try:
        return int(read(file, "cpu").scale)
    except Exception as error:  # of another package, about a file of unknown content
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        what = f"{file} is no upscaler that spandrel can read: {said}"
        raise ConfigError([Mistake(key, what)]) from None
