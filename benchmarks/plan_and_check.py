"""The cost of a long film before anything is rendered: python benchmarks/plan_and_check.py

Prints seconds and peak memory of `--help`, of a config error, of a plan of 100,000 frames, and of a
run that finds 10,000 finished frames. Each is a process of its own; nothing is asserted.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from render.run.resolve import open_film
from render.store.store import commit

CHECKOUT = Path(__file__).resolve().parent.parent
FRAMES = 10_000
LONG = 100_000
SIDE = 64
FOLDER_FACTS = {
    "model_index.json": {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"]},
    "unet/config.json": {"sample_size": SIDE // 8},
    "vae/config.json": {"block_out_channels": [8, 8, 16, 16]},
    "scheduler/scheduler_config.json": {"_class_name": "DDIMScheduler"},
}
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
        measure(f"a plan of {LONG:,} frames", folder, "+timeline=long", "mode=plan", *model(folder))
        fill_store(folder)
        measure(
            f"{FRAMES:,} finished frames linked",
            *(folder, "+timeline=done", "output=frames", *model(folder)),
        )
        measure(
            f"{FRAMES:,} finished frames checked",
            *(folder, "+timeline=done", "output=frames", *model(folder)),
        )


def model(folder: Path) -> list[str]:
    """Overrides for a model folder of configs alone: a plan reads no weights."""
    return ["model=local", f"model.path={folder / 'model'}"]


def prepare(folder: Path) -> None:
    """A model's configs and two timelines."""
    for name, content in FOLDER_FACTS.items():
        path = folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
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
    config = {
        "root": str(folder / "outputs"),
        "name": "done",
        "model": {"name": "local", "path": str(folder / "model"), "steps": 30, "guidance": 7.5},
        "scheduler": {"name": "model"},
        "timeline": {"keyframes": keyframes},
    }
    film = open_film(config, "", str)
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
