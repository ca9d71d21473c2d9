"""The origin's loop, a stock pipeline frame by frame, and this project, in turn: `make bench`.

    python benchmarks/speed.py [storybook | sd15 | FOLDER] [--frames 4] [--steps 10] [--rounds 3]

`sd15` is Stable Diffusion 1.5's architecture at 512² with random weights, made once, without a
download. All ways render the same frames between two prompts on one noise, with decoding; printed
are medians of seconds a frame, their ratio to the origin's loop, the denoiser's rows a frame, the
share of the time inside denoiser and decoder, the arithmetic done a second against a matrix product
measured in the same run, and how far the pictures are from the origin's.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import render.storybook
from render.diffusion import Picture, open_diffusion
from render.families import ModelSource
from render.noise import starting_noise
from render.plan import FrameSpec, Recipe

STORYBOOK = Path(render.storybook.__file__).parent / "weights"
MADE = Path("outputs/.bench/sd15")
PROMPTS = ("a small town", "a castle by the sea")
SEEDS = ((1, 1.0),)
GUIDANCE = 7.5
MATRIX = 2048


@dataclass
class Clock:
    """Seconds inside the functions that it was put around."""

    seconds: float = 0.0

    def around(self, owner: Any, name: str) -> None:
        """Measure a method of an object from now on."""
        stock = getattr(owner, name)

        def measured(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return stock(*args, **kwargs)
            finally:
                synchronize()
                self.seconds += time.perf_counter() - start

        setattr(owner, name, measured)


@dataclass
class Way:
    """One way to render the frames at these weights of the second prompt."""

    name: str
    render: Callable[[Sequence[float]], list[Picture]]
    rows: float
    """Of the denoiser, a frame and step."""
    dtype: torch.dtype
    clock: Clock
    seconds: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def run(self, weights: Sequence[float]) -> None:
        """Render once and keep what it took, a frame."""
        self.clock.seconds = 0.0
        start = time.perf_counter()
        self.pictures = self.render(weights)
        synchronize()
        self.seconds.append((time.perf_counter() - start) / len(weights))
        self.inside.append(self.clock.seconds / len(weights))


def main() -> None:
    """All ways in turn, then the table."""
    asked = arguments()
    folder = {"storybook": STORYBOOK, "sd15": MADE}.get(asked.model, Path(asked.model))
    if folder == MADE and not (MADE / "model_index.json").exists():
        make_sd15(MADE)
    tell_machine(asked)
    stock = diffusers.StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    stock.to(asked.device).set_progress_bar_config(disable=True)
    ways = [origin(stock, asked.steps), frame_by_frame(stock, asked.steps)]
    for blend in ("noise", "embedding"):
        ways += [ours(folder, stock, asked, blend, dtype) for dtype in asked.dtypes]
    weights = [(k + 1) / (asked.frames + 1) for k in range(asked.frames)]
    for number in range(asked.rounds):
        for way in ways:
            way.run(weights)
            print(f"  round {number + 1}: {way.name}, {way.seconds[-1]:.3f} s a frame", flush=True)
    tell(ways, work_of(stock), asked)


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="storybook")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    return parser.parse_args()


def origin(stock: Any, steps: int) -> Way:
    """The blog post's loop: rows [unconditional, start, end], LMS, float32, a frame at a time."""
    scheduler = diffusers.LMSDiscreteScheduler.from_config(stock.scheduler.config)
    clock = Clock()
    unet = watched(clock, stock.unet)
    texts = torch.cat([encoded(stock, text) for text in ("", *PROMPTS)])

    @torch.no_grad()
    def render(weights: Sequence[float]) -> list[Picture]:
        pictures = []
        for t in weights:
            scheduler.set_timesteps(steps)
            latents = noise_for(stock) * scheduler.init_noise_sigma
            for timestep in scheduler.timesteps:
                three = scheduler.scale_model_input(torch.cat([latents] * 3), timestep)
                u, s, e = unet(three, timestep, encoder_hidden_states=texts).sample.chunk(3)
                guided = u + GUIDANCE * ((1 - t) * (s - u) + t * (e - u))
                latents = scheduler.step(guided, timestep, latents).prev_sample
            start = time.perf_counter()
            decoded = stock.vae.decode(latents / stock.vae.config.scaling_factor).sample
            clock.seconds += time.perf_counter() - start
            pixels = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()[0]
            pictures.append((pixels * 255).round().astype(np.uint8))
        return pictures

    return Way("the origin's loop", render, 3, torch.float32, clock)


def frame_by_frame(stock: Any, steps: int) -> Way:
    """What one writes instead: the stock pipeline with interpolated embeddings."""
    scheduler = diffusers.LMSDiscreteScheduler.from_config(stock.scheduler.config)
    start, end, nothing = (encoded(stock, text) for text in (*PROMPTS, ""))

    def render(weights: Sequence[float]) -> list[Picture]:
        stock.scheduler = scheduler
        shown = [
            stock(
                prompt_embeds=start.lerp(end, t),
                negative_prompt_embeds=nothing,
                latents=noise_for(stock),
                guidance_scale=GUIDANCE,
                num_inference_steps=steps,
            ).images[0]
            for t in weights
        ]
        return [np.asarray(picture) for picture in shown]

    return Way("stock, frame by frame", render, 2, torch.float32, Clock())


