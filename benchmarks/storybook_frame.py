"""The cost of a frame of storybook on a CPU, by the rows of a call.

    python benchmarks/storybook_frame.py

Four frames of two prompts each (10 steps with three rows, and decoding) are rendered together in
calls of 3, 6 and 12 rows, in turn; printed are the medians of the seconds a frame.
"""

from __future__ import annotations

import os
import platform
import statistics
import time

import diffusers
import torch

import render.storybook
from render.diffusion.call_layout import RowsPerCall
from render.diffusion.sampler import Diffusion
from render.engines.open_model import open_diffusion
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

WEIGHTS = render.storybook.WEIGHTS
SIDE = 256
STEPS = 10
FRAMES = 4
ROUNDS = 9
ROWS = (3, 6, 12)
SPECS = [
    FrameSpec(
        prompts=(("a small town", 1 - weight), ("a castle", weight)),
        negatives=(("", 1.0),),
        seeds=((1, 1.0),),
        guidance=5.0,
    )
    for weight in (0.2, 0.4, 0.6, 0.8)
]


def main() -> None:
    """The figures, a line each, with machine and versions."""
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}")
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads", end=", ")
    print(f"diffusers {diffusers.__version__}, Python {platform.python_version()}")
    source = ModelSource(WEIGHTS, None, None, None, None)
    recipe = Recipe("storybook", "LMSDiscreteScheduler", {}, STEPS, SIDE, SIDE, "float32", "noise")
    diffusion = open_diffusion(source, recipe, "cpu", FRAMES)
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    for _ in range(ROUNDS):
        for rows in ROWS:
            seconds[rows].append(seconds_a_frame(diffusion, rows))
    for rows in ROWS:
        median, least = statistics.median(seconds[rows]), min(seconds[rows])
        print(f"{rows:2} rows a call: {median:.3f} s a frame (of {ROUNDS}), least {least:.3f}")


def seconds_a_frame(diffusion: Diffusion, rows: int) -> float:
    """Of four frames rendered together in calls of so many rows."""
    diffusion.rows_per_call = lambda: RowsPerCall(rows, rows, len(SPECS))
    start = time.perf_counter()
    diffusion.render(SPECS, lambda done, total: None).all()
    return (time.perf_counter() - start) / len(SPECS)


if __name__ == "__main__":
    main()
