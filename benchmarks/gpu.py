"""The stock pipeline against this project on a GPU, at several batch sizes, and where time goes.

    python benchmarks/gpu.py [sd15] [sdxl] [--batches 1 8 32] [--compiled 8]

The architectures of Stable Diffusion 1.5 and XL with random weights, made once, without a
download, at their own sizes; ten LMS steps in bfloat16, whole frames with decoding. The stock
pipeline is given interpolated embeddings, so many frames a call; this project renders films
through its own path, from overrides to PNG files. Its first batch, which encodes texts and
compiles, and its last, which is profiled, are left out of the figures; stock's first call is. What
does not fit into the GPU is named and left out.

Printed are seconds a frame and their ratio to the stock pipeline frame by frame, rows a frame, the
share of the time inside denoiser and decoder, the arithmetic done a second against a large matrix
product in the same dtype, the GPU's peak memory, the seconds of the first batch, and for the
profiled one how much of the GPU's time each kind of kernel takes.
"""

from __future__ import annotations

import argparse
import gc
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from architectures import make_sd15, make_sdxl
from product import composed, machine, rendered
from segment import FPS, GUIDANCE, PROMPTS, SEED
from torch.profiler import ProfilerActivity, profile
from ways import Clock, matmul_peak, peak_memory, synchronize, watched_opening, work

from render.diffusion.noise import starting_noise

MADE = Path("outputs/.bench")
KEPT = MADE / "gpu"
STEPS = 10
DTYPE = "bfloat16"
SIZES = {"sd15": 512, "sdxl": 1024}
MAKERS = {"sd15": make_sd15, "sdxl": make_sdxl}
WHOLE_BATCHES = 4  # of this project that are measured
KINDS = {
    "norms and pointwise, fused": "^triton",  # whatever they were fused with stands in their names
    "attention": "sdpa|flash|fmha|attention",
    "convolutions": "fprop|implicit_gemm|conv",
    "matrix products": "nvjet|gemm|cutlass|gemv",
    "copies between layouts": "copy|nchwToNhwc|nhwcToNchw|CatArray|Memcpy|Memset",
}
"""Kernels by their names, the first that fits; the rest is norms and pointwise, one by one."""
REST = "norms and pointwise, one by one"


@dataclass
class Measured:
    """One way's figures; seconds and rows are a frame's."""

    name: str
    seconds: float
    rows: float
    inside: float
    memory: float
    first: float = 0.0
    """Seconds of the first batch."""
    waited: float = 0.0
    """Of all frames' seconds, for pictures to be written."""
    kernels: Counter[str] = field(default_factory=Counter)


def main(words: Sequence[str] | None = None) -> None:
    """Each model's ways, one after the other."""
    options = arguments(words)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --device cpu measures the CPU")
    print("\n".join(machine("torch", "diffusers")))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    peak = matmul_peak(getattr(torch, DTYPE), options.device, options.matrix)
    print(f"{gpu}; a matrix product of {options.matrix}: {peak / 1e3:.1f} TFLOP/s in {DTYPE}")
    for model in options.models:
        folder = MADE / model
        if not (folder / "model_index.json").exists():
            MAKERS[model](folder)
        side = options.side or SIZES[model]
        flops = work(folder, side)
        print(f"\n{model}, {side} × {side}: {flops[0]:.0f} GFLOP a row, {flops[1]:.0f} a decoding")
        print("\n".join(header()), flush=True)
        base = None
        for measured in ways(options, model, folder, side):
            base = base or measured
            print(row(measured, base, flops, peak), flush=True)
            if measured.kernels:
                print(kernel_shares(measured), flush=True)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MAKERS), help=", ".join(MAKERS))
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--compiled", type=int, nargs="*", default=[8], help="batches, compiled")
    parser.add_argument("--embedding", type=int, nargs="*", default=[12], help="likewise")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, help="of the pictures, in pixels; the model's own")
    parser.add_argument("--matrix", type=int, default=8192, help="rows of the matrix product")
    options = parser.parse_args(words)
    if unknown := set(options.models) - MAKERS.keys():
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    return options


