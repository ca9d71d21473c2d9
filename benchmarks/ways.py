"""The ways to render that speed.py compares, each as it runs in a process of its own."""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from product import Picture, declared, pictures, rendered
from segment import FPS, GUIDANCE, KEPT, PROMPTS, SEED, Asked, Turn, Way, content
from torch.utils.flop_counter import FlopCounterMode

import render.engines.open_model
from render.diffusion.noise import starting_noise

MATRIX = 2048

for library in (diffusers, transformers):
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()


class Clock:
    """When networks were at work, and the rows that the denoiser was given."""

    def __init__(self) -> None:
        self.spans: list[tuple[Any, Any]] = []
        self.rows = 0
        self.cpu_from = self.cpu_to = time.process_time()

    def begin(self) -> None:
        """Count from now on."""
        self.spans.clear()
        self.rows = 0
        self.cpu_from = self.cpu_to = time.process_time()

    @contextmanager
    def watching(self, owner: Any, name: str) -> Iterator[None]:
        """Watch a method of an object inside of the block."""
        self.around(owner, name)
        try:
            yield
        finally:
            delattr(owner, name)

    def around(self, owner: Any, name: str, counted: bool = False) -> None:
        """Watch a method of an object from now on; `counted`: its calls' rows."""
        setattr(owner, name, self.timed(getattr(owner, name), counted))

    def around_compute(self, denoiser: Any) -> None:
        """Watch the network's calls inside of a blended denoiser from now on."""
        watched = self.timed(denoiser.plan.compute)
        denoiser.plan = replace(denoiser.plan, compute=watched)

    def timed(self, stock: Callable[..., Any], counted: bool = False) -> Callable[..., Any]:
        """The function, with its calls timed."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            start = moment()
            try:
                return stock(*args, **kwargs)
            finally:
                self.spans.append((start, moment()))
                self.cpu_to = time.process_time()
                if counted:
                    self.rows += (kwargs.get("sample") if not args else args[0]).shape[0]

        return watched

    def seconds(self) -> float:
        """Inside, each moment once: a decoding may run beside the next frames' denoising."""
        synchronize()
        if self.spans and not isinstance(self.spans[0][0], float):
            return sum(start.elapsed_time(end) for start, end in self.spans) / 1000
        total, reached = 0.0, 0.0
        for start, end in sorted(self.spans):
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total


