"""How many threads compute on a CPU: as many as there are cores for this process; and how many
compress pictures.

torch counts the machine's, and in a container with a quota its threads then wait for one another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

GROUPS = "sys/fs/cgroup"
QUOTAS = {"": GROUPS, "cpu": f"{GROUPS}/cpu", "cpu,cpuacct": f"{GROUPS}/cpu,cpuacct"}
"""Where the groups of a controller lie; version 2 has one tree for all of them."""
MOST_COMPRESSED = 8
PATIENCE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}
"""Rounds that GNU's OpenMP, which torch comes with, waits awake: few enough for side by side, and
enough for a render alone, which is a quarter slower with 2,000."""


def threads_for(wanted: int | str) -> int | None:
    """Threads to compute with for `compute.threads`; None: what OMP_NUM_THREADS says."""
    if wanted != "auto":
        return int(wanted)
    if os.environ.get("OMP_NUM_THREADS"):
        return None
    return usable_cores(allowed_processors())


def wait_patiently(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait for others leave their core soon. It counts for a torch that is loaded
    afterwards, and only where nobody chose how threads wait.

    By default they spin for long, which is lost to everybody when there are more threads than
    cores: other shards, other renders, any other program.
    """
    if not PATIENCE.keys() & environment.keys():
        environment.update(PATIENCE)


def compressed_at_once(device: str) -> int:
    """Pictures that are compressed at a time: one beside a CPU's denoising, beside a GPU's so many
    that they keep up with few steps (1/20 s each at 512 x 512)."""
    if device == "cpu":
        return 1
    return max(1, min(MOST_COMPRESSED, usable_cores(allowed_processors()) // 2))


def allowed_processors() -> Collection[int]:
    """The numbers of the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def usable_cores(processors: Collection[int], root: Path = Path("/")) -> int:
    """Cores among these processors, where two that share one count once; at most the quota of the
    process's group, rounded up."""
    cores = {siblings(number, root) for number in processors}
    return max(1, min([len(cores), *(math.ceil(quota) for quota in quotas(root))]))


def siblings(number: int, root: Path) -> str:
    """The processors of the same core, as Linux lists them; its own number where that is
    unknown."""
    folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
    try:
        return (folder / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(number)


def quotas(root: Path) -> Iterator[float]:
    """Processors' worth of time that the process's group and those above it may use."""
    for tree, group in groups(root):
        for folder in (tree / group, *(tree / group).parents):
            with suppress(OSError, ValueError, ZeroDivisionError):
                yield quota_of(folder)
            if folder == tree:
                break


def groups(root: Path) -> Iterator[tuple[Path, str]]:
    """The process's groups that may have a quota: a tree and the place in it. In a container the
    place can be the host's; what is not there is skipped, and the tree's top is the container's."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in QUOTAS:
                yield root / QUOTAS[controllers], group.strip("/")


def quota_of(folder: Path) -> float:
    """A group's quota: of version 2, else of version 1.

    Raises:
        OSError, ValueError: it has none.
    """
    if (folder / "cpu.max").is_file():
        quota, period = (folder / "cpu.max").read_text().split()
    else:
        quota, period = (
            (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
        )
    if float(quota) <= 0:
        raise ValueError("-1 is no quota")
    return float(quota) / float(period)
