"""How rows, time and memory grow with the work: python benchmarks/growth.py [--most 100]

Films of 10 to 1,000 frames between four prompts, and films of 20 frames in which one to eight
prompts meet, rendered by the command line as a user calls it, each in a process of its own. Printed
are the rows from run.json, the seconds and the peak memory of the whole process, and the straight
line through each with how much of the differences it explains. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from plots import BLUE, GREY, ORANGE, figure, save
from product import machine

CHECKOUT = Path(__file__).resolve().parent.parent
KEPT = Path("outputs/.bench/growth")
SAID = "stderr.txt"
PLACES = (
    "a small town", "a castle by the sea", "a modern city at night", "a forest in winter",
    "a sprawling cityscape", "a desert at sunset", "a lake in autumn", "mountains at dawn",
)  # fmt: skip
LENGTHS = (10, 31, 100, 310, 1000)  # the keyframes of four prompts lie on whole frames
HELD = 20  # frames in which several prompts meet


@dataclass(frozen=True)
class Point:
    """One film: how much was asked, and how much it took."""

    asked: int
    rows: int
    seconds: float
    cpu: float
    """Seconds of all cores, which a machine that others use too disturbs less."""
    memory: float
    """MiB, the most that the process ever held."""


def main() -> None:
    """Every film, then tables, lines and the plot."""
    asked = arguments()
    print("\n".join(machine("torch", "diffusers", "numpy")))
    print(f"storybook, {asked.steps} steps", flush=True)
    shutil.rmtree(KEPT, ignore_errors=True)
    by_frames = [
        point("frames", frames, long_film(frames), asked)
        for frames in LENGTHS
        if frames <= asked.most
    ]
    most = range(1, asked.prompts + 1)
    by_prompts = [point("prompts", prompts, meeting(prompts), asked) for prompts in most]
    for what, points in (("frames", by_frames), (f"prompts in {HELD} frames", by_prompts)):
        print("\n".join(table(what, points)), flush=True)
    if asked.plot:
        draw(by_frames, by_prompts, "cpu" if asked.cpu else "seconds", asked.plot)
    shutil.rmtree(KEPT, ignore_errors=True)


def arguments() -> argparse.Namespace:
    """How far to go."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--most", type=int, default=LENGTHS[-1], help="frames of the longest film")
    parser.add_argument("--prompts", type=int, default=len(PLACES), help="most that meet")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--cpu", action="store_true", help="draw seconds of CPU")
    parser.add_argument("--plot", type=Path, help="where to draw: docs/growth.webp")
    parser.add_argument("--set", nargs="*", default=[], help="overrides for all films")
    return parser.parse_args()


def long_film(frames: int) -> list[dict[str, Any]]:
    """Four prompts, evenly over so many frames."""
    third = (frames - 1) // 3
    return [{"at": f"{k * third}f", "prompt": text, "seed": 1} for k, text in enumerate(PLACES[:4])]


def meeting(prompts: int) -> list[dict[str, Any]]:
    """Twenty frames of the same prompts together; the guidance makes each another picture."""
    return [
        {"at": "0f", "prompt": dict.fromkeys(PLACES[:prompts], 1.0), "seed": 1, "guidance": 6},
        {"at": f"{HELD - 1}f", "prompt": dict.fromkeys(PLACES[:prompts], 1.0), "guidance": 8},
    ]


def point(
    what: str, amount: int, keyframes: list[dict[str, Any]], asked: argparse.Namespace
) -> Point:
    """Renders one film from nothing and measures its process."""
    name = f"{what}-{amount}"
    folder = KEPT / name
    timeline = folder / "configs" / "timeline" / f"{name}.yaml"
    timeline.parent.mkdir(parents=True)
    timeline.write_text(yaml.safe_dump({"keyframes": keyframes}, sort_keys=False))
    began = time.perf_counter()
    given = [f"timeline={name}", f"scheduler.steps={asked.steps}", "sampling.blend=noise"]
    status, usage = ended(folder, *given, *asked.set)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(f"{name}: exit code {status}; see {folder / SAID}")
    run_json = json.loads((folder / "outputs" / name / "run.json").read_text())
    cpu = usage.ru_utime + usage.ru_stime
    unit = 2**20 if sys.platform == "darwin" else 2**10
    found = Point(amount, run_json["rows"], seconds, cpu, usage.ru_maxrss / unit)
    print(f"  {name}: {seconds:.1f} s, {found.rows} rows, {found.memory:.0f} MiB", flush=True)
    return found


def ended(folder: Path, *arguments: str) -> tuple[int, Any]:
    """Exit code and resources of a command that ran in a folder. This process must stay small:
    the memory of a child counts from before it becomes another program."""
    with (folder / SAID).open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "render", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def line(points: Sequence[Point], what: str) -> tuple[float, float, float]:
    """Slope, start and R² of the straight line through a figure of all points."""
    amounts = np.array([p.asked for p in points], float)
    values = np.array([getattr(p, what) for p in points], float)
    slope, start = np.polyfit(amounts, values, 1)
    around = ((values - values.mean()) ** 2).sum()
    left = ((values - slope * amounts - start) ** 2).sum()
    return float(slope), float(start), float(1 - left / around) if around else 1.0


def table(what: str, points: Sequence[Point]) -> Iterator[str]:
    """Markdown: the points, and the lines through them."""
    yield f"\n| {what} | rows | seconds | seconds of CPU | peak memory |"
    yield "|---|---|---|---|---|"
    for p in points:
        yield f"| {p.asked:,} | {p.rows:,} | {p.seconds:.1f} | {p.cpu:.1f} | {p.memory:.0f} MiB |"
    rows, seconds, cpu, memory = (line(points, w) for w in ("rows", "seconds", "cpu", "memory"))
    yield (
        f"| each more | {rows[0]:.2f} | {seconds[0]:.4f} | {cpu[0]:.4f} | {memory[0]:.3f} MiB |\n"
        f"| to begin with | {rows[1]:.0f} | {seconds[1]:.1f} | {cpu[1]:.1f} "
        f"| {memory[1]:.0f} MiB |\n"
        f"| R² | {rows[2]:.4f} | {seconds[2]:.4f} | {cpu[2]:.4f} | |"
    )


def draw(by_frames: Sequence[Point], by_prompts: Sequence[Point], clock: str, target: Path) -> None:
    """Seconds (of the wall or of all cores) and memory against frames and against prompts."""
    drawn, both = figure(columns=2, height=4.0)
    label = "seconds of CPU" if clock == "cpu" else "seconds"
    titles = ("frames between four prompts", f"prompts that meet in each of {HELD} frames")
    for axes, points, title in zip(both, (by_frames, by_prompts), titles, strict=True):
        amounts = [p.asked for p in points]
        slope, start, fit = line(points, clock)
        ends = np.array([0, max(amounts)])
        axes.plot(ends, start + slope * ends, color=BLUE, alpha=0.35, linewidth=5)
        axes.scatter(amounts, [getattr(p, clock) for p in points], color=BLUE, zorder=3)
        axes.set(xlabel=title, ylabel=label, title=f"R² {fit:.4f}", xlim=(0, None))
        axes.set_ylim(0, None)
        axes.yaxis.label.set_color(BLUE)
        right = axes.twinx()
        right.plot(amounts, [p.memory for p in points], "D-", color=ORANGE, linewidth=1)
        right.set_ylim(0, 1.6 * max(p.memory for p in points))
        right.set_ylabel("peak memory, MiB", color=ORANGE)
        right.tick_params(colors=GREY)
        right.grid(False)
    save(drawn, target)


if __name__ == "__main__":
    main()
