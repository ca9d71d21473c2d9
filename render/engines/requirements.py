"""The requirements of engines: devices, packages, compilers. Without torch.

No engine is part of a frame's identity: all compute the same picture, to within rounding.
"""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from render.config.model_group import ModelConfig
from render.config.schema import RunConfig
from render.engines.protocol import Abilities
from render.engines.registry import KEY, as_loaded
from render.errors import Mistake
from render.models.resolve import Model
from render.plan.approximations import approximations_of

OTHERWISE = "use compute.engine=torch"
COMPILED_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def mistakes_in_whole_networks(
    engine: str, does: str, config: RunConfig, abilities: Abilities | None = None
) -> Iterator[Mistake]:
    """Settings that don't go with an engine that computes whole networks in place.

    Args:
        does: to the weights, once: `compiles` or `converts`.
        abilities: the engine's; the defaults if left out.
    """
    compute = as_loaded(config.compute, abilities or Abilities())
    yield from mistakes_in_additions(f"{engine} {does}", config.model)
    refused = {
        "offload": compute.offload != "none",
        "quantised": compute.quantised != "none",
        "vae_tiling": compute.vae_tiling,
        "kernels": compute.kernels != "auto",
    }
    for key, asked in refused.items():
        if asked:
            what = f"{engine} computes whole networks in place; {OTHERWISE} with it"
            yield Mistake(f"compute.{key}", what)
    if approximations_of(config.sampling).block_cache:
        what = f"{engine} computes whole networks, and so no blocks apart"
        yield Mistake("sampling.block_cache", f"{what}; leave it out, or {OTHERWISE}")
    if approximations_of(config.sampling).deep_cache > 1:
        what = f"{engine} computes whole networks, and so no deep features apart"
        yield Mistake("sampling.deep_cache", f"{what}; use sampling.deep_cache=1, or {OTHERWISE}")


def mistakes_in_additions(engine_does: str, written: ModelConfig) -> Iterator[Mistake]:
    """Refuse additions to a network that change from frame to frame."""
    does = f"{engine_does} a network as it is"
    if written.loras:
        yield Mistake("model.loras", f"{does} and LoRAs change it; {OTHERWISE} with them")
    if written.controlnet:
        yield Mistake("model.controlnet", f"{does} and a ControlNet adds to it; {OTHERWISE}")


def mistakes_with_openvino(device: str, model: Model) -> Iterator[Mistake]:
    """OpenVINO here is for CPUs and U-Nets, and an optional package."""
    if find_spec("openvino") is None:
        what = "openvino needs a package that is not here: pip install openvino"
        yield Mistake(KEY, what)
    if device != "cpu":
        what = f"openvino computes on the CPU, but this run is on {device}"
        yield Mistake(KEY, f"{what}; use compute=openvino or compute.engine=torch")
    if not model.family.converts:
        what = f"openvino computes U-Nets, but {model.family.pipeline} has a transformer"
        yield Mistake(KEY, f"{what}; {OTHERWISE}")


def mistakes_with_int8(config: RunConfig) -> Iterator[Mistake]:
    """OpenVINO's networks are put in 8 bits by another package."""
    if config.compute.quantised != "none" and find_spec("nncf") is None:
        what = "int8 with openvino needs nncf, which is not here"
        yield Mistake("compute.quantised", f"{what}: pip install nncf")


def mistakes_with_compiler(device: str) -> Iterator[Mistake]:
    """The compiler that torch.compile calls to make machine code has to be there."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        if find_spec("triton") is None:
            what = "compiled needs triton on a GPU, which is not here: pip install triton"
            yield Mistake(KEY, f"{what}, or {OTHERWISE}")
        if not any(map(shutil.which, (os.environ.get("CC", "gcc"), "clang", "cc"))):
            yield Mistake(KEY, f"compiled needs a C compiler on a GPU; install gcc, or {OTHERWISE}")
    elif kind == "cpu":
        usual = "clang++" if platform.system() == "Darwin" else "g++"
        compiler = os.environ.get("CXX") or usual
        if shutil.which(compiler) is None:
            what = f"compiled needs a C++ compiler on a CPU, and {compiler} is not here"
            yield Mistake(KEY, f"{what}; install it, name another in CXX, or {OTHERWISE}")
        elif not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
            what = "compiled needs Python's headers on a CPU, and Python.h is not here"
            yield Mistake(KEY, f"{what}; install python3-dev, or {OTHERWISE}")
    else:
        yield Mistake(
            KEY, f"compiled is for CPUs and CUDA, but this run is on {device}; {OTHERWISE}"
        )


def cache_folder() -> Path:
    """Where engines keep what they made: $XDG_CACHE_HOME/render, else ~/.cache/render."""
    asked = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (asked if asked.is_absolute() else Path.home() / ".cache") / "render"


def keep_compiled() -> None:
    """Let torch keep what it compiles where it outlasts a restart, unless a person said where.

    To be called before torch is imported, which settles it.
    """
    os.environ.setdefault(COMPILED_CACHE, str(cache_folder() / "inductor"))
