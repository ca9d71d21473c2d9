"""Whether a model's weights fit into the memory that is free; it is known before they are loaded.

Only the headers of the files are read, so without torch. What the pictures themselves need on top
is not counted: a batch that does not fit is halved (run/frame_loop.py).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import safetensors

from render.config.schema import ComputeConfig
from render.errors import ConfigError, Mistake
from render.models.family import Family
from render.models.model_configs import read_json
from render.models.model_source import ModelSource
from render.models.safety import components, parts_beside
from render.models.single_file import HELD
from render.models.sister_pipelines import BESIDE

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
WITHOUT_VARIANT = ("model", "pytorch_model", "diffusion_pytorch_model")
COPIES = "model_ema."  # a training's running mean, which is not loaded
UNKNOWN_MEMORY = 8 << 30  # taken for a machine that does not report its memory
CGROUPS = (  # version 2, then 1: folder, limit, use, and the prefix of what can be given back
    ("sys/fs/cgroup", "memory.max", "memory.current", ""),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)


def check_fits(
    source: ModelSource,
    folder: Path,
    family: Family,
    dtype: str,
    compute: ComputeConfig,
    gpu_free: int | None,
    quantisable: bool = True,
) -> None:
    """Refuse a model whose weights alone are more than what is free.

    Args:
        folder: the model's, with its files there.
        dtype: that of the weights when they are loaded.
        compute: the settings by which they are loaded.
        gpu_free: bytes of the GPU, or None where it is not one with memory of its own.
        quantisable: whether the engine takes weights that were quantised while they were loaded.

    Raises:
        ConfigError: with the figures, and what would make it fit.
    """
    counts = weight_counts(source, folder, family)
    needs = need_of(counts, family, dtype, compute.quantised)
    main = available_memory()
    ways_in = partial(ways_out, counts, family, dtype, compute, quantisable and not source.file)
    if main is not None and needs.total > main:
        ways = ways_in(main)
        raise too_big(source, needs.total, "main memory", dtype, main, ways)
    if gpu_free is None or compute.offload == "sequential":
        return
    need = needs.total if compute.offload == "none" else needs.largest
    if need > gpu_free:
        ways = ways_in(gpu_free)
        if compute.offload == "none" and needs.largest <= gpu_free:
            ways.insert(0, f"compute.offload=model ({gigabytes(needs.largest)} at a time)")
        ways.insert(0 if needs.largest > gpu_free else 1, "compute.offload=sequential")
        raise too_big(source, need, "the GPU's memory", dtype, gpu_free, ways)


class Need:
    """Bytes of all parts, and of the largest."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        self.total = sum(parts.values())
        self.largest = max(parts.values(), default=0)


def need_of(counts: Mapping[str, int], family: Family, dtype: str, quantised: str) -> Need:
    """The bytes of the weights when they are loaded so."""
    kinds = {family.denoiser: quantised} if quantised != "none" else {}
    return Need({part: n * BYTES[kinds.get(part, dtype)] for part, n in counts.items()})


def ways_out(
    counts: Mapping[str, int],
    family: Family,
    dtype: str,
    compute: ComputeConfig,
    quantisable: bool,
    free: int,
) -> list[str]:
    """The settings of dtype and quantisation with which it fits, each with the bytes it then takes;
    and a smaller model."""
    tries = [("compute.dtype=bfloat16", "bfloat16", compute.quantised)] if BYTES[dtype] > 2 else []
    if compute.quantised == "none" and quantisable:
        tries.append(("compute.quantised=int8", dtype, "int8"))
        if BYTES[dtype] > 2:
            tries.append(("both", "bfloat16", "int8"))
    takes = [(words, need_of(counts, family, kind, bits).total) for words, kind, bits in tries]
    fitting = [f"{words} ({gigabytes(total)})" for words, total in takes if total <= free]
    if fitting and fitting[0].startswith("both"):
        fitting[0] = fitting[0].replace("both", "compute.dtype=bfloat16 compute.quantised=int8")
    return [*(way for way in fitting if not way.startswith("both")), "a smaller model"]


