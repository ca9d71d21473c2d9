"""The engines in turn, on the denoiser, the decoder and whole frames.

    python benchmarks/engines.py [storybook | sd15 | FOLDER] [--ways torch openvino …]

A way is an engine and perhaps a dtype (`openvino:float16`), or `stock`: the library's own layers.
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` before the command shows an older CPU. Printed
are medians of wall seconds and of CPU seconds (of all threads; where others use the machine, these
compare better), and how far each is from the first. What OpenVINO converts is kept in
outputs/.bench/cache.

`--apart` opens the ways one at a time, each turn in a process of its own, so that a large model is
in memory once; it prints the peak memory of each way's processes as well.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from likeness import psnr
from segment import GUIDANCE, PROMPTS, SEED
from speed import MADE, SPAWN, STORYBOOK, make_model
from ways import peak_memory, synchronize

from render.config.schema import ComputeConfig, RunConfig
from render.diffusion.sampler import Diffusion
from render.engines.open_model import open_diffusion
from render.engines.protocol import Computation, Opened
from render.errors import Mistake
from render.models.model_source import ModelSource
from render.models.resolve import Model
from render.plan.conditioning import RowText
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

Work = Callable[[Diffusion], npt.NDArray[Any]]
Picture = npt.NDArray[Any]


class Taken(NamedTuple):
    """One turn of a way at a work."""

    wall: float
    cpu: float
    answer: Picture


def main() -> None:
    """Every way does every work, in turn."""
    asked = arguments()
    os.environ["XDG_CACHE_HOME"] = str(Path("outputs/.bench/cache").absolute())
    folder = {"storybook": STORYBOOK, "sd15": MADE}.get(asked.model, Path(asked.model))
    if folder == MADE and not (MADE / "model_index.json").exists():
        maker = SPAWN.Process(target=make_model, args=(MADE,))
        maker.start()
        maker.join()
    measured = measured_apart(folder, asked) if asked.apart else measured_together(folder, asked)
    print("\n| work | way | wall s | CPU s | × the first (CPU) | PSNR or largest difference |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, taken in measured:
        print_rows(name, taken)


def works(asked: argparse.Namespace) -> dict[str, Work]:
    """Everything that each way does."""
    found: dict[str, Work] = {f"{n} rows": denoiser_work(n) for n in asked.rows}
    found["decode"] = decode
    if asked.frames:
        found[f"{asked.frames} frames"] = lambda diffusion: frames(diffusion, asked.frames)
    return found


def measured_together(
    folder: Path, asked: argparse.Namespace
) -> Iterator[tuple[str, dict[str, list[Taken]]]]:
    """By work and way, with all ways open in this process; the first round warms up."""
    opened = {way: opened_as(folder, way, asked) for way in asked.ways}
    for name, work in works(asked).items():
        for diffusion in opened.values():
            work(diffusion)
        taken: dict[str, list[Taken]] = {way: [] for way in opened}
        for _ in range(asked.rounds):
            for way, diffusion in opened.items():
                taken[way].append(timed(work, diffusion))
        yield name, taken


def measured_apart(
    folder: Path, asked: argparse.Namespace
) -> Iterator[tuple[str, dict[str, list[Taken]]]]:
    """The same with each turn of a way, at all works, in a process of its own."""
    taken: dict[str, dict[str, list[Taken]]] = {
        name: {way: [] for way in asked.ways} for name in works(asked)
    }
    for number in range(1, asked.rounds + 1):
        for way in asked.ways:
            with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
                turn, opened_gib, peak_gib = process.submit(one_turn, folder, way, asked).result()
            for name, one in turn.items():
                taken[name][way].append(one)
            times = ", ".join(f"{name} {one.cpu:.1f} s of CPU" for name, one in turn.items())
            memory = f"{opened_gib:.2f} GiB to open, {peak_gib:.2f} GiB in all"
            print(f"round {number}: {way}: {times}; {memory}", flush=True)
    yield from taken.items()


def one_turn(
    folder: Path, way: str, asked: argparse.Namespace
) -> tuple[dict[str, Taken], float, float]:
    """A way at all works, each once to warm up and once for the clock; with the GiB of memory that
    its process had held when the model was open, and at the end."""
    diffusion = opened_as(folder, way, asked)
    opened_gib = peak_memory(asked.device)
    taken = {}
    for name, work in works(asked).items():
        work(diffusion)
        taken[name] = timed(work, diffusion)
    return taken, opened_gib, peak_memory(asked.device)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="storybook")
    parser.add_argument("--ways", nargs="+", default=["torch", "compiled", "openvino"])
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--apart", action="store_true", help="one way in memory at a time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def opened_as(folder: Path, way: str, asked: argparse.Namespace) -> Diffusion:
    """The model as that way opens it."""
    engine, _, dtype = way.partition(":")
    config = ComputeConfig.model_validate({"engine": "torch" if engine == "stock" else engine})
    side = 512 if folder == MADE else 128
    scheduler, dtype = "LMSDiscreteScheduler", dtype or "float32"
    recipe = Recipe(f"bench {folder}", scheduler, {}, asked.steps, side, side, dtype, "noise")
    source = ModelSource(folder, None, None, None, None)
    start = time.perf_counter()
    diffusion = open_diffusion(
        *(source, recipe, asked.device),
        compute=config,
        on_notice=print,
        engine=Stock() if engine == "stock" else None,
    )
    print(f"{way}: opened in {time.perf_counter() - start:.1f} s", flush=True)
    return diffusion


class Stock:
    """The library's own layers, as they are loaded."""

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        """None: it takes everything."""
        return iter(())

    def start(self, opened: Opened) -> Computation:
        """The denoiser's own call."""
        return Computation(opened.denoiser.forward)


