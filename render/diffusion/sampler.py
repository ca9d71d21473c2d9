"""Frame specs to pictures: noise, texts, denoising, decoding, for a batch of frames at a time.

The family's stock pipeline does the text encoding, the schedule and the decoding; the noise is ours
(noise.py) and so is the inside of the denoiser's call, where prompts meet (blend.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from render.diffusion.batch_size import frames_at_once
from render.diffusion.blended_denoiser import BlendedDenoiser, Enough, Evaluations
from render.diffusion.controlnet import Residuals
from render.diffusion.lora_adapters import Adapters
from render.diffusion.noise import brownian, starting_noise, step_generator
from render.diffusion.pending_images import Arriving
from render.diffusion.shared_predictions import Anchors, FirstRows
from render.diffusion.start_images import Starts
from render.diffusion.text_encoding import (
    PLACEHOLDER,
    Placeholder,
    free_memory,
    let_go,
    overheard,
    texts_of,
)
from render.errors import OutOfMemory
from render.kernels.cuda_async import sent
from render.kernels.deep_cache import DeepCache
from render.models.family import Family
from render.models.hub_errors import first_line
from render.models.prompt_weights import has_weights
from render.plan.blends import BLENDS
from render.plan.conditioning import Branches, Text, beginning, branches, steps_done
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

ANCHORS_PER_FRAME = 3  # of a batch, whose early predictions are remembered


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
        self.expected: frozenset[Text] = frozenset()
        self.readers_may_go = True
        self.turn_to(recipe, images)

    def turn_to(self, recipe: Recipe, images: Mapping[str, Path] | None = None) -> None:
        """Render by this recipe from now on, whose scheduler the pipeline has. It is the first one
        but for its scheduler, steps, guidance interval and anchors."""
        self.recipe = recipe
        self.denoiser.first = FirstRows()
        early = recipe.shortcuts.evaluations(self.evaluations(recipe.steps))
        own = recipe.shortcuts.own_early
        self.anchors = Anchors(early, ANCHORS_PER_FRAME * self.batch, own)
        self.starts = Starts(self.pipeline, self.family, recipe, images) if images else None

    def expect(self, specs: Sequence[FrameSpec]) -> None:
        """Tell which frames are coming, in order, and all of them: what they share can then be done
        together, and their texts are encoded before the first of them."""
        self.anchors.expect(specs)
        anchors = [anchor for spec in specs for anchor, _ in spec.early]
        self.expected = texts_of([*specs, *anchors], self.branches)

    def set_batch(self, frames: int) -> None:
        """Render so many frames at a time from now on; on a GPU with fewer rows a call."""
        self.batch = frames
        self.denoiser.rows_per_call = self.rows_per_call()
        self.denoiser.unguided_rows_per_call = self.rows_per_call(guided=False)
        if self.denoiser.prefix:
            self.denoiser.prefix.frames_per_call = self.frames_per_call()

    def rows_per_call(self, guided: bool = True) -> int | None:
        """Rows of every call of the denoiser, on a CPU whatever the batch.

        There, small latents gain from more rows a call than one frame has (a third of the time on
        storybook), and one frame that is left alone pays for rows that only fill its calls; large
        ones gain nothing, so that a frame's rows are a call of their own (None). A transformer's
        row comes out otherwise in its last bits by its place in the call: one row a call.
        """
        a_frame = BLENDS[self.recipe.blend].usual_rows - (not guided)
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

    def render(self, specs: Sequence[FrameSpec], on_step: Callable[[int, int], None]) -> Arriving:
        """Render frames together; each comes out as it would alone.

        A GPU may still be at them when this returns, and be given more.

        Args:
            specs: at most `batch` of them keep to the memory that was planned.
            on_step: told (done, total) after each evaluation of the denoiser; what it raises
                ends the rendering.

        Returns:
            A picture (height, width, 3) a spec.

        Raises:
            OutOfMemory: fewer frames at a time may fit.
        """
        anchors = self.anchors.missing(specs, self.batch)
        groups: dict[tuple[bool, int, bool], list[int]] = {}  # frames that share a call
        for place, spec in enumerate(specs):
            steps = steps_done(spec, self.recipe.steps, self.family)
            early = bool(self.anchors.of(spec)) or (self.anchors.own and spec in anchors)
            groups.setdefault((bool(spec.start), steps, early), []).append(place)
        total = sum(self.evaluations(steps) for _, steps, _ in groups)
        parts = [anchors[k : k + self.batch] for k in range(0, len(anchors), self.batch)]
        self.denoiser.on_call = step_counter(on_step, total + len(parts) * self.anchors.evaluations)
        pictures: dict[int, torch.Tensor] = {}
        with out_of_memory(), torch.inference_mode():
            for part in parts:
                self.begin_anchors(part)
            for (_, steps, _), places in groups.items():
                alike = self.denoise_and_decode([specs[place] for place in places], steps)
                pictures |= zip(places, alike, strict=True)
            return rounded(torch.stack([pictures[place] for place in range(len(specs))]))

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
    ) -> torch.Tensor:
        """The pictures (B, 3, H, W) in 0..1 of frames that do equally many steps; all of them
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
            pictures: torch.Tensor
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
            latents=sent(self.family.pack(self.pipeline, noise), self.device, dtype),
            generator=generators,
            height=self.recipe.height,
            width=self.recipe.width,
            num_inference_steps=self.recipe.steps,
            output_type="pt",
            **{**self.family.call, **given},
        ).images

    def close(self) -> None:
        """Free the model's memory; the object is of no use afterwards."""
        self.denoiser.close()
        del self.denoiser.stock_forward, self.denoiser.denoiser, self.denoiser.on_loras
        del self.denoiser.residuals, self.residuals, self.adapters, self.pipeline, self.starts
        free_memory()


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
    """Hand each step the frames' generators, which not every pipeline does, or a Brownian motion
    that each of them draws."""
    stock_step = scheduler.step
    given: dict[str, Any] = {"generator": generators}
    if "generator" not in inspect.signature(stock_step).parameters:
        if not hasattr(scheduler, "noise_sampler"):
            yield
            return
        given, scheduler.noise_sampler = {}, None

    @functools.wraps(stock_step)  # pipelines look at what a step takes
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        if not given and scheduler.noise_sampler is None:
            motion = brownian(generators, scheduler.sigmas)
            scheduler.noise_sampler = functools.partial(motion, sample)
        return stock_step(model_output, timestep, sample, *args, **{**kwargs, **given})

    scheduler.step = step
    try:
        yield
    finally:
        del scheduler.step


def rounded(pictures: torch.Tensor) -> Arriving:
    """Pictures (B, 3, H, W) in 0..1 as uint8 pictures (H, W, 3), rounded as diffusers does.

    That is done on their device, so that a quarter of the bytes leaves a GPU, and nothing here
    waits for them.
    """
    finite = to_main_memory(torch.isfinite(pictures).flatten(1).all(1))
    levels = pictures.float().mul(255).round().to(torch.uint8)
    shown = to_main_memory(levels.permute(0, 2, 3, 1).contiguous())
    event = None
    if pictures.is_cuda:
        event = torch.cuda.Event(blocking=True)  # whoever waits for it leaves the cores alone
        event.record()
    return Arriving(list(shown.numpy()), finite.numpy(), event)


def to_main_memory(tensor: torch.Tensor) -> torch.Tensor:
    """The same there; from a GPU into pinned memory, where it arrives later."""
    if not tensor.is_cuda:
        return tensor.cpu()
    there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return there.copy_(tensor, non_blocking=True)


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