def too_big(
    source: ModelSource, need: int, where: str, dtype: str, free: int, ways: list[str]
) -> ConfigError:
    """The error for a model that does not fit."""
    what = (
        f"the weights of {source} take {gigabytes(need)} of {where} as {dtype}, and "
        f"{gigabytes(free)} are free; what would fit: {', or '.join(ways)} (model=storybook)"
    )
    return ConfigError([Mistake("model", what)])


def gigabytes(count: int) -> str:
    """Bytes as a person compares them."""
    return f"{count / 1e9:.1f} GB"


# --- what a model is -----------------------------------------------------------------------------


def weight_counts(source: ModelSource, folder: Path, family: Family) -> dict[str, int]:
    """Numbers in the weights of each part that is loaded."""
    index = components(read_json(folder / "model_index.json"))
    parts = parts_beside(source, folder, family) if source.file else dict.fromkeys(index, "")
    counts = {
        part: sum(count(file) for file in weight_files(folder / part, source.variant))
        for part in parts
        if part not in family.loading and part not in BESIDE
    }
    if source.file:
        beside = tuple(prefix for prefixes in HELD.values() for prefix in prefixes)
        counts["the other parts"] = count(source.file, beside)
        counts[family.denoiser] = count(source.file) - counts["the other parts"]
    if source.vae:
        files = weight_files(source.vae, None) if source.vae.is_dir() else [source.vae]
        counts["vae"] = sum(map(count, files))
    return counts


def weight_files(component: Path, variant: str | None) -> list[Path]:
    """The files that diffusers loads of those that may lie there in several precisions."""
    files = sorted(component.glob("*.safetensors"))
    plain = re.compile(rf"({'|'.join(WITHOUT_VARIANT)})(-\d+-of-\d+)?\.safetensors")
    if variant:
        return [file for file in files if f".{variant}" in file.name] or files
    return [file for file in files if plain.fullmatch(file.name)] or files


def count(file: Path, prefixes: tuple[str, ...] = ("",)) -> int:
    """Numbers in the tensors of a file whose names begin so."""
    with safetensors.safe_open(file, framework="numpy") as opened:
        names = [
            name
            for name in opened.keys()  # noqa: SIM118
            if name.startswith(prefixes) and not name.startswith(COPIES)
        ]
        return sum(math.prod(opened.get_slice(name).get_shape()) for name in names)


# --- what there is -------------------------------------------------------------------------------


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes of main memory that a process can still have, swap included; None where the system does
    not report it (Linux does). A container's limit counts."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        fitting = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line}
        host = fitting["MemAvailable"] + fitting.get("SwapFree", 0)
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return max(0, min([host, *cgroup_free(root)]))


def whole_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory that the machine has, or the container that this process is in."""
    try:
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        host = UNKNOWN_MEMORY
    return min([host, *(limit for limit, *_ in limits(root))])


def cgroup_free(root: Path) -> Iterator[int]:
    """The bytes that are left under the limit of each control group of this process."""
    for most, group, use, prefix in limits(root):
        try:
            used = int((group / use).read_text(encoding="ascii"))
            lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        stat = {key: int(value) for key, value in map(str.split, lines)}
        cached = ("active_file", "inactive_file")  # of files, and given back when needed
        yield most - used + sum(stat.get(prefix + key, 0) for key in cached)


def limits(root: Path) -> Iterator[tuple[int, Path, str, str]]:
    """The limit in bytes of each control group that has one, its folder, and the files that hold
    its use and the bytes that can be given back."""
    for base, limit, use, prefix in CGROUPS:
        top = root / base
        for group in {top, *groups_of(root, top)}:
            with suppress(OSError, ValueError):  # no such group, or no limit ("max")
                yield int((group / limit).read_text(encoding="ascii")), group, use, prefix


def groups_of(root: Path, top: Path) -> Iterator[Path]:
    """The folders of this process's control groups, from the innermost outwards."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        group = top / line.rpartition(":")[2].lstrip("/")
        while group != top and top in group.parents:
            yield group
            group = group.parent