def ways(options: argparse.Namespace, model: str, folder: Path, side: int) -> Iterator[Measured]:
    """Stock at every batch, then ours with each engine."""
    with stock_pipeline(folder, options.device) as stock:
        for batch in options.batches:
            yield from if_it_fits(of_stock, stock, batch, side, options.device)
    for engine, blend, batches in (
        ("torch", "noise", options.batches),
        ("compiled", "noise", options.compiled),
        ("compiled", "embedding", options.embedding),
    ):
        for batch in batches:
            yield from if_it_fits(ours, folder, batch, side, options.device, engine, blend)


def if_it_fits(measure: Callable[..., Measured], *asked: Any) -> Iterator[Measured]:
    """A way's figures, if the GPU has the memory for it."""
    try:
        yield measure(*asked)
    except torch.OutOfMemoryError:
        arguments = ", ".join(map(str, asked[1:]))
        print(f"left out: {measure.__name__} ({arguments}): out of memory", flush=True)


# --- the stock pipeline --------------------------------------------------------------------------


@contextmanager
def stock_pipeline(folder: Path, device: str) -> Iterator[Any]:
    """As one loads it."""
    stock = diffusers.DiffusionPipeline.from_pretrained(
        folder, dtype=getattr(torch, DTYPE), local_files_only=True
    ).to(device)
    stock.set_progress_bar_config(disable=True)
    stock.scheduler = diffusers.LMSDiscreteScheduler.from_config(stock.scheduler.config)
    try:
        yield stock
    finally:
        stock.to("cpu")
        give_back()


