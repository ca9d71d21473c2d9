"""The reference loop, a stock pipeline frame by frame, and this project, in turn: `make bench`.

    python benchmarks/speed.py [storybook | sd15 | FOLDER] [--frames 13] [--rounds 3]

`sd15` is Stable Diffusion 1.5's architecture at 512² with random weights, made once, without a
download. Every way renders frames of a segment between two prompts on one noise, with decoding:
this project the whole segment, since its frames share work; the reference loop (that of the blog
post, in ways.py) and the stock pipeline --reference-frames of it, since theirs do not. Each way has
a process of its own, one at work at a time, and they take turns; a large model, or a single round,
leaves only one of them in memory.

Printed are medians of seconds a frame and their ratios, seconds of all cores, the denoiser's rows a
frame, the share of the time inside denoiser and decoder, the arithmetic done a second (a row is a
row, also where a deep cache leaves out part of it) against a matrix product measured beside it in
the same dtype, the peak memory of the way's process, and how far the pictures are from those of the
reference loop (noise blends) or the stock pipeline's (embedding blends). Ours are whole runs
through the product's own path, from overrides to PNG files; only loading is left out. Ways that
this machine or this version lacks are named and left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isinf
from pathlib import Path
from threading import Thread
from typing import Any

from likeness import psnr, resized
from product import declared, machine
from segment import Asked, Turn, Way, content

import render.storybook
from render.errors import ConfigError

STORYBOOK = render.storybook.WEIGHTS
MADE = Path("outputs/.bench/sd15-small-vocabulary")
OURS: dict[str, list[str]] = {
    "noise blend": [],
    "embedding blend": ["sampling.blend=embedding"],
    "balanced": ["sampling.speed=balanced"],
    "draft": ["sampling.speed=draft"],
    "noise blend, compiled": ["compute.engine=compiled"],
    "noise blend, openvino": ["compute.engine=openvino"],
    "embedding blend, openvino": ["compute.engine=openvino", "sampling.blend=embedding"],
    "balanced, openvino": ["compute.engine=openvino", "sampling.speed=balanced"],
    "draft, openvino": ["compute.engine=openvino", "sampling.speed=draft"],
    "noise blend, int8": ["compute.engine=openvino", "compute.quantised=int8"],
    "embedding blend, int8": [
        "compute.engine=openvino",
        "compute.quantised=int8",
        "sampling.blend=embedding",
    ],
    "balanced, int8": [
        "compute.engine=openvino",
        "compute.quantised=int8",
        "sampling.speed=balanced",
    ],
    "draft, int8": ["compute.engine=openvino", "compute.quantised=int8", "sampling.speed=draft"],
}
"""This project's ways: a line each."""

REFERENCE, STOCK = "the reference loop", "stock, frame by frame"
SMALL = 1 << 30  # bytes of weights: below it, all processes stay in memory between rounds
SPAWN = multiprocessing.get_context("spawn")


class Failed(Exception):
    """A way said why it can't."""


@dataclass
class Measured:
    """A way and its turns."""

    way: Way
    turns: list[Turn] = field(default_factory=list)
    process: Process | Here | None = None

    def median(self, what: str) -> float:
        """Of all turns."""
        return statistics.median(getattr(turn, what) for turn in self.turns)


class Process:
    """A way in a process of its own, loaded and waiting for its turn."""

    def __init__(self, way: Way, asked: Asked) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=served, args=(theirs, way, asked), daemon=True)
        self.process.start()
        theirs.close()
        self.heard()

    def turn(self) -> Turn:
        """Render once."""
        self.pipe.send(True)
        turn: Turn = self.heard()
        return turn

    def heard(self) -> Any:
        """The process's next answer; raises Failed if that is an error or nothing."""
        try:
            answer = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise Failed(f"ended with exit code {self.process.exitcode}") from None
        if isinstance(answer, str) and answer != "ready":
            raise Failed(answer)
        return answer

    def end(self) -> None:
        """Let it go."""
        self.pipe.send(False)
        self.process.join()


class Here:
    """A way in this process: no memory of its own to measure, but no start to wait for."""

    def __init__(self, way: Way, asked: Asked) -> None:
        from ways import opened

        self.turn: Callable[[], Turn] = opened(way, asked)

    def end(self) -> None:
        """Nothing to let go."""


def served(pipe: Any, way: Way, asked: Asked) -> None:
    """The main function of a way's process; torch is imported there and not here."""
    end_with_parent()
    from ways import serve

    serve(pipe, way, asked)


