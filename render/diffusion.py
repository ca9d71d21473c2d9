"""Frame specs to pictures: noise, texts, denoising, decoding, for a batch of frames at a time.

The family's stock pipeline does the text encoding, the schedule and the decoding; the noise is ours
(noise.py) and so is the inside of the denoiser's call, where prompts meet (blend.py).
"""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from render.adapters import Adapters
from render.assemble import first_line
from render.attention import use_whole
from render.batches import frames_at_once, frames_for_gpu
from render.blend import BlendedDenoiser, Enough, Evaluations
from render.branches import Branches, Text, beginning, branches, steps_done
from render.compiled import compile_networks
from render.config import ComputeConfig
from render.converted import convert_networks
from render.deepcache import DeepCache
from render.early import Anchors
from render.emphasis import has_weights
from render.errors import NonFiniteFrames, OutOfMemory
from render.families import Family, ModelSource
from render.fit import whole_memory
from render.heap import keep_freed
from render.loras import Lora
from render.noise import starting_noise, step_generator
from render.pipeline import load_pipeline
from render.plan import FrameSpec, Recipe
from render.prefix import SharedPrefix
from render.residuals import Residuals, load_residuals
from render.starts import Starts
from render.texts import PLACEHOLDER, Placeholder, let_go, overheard, texts_of
from render.threads import threads_for
from render.upsampling import merge_upsampling
from render.winograd import use_tiles

Picture = npt.NDArray[np.uint8]

ROWS_PER_FRAME = {"noise": 3, "embedding": 2}
"""Of the usual frame: two prompts or their blend, and what guidance leads away from."""
MEMORY_FOR_TILES = 0.2  # of the whole: what weights for tiles may take more than their layers did
ANCHORS_PER_FRAME = 3  # of a batch, whose early predictions are remembered


def open_diffusion(
    source: ModelSource,
    recipe: Recipe,
    device: str,
    batch: int | None = None,
    on_text: Callable[[int, int], None] | None = None,
    compute: ComputeConfig | None = None,
    images: Mapping[str, Path] | None = None,
    loras: Sequence[Lora] = (),
    on_notice: Callable[[str], None] = lambda notice: None,
) -> Diffusion:
    """Load a model for a recipe.

    Args:
        source: where the weights are.
        recipe: what all frames share.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        batch: frames a call, or None for a number that is always the same on such a device.
        on_text: told (done, total) while texts are encoded.
        compute: what it says of little memory and of threads.
        images: where the pictures lie that frames start from or follow, by the sha256 of their
            files.
        loras: those that frames may name.
        on_notice: told what an engine takes long for, a line each.

    Raises:
        ConfigError: the model, its scheduler, a LoRA or the device can't be used; one line a
            reason.
        OutOfMemory: the model does not fit.
    """
    if compute and (threads := threads_for(compute.threads)):
        torch.set_num_threads(threads)
    with out_of_memory():
        pipeline, family = load_pipeline(source, recipe, device, compute, bool(loras))
        adapters = Adapters(pipeline, family, loras)
        if loras and device == "cpu" and (compute is None or compute.offload == "none"):
            latents = family.noise_shape(pipeline, recipe.height, recipe.width)
            merge_upsampling(pipeline, latents, family.denoiser == "unet")  # what no LoRA changes
        residuals = load_residuals(source, recipe, device, images or {})
        diffusion = Diffusion(
            pipeline, family, recipe, device, batch, on_text, images, adapters, residuals
        )
        diffusion.readers_may_go = compute is None or compute.offload == "none"
        if batch is None and diffusion.kind == "cuda" and diffusion.readers_may_go:
            diffusion.fill_gpu()  # parts that wait in main memory can't be measured so
        diffusion.start_engine(compute or ComputeConfig(), on_notice)
    if diffusion.kind == "cpu":
        keep_freed()  # after loading, so that text encoders' memory is given back
    return diffusion