def denoiser_work(rows: int) -> Work:
    """One call of the denoiser with that many rows."""

    def work(diffusion: Diffusion) -> npt.NDArray[Any]:
        given = recorded(diffusion, rows)
        with torch.inference_mode():
            answer: torch.Tensor = diffusion.denoiser.plan.compute(**given)[0]
        return answer.float().cpu().numpy()

    return work


@functools.cache
def recorded(diffusion: Diffusion, rows: int) -> dict[str, Any]:
    """The denoiser's arguments with that many rows of noise."""
    given = diffusion.stock.recorded_call(RowText(PROMPTS[0]), rows)
    noise = torch.randn(given["sample"].shape, generator=torch.Generator().manual_seed(0))
    return given | {"sample": noise.to(given["sample"])}


def decode(diffusion: Diffusion) -> npt.NDArray[Any]:
    """One decoding."""
    noise = recorded(diffusion, 1)["sample"]
    with torch.inference_mode():
        picture: torch.Tensor = diffusion.pipeline.vae.decode(noise).sample
    return picture.float().cpu().numpy()


def frames(diffusion: Diffusion, count: int) -> npt.NDArray[Any]:
    """Whole frames between two prompts, together."""
    weights = [(k + 1) / (count + 1) for k in range(count)]
    specs = [
        FrameSpec(((PROMPTS[0], 1 - t), (PROMPTS[1], t)), (("", 1.0),), ((SEED, 1.0),), GUIDANCE)
        for t in weights
    ]
    return np.stack(diffusion.render(specs, lambda *_: None).all())


def timed(work: Work, diffusion: Diffusion) -> Taken:
    """A work once, by the clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work(diffusion)
    synchronize()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu, answer)


def print_rows(name: str, taken: dict[str, list[Taken]]) -> None:
    """Print the table's rows of one kind of work."""
    first = next(iter(taken))
    for way, turns in taken.items():
        wall, cpu = (statistics.median(one) for one in ([t[k] for t in turns] for k in (0, 1)))
        # Of the turns of one round, since the machine's speed moves.
        ratio = statistics.median(
            one.cpu / own.cpu for one, own in zip(taken[first], turns, strict=True)
        )
        distance = far(turns[0].answer, taken[first][0].answer)
        print(f"| {name} | {way} | {wall:.3f} | {cpu:.3f} | {ratio:.2f} | {distance} |", flush=True)


def far(answer: npt.NDArray[Any], reference: npt.NDArray[Any]) -> str:
    """How far pictures are, or predictions."""
    if answer.dtype == np.uint8:
        return f"{psnr(list(answer), list(reference)):.1f} dB"
    return f"{np.abs(answer - reference).max():.1e} of {reference.std():.2f}"


if __name__ == "__main__":
    main()