def ours(folder: Path, stock: Any, asked: argparse.Namespace, blend: str, dtype: str) -> Way:
    """This project's own path, as a run takes it."""
    side = stock.unet.config.sample_size * stock.vae_scale_factor
    scheduler = "LMSDiscreteScheduler"
    recipe = Recipe("bench", scheduler, {}, asked.steps, side, side, dtype, blend)
    source = ModelSource(folder, None, None, None, None)
    diffusion = open_diffusion(source, recipe, asked.device)
    clock = Clock()
    clock.around(diffusion.denoiser, "stock_forward")
    clock.around(diffusion.pipeline.vae, "decode")

    def render(weights: Sequence[float]) -> list[Picture]:
        specs = [
            FrameSpec(((PROMPTS[0], 1 - t), (PROMPTS[1], t)), (("", 1.0),), SEEDS, GUIDANCE)
            for t in weights
        ]
        step = diffusion.batch
        parts = [specs[first : first + step] for first in range(0, len(specs), step)]
        return [picture for part in parts for picture in diffusion.render(part, lambda *_: None)]

    rows = 3 if blend == "noise" else 2
    return Way(f"render, blend={blend}, {dtype}", render, rows, getattr(torch, dtype), clock)


def watched(clock: Clock, net: Any) -> Callable[..., Any]:
    """Calls of a network, measured; the network itself stays as it is."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        answer = net(*args, **kwargs)
        synchronize()
        clock.seconds += time.perf_counter() - start
        return answer

    return call


@torch.no_grad()
def encoded(stock: Any, text: str) -> torch.Tensor:
    """A text's embedding (1, tokens, channels)."""
    embedding: torch.Tensor = stock.encode_prompt(text, stock.device, 1, False)[0]
    return embedding


def noise_for(stock: Any) -> torch.Tensor:
    """The noise of the seed (1, C, h, w), the same for all ways."""
    side = stock.unet.config.sample_size
    return starting_noise(SEEDS, (1, stock.unet.config.in_channels, side, side)).to(stock.device)


def synchronize() -> None:
    """Wait until a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.no_grad()
def work_of(stock: Any) -> tuple[float, float]:
    """GFLOP of a row of the denoiser and of a decoding."""
    latents, text = noise_for(stock), encoded(stock, "")
    counted = []
    for work in (
        lambda: stock.unet(latents, 500, encoder_hidden_states=text),
        lambda: stock.vae.decode(latents),
    ):
        with FlopCounterMode(display=False) as counter:
            work()
        counted.append(counter.get_total_flops() / 1e9)
    return counted[0], counted[1]


def matmul_peak(dtype: torch.dtype, device: str) -> float:
    """GFLOP/s of a large matrix product: the median of a few."""
    matrix = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    speeds = []
    for _ in range(7):
        synchronize()
        start = time.perf_counter()
        matrix @ matrix
        synchronize()
        speeds.append(2 * MATRIX**3 / (time.perf_counter() - start) / 1e9)
    return statistics.median(speeds)


def psnr(pictures: Sequence[Picture], reference: Sequence[Picture]) -> float:
    """dB between two films."""
    pairs = zip(pictures, reference, strict=True)
    error = np.mean([np.mean((a.astype(float) - b.astype(float)) ** 2) for a, b in pairs])
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def tell(ways: Sequence[Way], work: tuple[float, float], asked: argparse.Namespace) -> None:
    """The table; the first way is what the others are compared with."""
    first, (a_row, a_decoding) = ways[0], work
    base = statistics.median(first.seconds)
    print(f"\n{a_row:.2f} GFLOP a row, {a_decoding:.2f} a decoding; medians of {asked.rounds}\n")
    print("| way | s a frame | × the origin | rows | inside the nets | of a matmul | PSNR |")
    print("|---|---|---|---|---|---|---|")
    for way in ways:
        seconds, inside = statistics.median(way.seconds), statistics.median(way.inside)
        speed = (way.rows * asked.steps * a_row + a_decoding) / seconds
        of_peak = speed / matmul_peak(way.dtype, asked.device)
        share = f"{inside / seconds:.1%}" if inside else "–"
        closeness = psnr(way.pictures, first.pictures)
        print(
            f"| {way.name} | {seconds:.3f} | {base / seconds:.2f} | {way.rows * asked.steps} | "
            f"{share} | {of_peak:.0%} | {closeness:.1f} dB |"
        )
    print(f"\npeak memory of all ways together: {peak_memory(asked.device):.1f} GiB")


def peak_memory(device: str) -> float:
    """GiB, of the GPU if there is one, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def tell_machine(asked: argparse.Namespace) -> None:
    """What is measured, and on what."""
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    print(f"{asked.model}: {asked.frames} frames of {asked.steps} steps on {asked.device}")
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}, Python", end=" ")
    print(f"{platform.python_version()}, torch {torch.__version__} with", end=" ")
    print(f"{torch.get_num_threads()} threads, diffusers {diffusers.__version__}", flush=True)


def make_sd15(folder: Path) -> None:
    """Stable Diffusion 1.5's exact networks with random weights, in float16 (2 GB)."""
    print(f"making {folder}, once", flush=True)
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(STORYBOOK / "tokenizer", model_max_length=77)
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        hidden_act="quick_gelu",
        eos_token_id=tokenizer.eos_token_id,
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8
    )
    vae = diffusers.AutoencoderKL(
        sample_size=512,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        steps_offset=1,
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        vae, CLIPTextModel(text), tokenizer, unet, scheduler, None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)


if __name__ == "__main__":
    main()