class Diffusion:
    """A loaded model that renders frames of one recipe.

    Attributes:
        batch: frames to give `render` at a time.
        rows: denoiser rows computed so far, and in `padded_rows` those that only filled calls.
        readers_may_go: whether the text encoders are freed when all texts that are expected are
            encoded; those that LoRAs change never are.
    """

    placeholder: Placeholder

    def __init__(
        self,
        pipeline: Any,
        family: Family,
        recipe: Recipe,
        device: str,
        batch: int | None = None,
        on_text: Callable[[int, int], None] | None = None,
        images: Mapping[str, Path] | None = None,
        adapters: Adapters | None = None,
        residuals: Residuals | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.family = family
        self.recipe = recipe
        self.on_text = on_text
        self.adapters = adapters or Adapters(pipeline, family)
        self.noise_shape = (1, *family.noise_shape(pipeline, recipe.height, recipe.width))
        self.device = torch.device(device)
        self.kind = self.device.type
        self.batch = batch or frames_at_once(self.kind, self.noise_shape)
        self.denoiser = BlendedDenoiser(
            getattr(pipeline, family.denoiser),
            family.state,
            self.rows_per_call(),
            family.guidance.combine,
        )
        self.denoiser.unguided_rows_per_call = self.rows_per_call(guided=False)
        self.denoiser.on_loras = self.adapters.apply
        self.denoiser.residuals = self.residuals = residuals
        if recipe.shortcuts.deep_cache > 1:
            self.denoiser.deep = DeepCache(self.denoiser.denoiser)
            self.denoiser.deep_every = recipe.shortcuts.deep_cache
        early = recipe.shortcuts.evaluations(self.evaluations(recipe.steps))
        self.anchors = Anchors(early, ANCHORS_PER_FRAME * self.batch)
        self.starts = Starts(pipeline, family, recipe, images) if images else None
        self.expected: frozenset[Text] = frozenset()
        self.readers_may_go = True

    def expect(self, specs: Sequence[FrameSpec]) -> None:
        """Tell which frames are coming, in order, and all of them: what they share can then be done
        together, and their texts are encoded before the first of them."""
        self.anchors.expect(specs)
        anchors = [anchor for spec in specs for anchor, _ in spec.early]
        self.expected = texts_of([*specs, *anchors], self.branches)

    def start_engine(self, compute: ComputeConfig, on_notice: Callable[[str], None]) -> None:
        """Let another engine than torch as it is compute the denoiser and the decoder; torch
        computes what a frame's rows have in common once, and large pictures in tiles."""
        engine = compute.engine
        if engine == "torch" and self.family.denoiser == "unet":
            self.denoiser.prefix = SharedPrefix(self.denoiser.denoiser, self.frames_per_call())
        if engine == "torch" and self.convolves_in_tiles(compute):
            unet = self.family.denoiser == "unet" and not self.adapters.adapters
            use_tiles(
                self.denoiser.denoiser if unet else None,
                self.pipeline.vae,
                self.noise_shape,
                int(MEMORY_FOR_TILES * whole_memory()),
            )
        if engine != "torch" and self.family.denoiser == "unet":
            use_whole(self.denoiser.denoiser)
        if engine == "compiled":
            compile_networks(self.pipeline, self.family, self.denoiser, self.kind, on_notice)
        elif engine == "openvino":
            recorded = [self.record(Text(PLACEHOLDER), rows) for rows in (1, 2)]
            quantised = compute.quantised != "none"
            convert_networks(
                self.pipeline, self.denoiser, self.recipe, recorded, on_notice, quantised
            )

    def convolves_in_tiles(self, compute: ComputeConfig) -> bool:
        """Whether layers may convolve in tiles: on a CPU, where a frame's rows are a call of their
        own, since a row's last bits hang on its place in a product."""
        alone = self.kind == "cpu" and self.frames_per_call() == 1
        return alone and compute.offload == "none"

    def set_batch(self, frames: int) -> None:
        """Render so many frames at a time from now on; on a GPU with fewer rows a call."""
        self.batch = frames
        self.denoiser.rows_per_call = self.rows_per_call()
        self.denoiser.unguided_rows_per_call = self.rows_per_call(guided=False)
        if self.denoiser.prefix:
            self.denoiser.prefix.frames_per_call = self.frames_per_call()

    def fill_gpu(self) -> None:
        """Render as many frames at a time as the GPU's memory has room for."""
        recorded = [self.record(Text(PLACEHOLDER), rows) for rows in (1, 2)]
        with torch.inference_mode():
            calls = [partial(self.denoiser.stock_forward, **given) for given in recorded]
            rows = ROWS_PER_FRAME[self.recipe.blend]
            self.set_batch(frames_for_gpu(self.device, calls, rows))
        self.anchors.remembered = ANCHORS_PER_FRAME * self.batch

    def rows_per_call(self, guided: bool = True) -> int | None:
        """Rows of every call of the denoiser, on a CPU whatever the batch.

        There, small latents gain from more rows a call than one frame has (a third of the time on
        storybook), and one frame that is left alone pays for rows that only fill its calls; large
        ones gain nothing, so that a frame's rows are a call of their own (None). A transformer's
        row comes out otherwise in its last bits by its place in the call: one row a call.
        """
        a_frame = ROWS_PER_FRAME[self.recipe.blend] - (not guided)
        if self.kind != "cpu":
            return a_frame * self.batch
        if self.family.denoiser != "unet":
            return 1
        frames = self.frames_per_call()
        return a_frame * frames if frames > 1 else None

    def frames_per_call(self) -> int:
        """Frames whose rows usually share a call, on a CPU whatever the batch."""
        return frames_at_once(self.kind, self.noise_shape) if self.kind == "cpu" else self.batch

    @property
    def rows(self) -> int:
        """Denoiser rows computed so far, without padding."""
        return self.denoiser.rows

    @property
    def padded_rows(self) -> int:
        """Rows computed so far only to fill calls."""
        return self.denoiser.padded_rows

    def render(
        self, specs: Sequence[FrameSpec], on_step: Callable[[int, int], None]
    ) -> list[Picture]:
        """Render frames together; each comes out as it would alone.

        Args:
            specs: at most `batch` of them keep to the memory that was planned.
            on_step: told (done, total) after each evaluation of the denoiser; what it raises
                ends the rendering.

        Returns:
            A picture (height, width, 3) a spec.

        Raises:
            NonFiniteFrames: some pictures are not finite; it holds the others.
            OutOfMemory: fewer frames at a time may fit.
        """
        anchors = self.anchors.missing(specs, self.batch)
        groups: dict[tuple[bool, int, bool], list[int]] = {}  # frames that share a call
        for place, spec in enumerate(specs):
            steps = steps_done(spec, self.recipe.steps, self.family)
            early = bool(self.anchors.of(spec)) or spec in anchors
            groups.setdefault((bool(spec.start), steps, early), []).append(place)
        total = sum(self.evaluations(steps) for _, steps, _ in groups)
        parts = [anchors[k : k + self.batch] for k in range(0, len(anchors), self.batch)]
        self.denoiser.on_call = step_counter(on_step, total + len(parts) * self.anchors.evaluations)
        pictures: dict[int, npt.NDArray[np.float32]] = {}
        with out_of_memory(), torch.inference_mode():
            for part in parts:
                self.begin_anchors(part)
            for (_, steps, _), places in groups.items():
                alike = self.denoise_and_decode([specs[place] for place in places], steps)
                pictures |= zip(places, alike, strict=True)
        return rounded(np.stack([pictures[place] for place in range(len(specs))]))

    def evaluations(self, steps: int) -> int:
        """How often the denoiser is called in the last steps of the schedule; once at least."""
        scheduler = self.pipeline.scheduler
        left_out: int = scheduler.order * (self.recipe.steps - max(steps, 1))
        return len(scheduler.timesteps) - left_out

    def scales(self, frames: Sequence[Branches]) -> dict[str, torch.Tensor]:
        """The guidance scales as an argument of the denoiser, where it takes them itself."""
        guidance = self.family.guidance
        if guidance.argument is None:
            return {}
        scales = torch.tensor([frame.guidance for frame in frames], dtype=torch.float32)
        return {guidance.argument: guidance.value(self.pipeline, scales)}

    def encode_texts(self, frames: Sequence[Branches]) -> None:
        """Let the pipeline encode each new text alone, and record what reaches the denoiser; the
        first time all texts that are expected."""
        if not self.denoiser.axes:
            self.learn_rows()
        texts = {text for frame in frames for row in frame.rows for text, _ in row}
        new = sorted(t for t in texts | self.expected if not self.denoiser.knows(t))
        for done, text in enumerate(new, start=1):
            self.denoiser.learn_text(text, self.record(text, 1))
            if self.on_text:
                self.on_text(done, len(new))
        if self.expected and self.readers_may_go and not self.adapters.reading:
            let_go([self.pipeline, *([self.starts.pipeline] if self.starts else [])])
        self.expected = frozenset()

    def learn_rows(self) -> None:
        """Learn from the placeholder, for one picture and for two, what follows the rows."""
        with overheard(self.pipeline) as answers:
            one, two = (self.record(Text(PLACEHOLDER), pictures) for pictures in (1, 2))
        self.denoiser.learn_axes(one, two)
        self.placeholder = Placeholder(*answers)

    def record(self, text: Text, pictures: int) -> dict[str, Any]:
        """What reaches the denoiser when the pipeline is called with a text."""
        self.adapters.apply(text.loras)
        given = {"prompt": text.words}
        whole = self.family.whole_texts and bool(text.words)
        if self.family.weighted and (whole or has_weights(text.words)):
            given = self.family.weighted(self.pipeline, text.words)
        elif text.negative and self.family.negative:
            given = self.family.negative(self.pipeline, text.words)
        noise = torch.zeros(pictures, *self.noise_shape[1:])
        return self.denoiser.record(lambda: self.call_pipeline(given, noise, None))

    def branches(self, spec: FrameSpec) -> Branches:
        """The rows of one frame."""
        return branches(spec, self.recipe.blend, self.family, self.adapters.reading)

    def begin_anchors(self, anchors: Sequence[FrameSpec]) -> None:
        """Do the early evaluations of frames that others take theirs from."""
        count = self.anchors.evaluations
        with suppress(Enough):
            self.denoise_and_decode(anchors, self.recipe.steps, last=count)
        noise = torch.cat([self.noise(spec) for spec in anchors])
        self.anchors.keep(anchors, noise, self.denoiser.kept)

    def denoise_and_decode(
        self, specs: Sequence[FrameSpec], steps: int, last: int | None = None
    ) -> npt.NDArray[np.float32]:
        """The pictures (B, H, W, 3) in 0..1 of frames that do equally many steps; all of them
        start from pictures, or none; all of them take early predictions from anchors, or none.

        Args:
            last: evaluations after which it ends, by raising Enough; None: as many as it takes.
        """
        frames = [self.branches(spec) for spec in specs]
        self.encode_texts(frames)
        self.denoiser.prepare(frames, self.scales(frames), self.way(specs, steps, last))
        if self.residuals:
            self.residuals.follow([spec.control for spec in specs])
        noise = torch.cat([self.noise(spec) for spec in specs])
        generators = [step_generator(spec.seeds, self.noise_shape) for spec in specs]
        with own_generators(self.pipeline.scheduler, generators):
            pictures: npt.NDArray[np.float32]
            if self.starts and specs[0].start:
                with self.placeholder.standing_in(self.starts.pipeline):
                    pictures = self.starts.call(PLACEHOLDER, specs, noise, steps)
            else:
                with self.placeholder.standing_in(self.pipeline):
                    pictures = self.call_pipeline({"prompt": PLACEHOLDER}, noise, generators)
        return pictures

    def way(self, specs: Sequence[FrameSpec], steps: int, last: int | None) -> Evaluations:
        """Which of these frames' evaluations are computed, and how."""
        whole, own = self.evaluations(self.recipe.steps), self.evaluations(steps)
        given = [self.anchors.given(spec) for spec in specs if self.anchors.of(spec)]
        return Evaluations(
            guided=self.recipe.shortcuts.guided(whole, whole - own),
            begins=() if specs[0].start else [beginning(spec, self.family) for spec in specs],
            given=given,
            last=last,
            keep=last or 0,
        )

    def noise(self, spec: FrameSpec) -> torch.Tensor:
        """A frame's noise (1, C, h, w), float32."""
        return starting_noise(spec.seeds, self.noise_shape, self.recipe.shortcuts.shrink)

    def call_pipeline(
        self,
        given: Mapping[str, Any],
        noise: torch.Tensor,
        generators: list[torch.Generator] | None,
    ) -> Any:
        """The stock pipeline with its own guidance off.

        Args:
            given: the prompt, as a text or as its embeddings.
            noise: (B, C, h, w), float32.
        """
        dtype = getattr(torch, self.family.noise_dtype or self.recipe.dtype)
        return self.pipeline(
            num_images_per_prompt=noise.shape[0],
            latents=self.family.pack(self.pipeline, noise).to(self.device, dtype),
            generator=generators,
            height=self.recipe.height,
            width=self.recipe.width,
            num_inference_steps=self.recipe.steps,
            output_type="np",
            **{**self.family.call, **given},
        ).images

    def close(self) -> None:
        """Free the model's memory; the object is of no use afterwards."""
        self.denoiser.close()
        del self.denoiser.stock_forward, self.denoiser.denoiser, self.denoiser.on_loras
        del self.denoiser.residuals, self.residuals, self.adapters, self.pipeline, self.starts
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def step_counter(on_step: Callable[[int, int], None], total: int) -> Callable[[], None]:
    """Counts the denoiser's evaluations of one `render`."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    return count


@contextmanager
def own_generators(scheduler: Any, generators: list[torch.Generator]) -> Iterator[None]:
    """Hand each step the frames' generators, which not every pipeline does."""
    stock_step = scheduler.step
    if "generator" not in inspect.signature(stock_step).parameters:
        yield
        return

    @functools.wraps(stock_step)  # pipelines look at what a step takes
    def step(*args: Any, **kwargs: Any) -> Any:
        return stock_step(*args, **{**kwargs, "generator": generators})

    scheduler.step = step
    try:
        yield
    finally:
        del scheduler.step


def rounded(pictures: npt.NDArray[np.float32]) -> list[Picture]:
    """Pictures (B, H, W, 3) in 0..1 to one uint8 picture each, rounded as diffusers does.

    Raises:
        NonFiniteFrames: some are NaN or infinite.
    """
    finite = [bool(np.isfinite(picture).all()) for picture in pictures]
    if all(finite):
        return [(picture * 255).round().astype(np.uint8) for picture in pictures]
    good = {
        place: rounded(picture[None])[0] for place, picture in enumerate(pictures) if finite[place]
    }
    raise NonFiniteFrames(tuple(p for p, ok in enumerate(finite) if not ok), good)


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Turn torch's several ways of saying so into OutOfMemory; other errors pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = first_line(error)
        told = any(words in said.lower() for words in ("out of memory", "can't allocate memory"))
        if told or isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise OutOfMemory(f"out of memory: {said[:200]}") from error
        raise