def moment() -> Any:
    """Now, or on a GPU the moment when it has come so far."""
    if not torch.cuda.is_available():
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def synchronize() -> None:
    """Wait until a GPU has done all its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def serve(connection: Any, way: Way, asked: Asked) -> None:
    """A way's process: load, then a turn for every question; an error is sent and ends it."""
    try:
        take_turn = opened(way, asked)
        connection.send("ready")
        while connection.recv():
            connection.send(take_turn())
    except Exception as error:
        connection.send(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


def opened(way: Way, asked: Asked) -> Callable[[], Turn]:
    """The function that renders once and returns its measures."""
    if way.kind == "ours":
        return ours(way, asked)
    stock = diffusers.StableDiffusionPipeline.from_pretrained(
        asked.folder, dtype=getattr(torch, way.dtype), safety_checker=None, local_files_only=True
    )
    stock.to(asked.device).set_progress_bar_config(disable=True)
    clock = Clock()
    clock.around(stock.unet, "forward", counted=True)
    clock.around(stock.vae, "decode")
    make = {"reference": reference_loop, "stock": frame_by_frame}[way.kind]
    render_frame = make(stock, asked.steps)

    def take_turn() -> Turn:
        clock.begin()
        synchronize()
        start = time.perf_counter()
        made = {frame: render_frame(asked.weight(frame)) for frame in asked.references}
        synchronize()
        seconds = time.perf_counter() - start
        side = stock.unet.config.sample_size * stock.vae_scale_factor
        decoded = len(made)
        return turn(asked, seconds, clock, clock.rows, decoded, decoded, side, way.dtype, made)

    return take_turn


def turn(
    asked: Asked,
    seconds: float,
    clock: Clock,
    rows: int,
    decoded: int,
    frames: int,
    side: int,
    dtype: str,
    made: Mapping[int, Picture],
) -> Turn:
    """A turn from the figures of all its frames."""
    inside, memory = clock.seconds(), peak_memory(asked.device)
    a_row, a_decoding = work(asked.folder, side)
    gflop = (rows * a_row + decoded * a_decoding) / frames
    peak = matmul_peak(getattr(torch, dtype), asked.device)
    cpu = (clock.cpu_to - clock.cpu_from) / frames
    per_frame = (seconds / frames, cpu, inside / frames, rows / frames, gflop)
    return Turn(*per_frame, peak, memory, dtype, made)


def reference_loop(stock: Any, steps: int) -> Callable[[float], Picture]:
    """The blog post's loop: rows [unconditional, start, end], LMS, a frame at a time."""
    scheduler = diffusers.LMSDiscreteScheduler.from_config(stock.scheduler.config)
    texts = torch.cat([encoded(stock, text) for text in ("", *PROMPTS)])

    @torch.no_grad()
    def render_frame(t: float) -> Picture:
        scheduler.set_timesteps(steps)
        latents = noise_for(stock) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            three = scheduler.scale_model_input(torch.cat([latents] * 3), timestep)
            u, s, e = stock.unet(three, timestep, encoder_hidden_states=texts).sample.chunk(3)
            guided = u + GUIDANCE * ((1 - t) * (s - u) + t * (e - u))
            latents = scheduler.step(guided, timestep, latents).prev_sample
        picture = stock.vae.decode(latents / stock.vae.config.scaling_factor).sample
        pixels = (picture / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()[0]
        return (pixels * 255).round().astype(np.uint8)

    return render_frame


def frame_by_frame(stock: Any, steps: int) -> Callable[[float], Picture]:
    """The loop that one writes instead: the stock pipeline with interpolated embeddings."""
    stock.scheduler = diffusers.LMSDiscreteScheduler.from_config(stock.scheduler.config)
    start, end, nothing = (encoded(stock, text) for text in (*PROMPTS, ""))

    def render_frame(t: float) -> Picture:
        shown = stock(
            prompt_embeds=start.lerp(end, t),
            negative_prompt_embeds=nothing,
            latents=noise_for(stock),
            guidance_scale=GUIDANCE,
            num_inference_steps=steps,
        ).images[0]
        return np.asarray(shown)

    return render_frame


def ours(way: Way, asked: Asked) -> Callable[[], Turn]:
    """This project: the whole run, of which the rendering is measured, from the first text to the
    last frame's name on the disk. Loading, which a film does once, is not in it."""
    film_content = content(way, asked)
    film = declared(film_content)

    def take_turn() -> Turn:
        for png in KEPT.rglob("*.png"):  # also another way's, whose pictures may be the same
            png.unlink()
        gc.collect()
        clock = Clock()

        def watch(diffusion: Any) -> None:
            clock.begin()
            clock.around_compute(diffusion.denoiser)
            clock.around(diffusion.pipeline.vae, "decode")

        with watched_opening(watch):
            run_json = rendered(film_content)
        made = {round(time_s * FPS): picture for time_s, picture in pictures(film).items()}
        recipe = film.plan.recipe
        decoded = len({frame.digest for frame in film.plan.frames})
        return turn(
            *(asked, run_json["seconds"]["render"], clock, run_json["rows"], decoded, asked.frames),
            *(recipe.width, recipe.dtype, made),
        )

    return take_turn


@contextmanager
def watched_opening(watch: Callable[[Any], None]) -> Iterator[None]:
    """Inside of the block, watch the model that a run opens before it renders."""
    stock = render.engines.open_model.open_diffusion

    def opened(*args: Any, **kwargs: Any) -> Any:
        diffusion = stock(*args, **kwargs)
        watch(diffusion)
        return diffusion

    render.engines.open_model.open_diffusion = opened
    try:
        yield
    finally:
        render.engines.open_model.open_diffusion = stock


@torch.no_grad()
def encoded(stock: Any, text: str) -> torch.Tensor:
    """A text's embedding (1, tokens, channels)."""
    embedding: torch.Tensor = stock.encode_prompt(text, stock.device, 1, False)[0]
    return embedding


def noise_for(stock: Any) -> torch.Tensor:
    """The noise of the seed (1, C, h, w), the same for all ways."""
    side = stock.unet.config.sample_size
    noise = starting_noise(((SEED, 1.0),), (1, stock.unet.config.in_channels, side, side))
    return noise.to(stock.device, stock.unet.dtype)


@torch.no_grad()
def work(folder: Path, side: int) -> tuple[float, float]:
    """GFLOP of a row of the denoiser and of a decoding at so many pixels a side; nothing is
    computed: the networks have shapes and no weights."""
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel.from_config(
            diffusers.UNet2DConditionModel.load_config(folder / "unet")
        )
        vae = diffusers.AutoencoderKL.from_config(
            diffusers.AutoencoderKL.load_config(folder / "vae")
        )
        latent = side // 2 ** (len(vae.config.block_out_channels) - 1)
        latents = torch.zeros(1, unet.config.in_channels, latent, latent)
        text = torch.zeros(1, 77, unet.config.cross_attention_dim)
        when = torch.zeros(1)
        more = {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)}
    added = {"added_cond_kwargs": more} if unet.config.addition_embed_type else {}
    counted = []
    for call in (lambda: unet(latents, when, text, **added), lambda: vae.decode(latents)):
        with FlopCounterMode(display=False) as counter:
            call()
        counted.append(counter.get_total_flops() / 1e9)
    return counted[0], counted[1]


def matmul_peak(dtype: torch.dtype, device: str, rows: int = MATRIX) -> float:
    """GFLOP/s of a large matrix product: the median of a few."""
    matrix = torch.randn(rows, rows, device=device).to(dtype)
    speeds = []
    for _ in range(7):
        synchronize()
        start = time.perf_counter()
        matrix @ matrix
        synchronize()
        speeds.append(2 * rows**3 / (time.perf_counter() - start) / 1e9)
    return statistics.median(speeds)


def peak_memory(device: str) -> float:
    """GiB, of the GPU if there is one, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def machine() -> str:
    """The threads of this process, and its GPU if it has one."""
    gpu = f" on {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.get_num_threads()} threads{gpu}"