@torch.no_grad()
def of_stock(stock: Any, batch: int, side: int, device: str) -> Measured:
    """So many frames a call."""
    texts = encoded(stock)
    latents = starting_noise(((SEED, 1.0),), (1, 4, side // 8, side // 8))
    given = {
        **{key: value.expand(batch, *value.shape[1:]) for key, value in texts.items()},
        "latents": latents.expand(batch, -1, -1, -1).to(device, getattr(torch, DTYPE)),
        "guidance_scale": GUIDANCE,
        "num_inference_steps": STEPS,
        "height": side,
        "width": side,
    }
    clock, seconds = Clock(), []
    with clock.watching(stock.unet, "forward"), clock.watching(stock.vae, "decode"):
        for _ in range(1 + max(1, 4 // batch)):
            reset_peak(device)
            clock.begin()
            synchronize()
            start = time.perf_counter()
            stock(**given)
            synchronize()
            seconds.append(time.perf_counter() - start)
    name = f"stock, {batch} a call" if batch > 1 else "stock, frame by frame"
    a_frame = sorted(seconds[1:])[len(seconds[1:]) // 2] / batch
    return Measured(
        name, a_frame, 2 * STEPS, clock.seconds() / batch, peak_memory(device), first=seconds[0]
    )


def encoded(stock: Any) -> dict[str, torch.Tensor]:
    """The embeddings that are half way, one row each."""
    halves = [
        stock.encode_prompt(
            prompt=text, device=stock.device, num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
        for text in PROMPTS
    ]  # fmt: skip
    keys = (
        "prompt_embeds", "negative_prompt_embeds",
        "pooled_prompt_embeds", "negative_pooled_prompt_embeds",
    )  # fmt: skip
    return {key: one.lerp(other, 0.5) for key, one, other in zip(keys, *halves, strict=False)}


# --- ours ----------------------------------------------------------------------------------------


def ours(
    folder: Path, batch: int, side: int, device: str, engine: str, blend: str = "noise"
) -> Measured:
    """A film of whole batches through the product's own path."""
    frames = batch * (WHOLE_BATCHES + 2)
    shutil.rmtree(KEPT, ignore_errors=True)
    overrides = [
        "model=local", f"model.path={folder}", "scheduler=lms", f"scheduler.steps={STEPS}",
        f"sampling.guidance={GUIDANCE}", f"output.fps={FPS}", f"output.width={side}",
        f"output.height={side}", f"compute.device={device}", f"compute.dtype={DTYPE}",
        f"compute.engine={engine}", f"compute.batch={batch}", f"sampling.blend={blend}",
    ]  # fmt: skip
    ends = [
        {"at": f"{frame}f", "prompt": text, "seed": SEED + place}
        for place, (frame, text) in enumerate(zip((0, frames - 1), PROMPTS, strict=True))
    ]
    watch = Watch()
    reset_peak(device)
    with watched_opening(watch):
        run_json = rendered(composed(overrides, ends, KEPT, "film"))
    give_back()
    if watch.batch < batch:  # halved on the way
        raise torch.OutOfMemoryError
    count = batch * WHOLE_BATCHES
    seconds = watch.begun[-1] - watch.begun[1]
    return Measured(
        f"{blend} blend, {engine}, {batch} a call",
        seconds / count,
        (watch.rows[-1] - watch.rows[1]) / count,
        watch.inside() / count,
        peak_memory(device),
        first=watch.begun[1] - watch.begun[0],
        waited=run_json["seconds"].get("write", 0.0) / frames,
        kernels=watch.kernels,
    )


class Watch:
    """When the batches of a run began, and the times of the last one's kernels."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.rows: list[int] = []
        self.clock = Clock()
        self.spans: list[Any] = []
        self.kernels: Counter[str] = Counter()
        self.batch = 0

    def __call__(self, diffusion: Any) -> None:
        """Watch an opened model."""
        self.clock.around_compute(diffusion.denoiser)
        self.clock.around(diffusion.pipeline.vae, "decode")
        diffusion.render = self.watched(diffusion, diffusion.render)

    def watched(self, diffusion: Any, stock: Callable[..., Any]) -> Callable[..., Any]:
        """`Diffusion.render`, timed."""

        def rendering(*args: Any, **kwargs: Any) -> Any:
            if len(self.begun) in (1, WHOLE_BATCHES + 1):
                synchronize()  # the measured batches, and nothing of those beside them
            self.begun.append(time.perf_counter())
            self.rows.append(diffusion.rows + diffusion.padded_rows)
            self.batch = diffusion.batch
            if len(self.begun) == 2:
                self.clock.begin()
            if len(self.begun) < WHOLE_BATCHES + 2:
                return stock(*args, **kwargs)
            self.spans = list(self.clock.spans)
            return self.profiled(lambda: stock(*args, **kwargs))

        return rendering

    def inside(self) -> float:
        """Seconds inside denoiser and decoder in the batches that are measured."""
        self.clock.spans = self.spans
        return self.clock.seconds()

    def profiled(self, call: Callable[[], Any]) -> Any:
        """A batch with its kernels counted."""
        synchronize()
        start = time.perf_counter()
        there = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        with profile(activities=[ProfilerActivity.CPU, *there]) as seen:
            answer = call()
            synchronize()
        self.kernels["all"] = round((time.perf_counter() - start) * 1e6)
        for event in seen.key_averages():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                self.kernels[kind_of(event.key)] += round(event.self_device_time_total)
        return answer


def kind_of(kernel: str) -> str:
    """The sort of a kernel, by its name."""
    found = (kind for kind, names in KINDS.items() if re.search(names, kernel, re.IGNORECASE))
    return next(found, REST)


# --- the printed tables -------------------------------------------------------------------------


def header() -> Iterator[str]:
    """Of the table."""
    columns = ("way", "s a frame", "× stock", "rows", "inside", "TFLOP/s", "of a matmul", "memory")
    yield f"| {' | '.join((*columns, 'first batch'))} |"
    yield "|---|" + "---|" * 8


def row(one: Measured, base: Measured, flops: tuple[float, float], peak: float) -> str:
    """A way's line."""
    gflops = (one.rows * flops[0] + flops[1]) / one.seconds
    return (
        f"| {one.name} | {one.seconds:.4f} | {base.seconds / one.seconds:.2f} | {one.rows:.1f} "
        f"| {one.inside / one.seconds:.1%} | {gflops / 1e3:.1f} | {gflops / peak:.1%} "
        f"| {one.memory:.1f} GiB | {one.first:.1f} s |"
    )


def kernel_shares(one: Measured) -> str:
    """Where the profiled batch's time on the GPU goes."""
    kinds = [kind for kind in (*KINDS, REST) if one.kernels[kind]]
    busy = sum(one.kernels[kind] for kind in kinds) or 1
    shares = ", ".join(f"{kind} {one.kernels[kind] / busy:.1%}" for kind in kinds)
    times = f"kernels {busy / 1e3:.1f} ms of {one.kernels['all'] / 1e3:.1f} ms"
    return f"<!-- {one.name}: {times}: {shares}; waited for writing {one.waited:.4f} s a frame -->"


def reset_peak(device: str) -> None:
    """Count the GPU's memory from here."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()


def give_back() -> None:
    """Let go of what a way held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