def end_with_parent() -> None:
    """End this process with the one that waits for its answers, in the midst of a turn if need be:
    it would take the machine from whatever is measured next."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def make_model(folder: Path) -> None:
    """The main function of the process that makes the large model."""
    from architectures import make_sd15

    make_sd15(folder)


def main(words: Sequence[str] | None = None) -> list[Measured]:
    """All ways in turn, then the table."""
    options = arguments(words)
    folder = {"storybook": STORYBOOK, "sd15": MADE}.get(options.model, Path(options.model))
    if folder == MADE and not (MADE / "model_index.json").exists():
        print(f"making {MADE}, once", flush=True)
        maker = SPAWN.Process(target=make_model, args=(MADE,))
        maker.start()
        maker.join()
    asked = asked_of(options, folder)
    print("\n".join(machine("torch", "diffusers", "transformers")))
    print(f"{options.model}: {options.frames} frames of {options.steps} steps", flush=True)
    measured = [Measured(way) for way in chosen(options, asked)]
    weights = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    stay = options.rounds > 1 and weights < SMALL
    for number in range(1, options.rounds + 1):
        for one in measured[:]:
            try:
                take_turn(one, asked, Here if options.one_process else Process, stay, number)
            except Failed as error:
                if one.way.kind != "ours":
                    raise
                print(f"left out: {one.way.name}: {error}", flush=True)
                measured.remove(one)
    for one in measured:
        if one.process:
            one.process.end()
    print("\n".join(table(measured, options.rounds)))
    return measured


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="storybook")
    parser.add_argument("--frames", type=int, default=13, help="of the segment")
    parser.add_argument("--reference-frames", type=int, default=3, help="of reference and stock")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtypes", nargs="+", default=["auto"], help="such as float32 bfloat16")
    parser.add_argument("--ways", nargs="+", help="this project's, by name; all")
    parser.add_argument(
        "--add", nargs="+", action="append", default=[], metavar=("NAME", "OVERRIDE"),
        help="another of this project's ways",
    )  # fmt: skip
    parser.add_argument(
        "--one-process", action="store_true", help="quicker; memory is that of all ways"
    )
    return parser.parse_args(words)


def asked_of(options: argparse.Namespace, folder: Path) -> Asked:
    """The same as the ways' processes understand it."""
    count, last = min(options.reference_frames, options.frames), options.frames - 1
    places = {round((k + 1) * last / (count + 1)) for k in range(count)}
    local = ("model=local", f"model.path={folder}")
    model = ("model=storybook",) if folder == STORYBOOK else local
    frames, steps = options.frames, options.steps
    asked = Asked(model, folder, frames, tuple(sorted(places)), steps, options.device)
    return replace(asked, device=declared(content(Way("any", "ours"), asked)).device)


def chosen(options: argparse.Namespace, asked: Asked) -> Iterator[Way]:
    """The reference loop, the stock pipeline, and this project's ways."""
    yield Way(REFERENCE, "reference")
    yield Way(STOCK, "stock")
    if asked.device != "cpu":
        yield Way(f"{STOCK}, float16", "stock", dtype="float16")
    known = OURS | {name: overrides for name, *overrides in options.add}
    for name in options.ways or known:
        if name not in known:
            raise SystemExit(f"no way is called {name}; there are: {', '.join(known)}")
        for dtype in options.dtypes:
            given = (*known[name], *([] if dtype == "auto" else [f"compute.dtype={dtype}"]))
            try:
                film = declared(content(Way(name, "ours", given), asked))
                used = film.plan.recipe
                yield Way(f"{name}, {used.dtype}", "ours", given, used.dtype, used.blend)
            except ConfigError as error:
                print(f"left out: {name}: {str(error).partition(chr(10))[0]}", flush=True)


def take_turn(
    one: Measured, asked: Asked, start: type[Process] | type[Here], stay: bool, number: int
) -> None:
    """One rendering of a way; its process begins with its first turn."""
    one.process = one.process or start(one.way, asked)
    turn = one.process.turn()
    one.turns.append(turn)
    speed = f"{turn.seconds:.3f} s ({turn.cpu:.3f} of CPU), {turn.rows:.1f} rows a frame"
    result = f"{speed}, {turn.memory:.2f} GiB"
    print(f"  round {number}: {one.way.name}: {result}", flush=True)
    if not stay:
        one.process.end()
        one.process = None


def table(measured: Sequence[Measured], rounds: int) -> Iterator[str]:
    """Markdown; the others are compared with the reference loop and the stock pipeline."""
    base = {one.way.name: one for one in measured}
    loop, stock = base[REFERENCE], base[STOCK]
    peaks = {one.way.dtype: one.median("matmul") for one in measured}
    rates = ", ".join(f"{peak:.0f} GFLOP/s in {dtype}" for dtype, peak in peaks.items())
    yield f"\na matrix product: {rates}; medians of {rounds}\n"
    yield (
        "| way | s a frame | × reference | × stock | CPU s a frame | rows | inside | of a matmul "
        "| memory | PSNR |"
    )
    yield "|---|" + "---|" * 9
    for one in measured:
        seconds = one.median("seconds")
        of_peak = one.median("gflop") / seconds / one.median("matmul")
        reference = stock if one.way.blend == "embedding" else loop
        yield (
            f"| {one.way.name} | {seconds:.3f} | {loop.median('seconds') / seconds:.2f} "
            f"| {stock.median('seconds') / seconds:.2f} | {one.median('cpu'):.3f} "
            f"| {one.median('rows'):.1f} "
            f"| {one.median('inside') / seconds:.1%} | {of_peak:.0%} "
            f"| {max(turn.memory for turn in one.turns):.2f} GiB | {closeness(one, reference)} |"
        )


def closeness(one: Measured, reference: Measured) -> str:
    """The PSNR at the frames that both have; smaller pictures are enlarged."""
    mine, theirs = one.turns[-1].pictures, reference.turns[-1].pictures
    shared = sorted(mine.keys() & theirs.keys())
    if one is reference or not shared:
        return "–"
    truth = [theirs[frame] for frame in shared]
    size = truth[0].shape[1::-1]
    value = psnr([resized(mine[frame], size) for frame in shared], truth)
    return "equal" if isinf(value) else f"{value:.1f} dB"


if __name__ == "__main__":
    main()
