"""The cost of a long film before anything is rendered: python benchmarks/plan_and_check.py

Prints seconds and peak memory of `--help`, of a config error, of a plan of 100,000 frames, and of a
run that finds 10,000 finished frames. Each is a process of its own; nothing is asserted.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from product import composed, declared

from render.store.store import commit

CHECKOUT = Path(__file__).resolve().parent.parent
FRAMES = 10_000
LONG = 100_000
SIDE = 64
SMALL = (f"output.width={SIDE}", f"output.height={SIDE}")
TIMELINE = "keyframes: [{{at: 0, prompt: one, seed: 1}}, {{at: {last}f, prompt: two, seed: 2}}]\n"


def main() -> None:
    """All figures, one line each, with machine and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("pydantic", "hydra-core", "pillow"))
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}")
    print(f"Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        measure("--help", folder, "--help")
        measure("a config error", folder, "+timeline=long", "output.fbs=3")
        measure(f"a plan of {LONG:,} frames", folder, "+timeline=long", "mode=plan", *SMALL)
        fill_store(folder)
        measure(
            f"{FRAMES:,} finished frames linked",
            *(folder, "+timeline=done", "output=frames", *SMALL),
        )
        measure(
            f"{FRAMES:,} finished frames checked",
            *(folder, "+timeline=done", "output=frames", *SMALL),
        )


def prepare(folder: Path) -> None:
    """Two timelines; the model is the embedded one."""
    for name, frames in (("long", LONG), ("done", FRAMES)):
        path = folder / "configs" / "timeline" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TIMELINE.format(last=frames - 1))


def fill_store(folder: Path) -> None:
    """A picture of noise for every frame of the shorter film."""
    keyframes = [
        {"at": 0, "prompt": "one", "seed": 1},
        {"at": f"{FRAMES - 1}f", "prompt": "two", "seed": 2},
    ]
    film = declared(composed(SMALL, keyframes, folder / "outputs", "done"))
    noise = np.random.default_rng(0)
    for frame in film.plan.frames:
        commit(film.store, frame, noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8), print)


def measure(what: str, folder: Path, *arguments: str) -> None:
    """Seconds and peak memory of one command, and its last line."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "render", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout.read().splitlines() if process.stdout else []
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    print(
        f"{what:<32} {seconds:6.2f} s, {cpu:6.2f} s of CPU, {usage.ru_maxrss / 1024:5.0f} MiB, "
        f"exit {process.returncode}: {output[0].strip() if output else ''}"
    )


if __name__ == "__main__":
    main()
