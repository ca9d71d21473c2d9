"""The engines in turn, on the denoiser, the decoder and whole frames.

    python benchmarks/engines.py [storybook | sd15 | FOLDER] [--ways torch openvino …]

A way is an engine and perhaps a dtype (`openvino:float16`), or `stock`: the library's own layers.
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` before the command shows an older CPU. Printed
are medians of wall seconds and of CPU seconds (of all threads; where others use the machine, these
compare better), and how far each is from the first. What OpenVINO converts is kept in
outputs/.bench/cache.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from architectures import make_sd15
from diffusers import AutoencoderKL, UNet2DConditionModel
from likeness import psnr
from segment import GUIDANCE, PROMPTS, SEED
from speed import MADE, STORYBOOK
from ways import synchronize

from render.config.schema import ComputeConfig
from render.diffusion.sampler import Diffusion
from render.engines.open_model import open_diffusion
from render.models.families import ModelSource
from render.plan.conditioning import Text
from render.plan.frame_plan import FrameSpec, Recipe

Work = Callable[[Diffusion], npt.NDArray[Any]]


def main() -> None:
    """Every way does every work, in turn."""
    asked = arguments()
    os.environ["XDG_CACHE_HOME"] = str(Path("outputs/.bench/cache").absolute())
    folder = {"storybook": STORYBOOK, "sd15": MADE}.get(asked.model, Path(asked.model))
    if folder == MADE and not (MADE / "model_index.json").exists():
        make_sd15(MADE)
    opened = {way: opened_as(folder, way, asked) for way in asked.ways}
    works: dict[str, Work] = {f"{n} rows": denoiser_work(n) for n in asked.rows}
    works["decode"] = decode
    if asked.frames:
        works[f"{asked.frames} frames"] = lambda diffusion: frames(diffusion, asked.frames)
    print("\n| work | way | wall s | CPU s | × the first (CPU) | PSNR or largest difference |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, work in works.items():
        measure(name, work, opened, asked.rounds)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="storybook")
    parser.add_argument("--ways", nargs="+", default=["torch", "compiled", "openvino"])
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
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
    diffusion = open_diffusion(source, recipe, asked.device, compute=config, on_notice=print)
    if engine == "stock":
        put_stock_layers(diffusion, folder, dtype)
    print(f"{way}: opened in {time.perf_counter() - start:.1f} s", flush=True)
    return diffusion


def put_stock_layers(diffusion: Diffusion, folder: Path, dtype: str) -> None:
    """Let denoiser and decoder be the library's own, as they are loaded."""
    kind = getattr(torch, dtype)
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", dtype=kind)
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", dtype=kind)
    diffusion.denoiser.stock_forward = unet.to(diffusion.device).forward
    diffusion.pipeline.vae = vae.to(diffusion.device)


def denoiser_work(rows: int) -> Work:
    """One call of the denoiser with that many rows."""

    def work(diffusion: Diffusion) -> npt.NDArray[Any]:
        given = recorded(diffusion, rows)
        with torch.inference_mode():
            answer: torch.Tensor = diffusion.denoiser.stock_forward(**given)[0]
        return answer.float().cpu().numpy()

    return work


@functools.cache
def recorded(diffusion: Diffusion, rows: int) -> dict[str, Any]:
    """The denoiser's arguments with that many rows of noise."""
    given = diffusion.record(Text(PROMPTS[0]), rows)
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


def measure(name: str, work: Work, opened: dict[str, Diffusion], rounds: int) -> None:
    """One work by all ways in turn; the first round warms up."""
    answers = {way: work(diffusion) for way, diffusion in opened.items()}
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in opened}
    for _ in range(rounds):
        for way, diffusion in opened.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work(diffusion)
            synchronize()
            taken[way].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {
        way: [statistics.median(times) for times in zip(*both, strict=True)]
        for way, both in taken.items()
    }
    first = next(iter(opened))
    for way, (wall, cpu) in medians.items():
        ratio = medians[first][1] / cpu
        distance = far(answers[way], answers[first])
        print(f"| {name} | {way} | {wall:.3f} | {cpu:.3f} | {ratio:.2f} | {distance} |", flush=True)


def far(answer: npt.NDArray[Any], reference: npt.NDArray[Any]) -> str:
    """How far pictures are, or predictions."""
    if answer.dtype == np.uint8:
        return f"{psnr(list(answer), list(reference)):.1f} dB"
    return f"{np.abs(answer - reference).max():.1e} of {reference.std():.2f}"


if __name__ == "__main__":
    main()
