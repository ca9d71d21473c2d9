"""Frame specs to pictures: noise, texts, denoising, decoding, for a batch of frames at a time.

The family's stock pipeline does the text encoding, the schedule and the decoding; the noise is ours
(noise.py) and so is the inside of the denoiser's call, where prompts meet (blended_denoiser.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from render.diffusion.blended_denoiser import BlendedDenoiser
from render.diffusion.call_layout import RowsPerCall
from render.diffusion.controlnet import Residuals
from render.diffusion.decoded import out_of_memory, rounded
from render.diffusion.evaluations import Enough, Evaluations
from render.diffusion.family_pipeline import FamilyPipeline
from render.diffusion.noise import starting_noise, step_generator
from render.diffusion.not_finite import cause
from render.diffusion.pending_images import Arriving
from render.diffusion.pipeline import quiet_libraries
from render.diffusion.schedules import own_generators
from render.diffusion.shared_predictions import Anchors
from render.diffusion.smooth_path import Nodes, Paths, ending_at, in_step
from render.diffusion.start_images import Starts
from render.diffusion.text_encoding import PLACEHOLDER, OnText, TextReader, release_memory, texts_of
from render.kernels.memory_format import multiplied_as_declared
from render.models.family import Family
from render.plan.conditioning import FrameRows, beginning, frame_rows, steps_done
from render.plan.frame_plan import Recipe
from render.timeline.smooth_path import nodes
from render.timeline.spec import FrameSpec, SmoothPath

ANCHORS_PER_FRAME = 3  # of a batch, whose early predictions are remembered

OnStep = Callable[[int, int], None]
"""(evaluations of the denoiser done, all of them)."""


class Diffusion:
    """A loaded model that renders frames of one recipe.

    Args:
        stock: the family's pipeline.
        denoiser: stands in the place of the pipeline's own.
        batch: frames to give `render` at a time.
        images: where the pictures lie that frames start from, by their digests.
        residuals: a ControlNet.
        in_place: whether the model's parts stay where they are, so that text encoders can be freed.
    """

    def __init__(
        self,
        stock: FamilyPipeline,
        denoiser: BlendedDenoiser,
        batch: int,
        images: Mapping[str, Path] | None = None,
        residuals: Residuals | None = None,
        in_place: bool = True,
    ) -> None:
        self.stock, self.denoiser, self.batch, self.residuals = stock, denoiser, batch, residuals
        self.reader = TextReader(stock, denoiser.texts, in_place)
        self.begin(stock.recipe, images)

    @property
    def pipeline(self) -> Any:
        """The stock pipeline."""
        return self.stock.pipeline

    @property
    def family(self) -> Family:
        """How its pipeline is called."""
        return self.stock.family

    @property
    def recipe(self) -> Recipe:
        """The recipe of all frames."""
        return self.stock.recipe

    def turn_to(self, recipe: Recipe, images: Mapping[str, Path] | None = None) -> None:
        """Render by this recipe from now on. It is the first one but for its scheduler, steps,
        guidance interval and anchors.

        Raises:
            ConfigError: the scheduler refuses its options or the number of steps.
        """
        with quiet_libraries():
            self.stock.turn_to(recipe)
            self.begin(recipe, images)

    def begin(self, recipe: Recipe, images: Mapping[str, Path] | None) -> None:
        """Start anew with everything that depends on the schedule."""
        self.denoiser.forget_first_rows()
        early = recipe.approximations.evaluations(self.stock.evaluations(recipe.steps))
        own = recipe.approximations.own_early
        self.anchors = Anchors(early, ANCHORS_PER_FRAME * self.batch, own)
        stock = self.stock
        self.starts = Starts(stock.pipeline, stock.family, recipe, images) if images else None
        self.paths = Paths()

    def expect(
        self,
        specs: Sequence[FrameSpec],
        on_text: OnText | None = None,
        last: bool = True,
        nodes: Nodes | None = None,
    ) -> None:
        """Say which frames are coming, in order, and all of them: what they share can then be done
        together, and their texts are encoded before the first of them.

        Args:
            on_text: called after each text that is encoded.
            last: whether the model renders no others afterwards, so that its text encoders may be
                freed.
            nodes: where the nodes of smooth paths are kept.
        """
        self.anchors.expect(specs)
        self.paths = Paths(specs, nodes, math.prod(self.stock.noise_shape))
        self.reader.expect(texts_of(specs, self.frame_rows), on_text, last)

    def set_batch(self, frames: int) -> None:
        """Render so many frames at a time from now on; on a GPU with fewer rows a call."""
        self.batch = frames

    def rows_per_call(self) -> RowsPerCall:
        """Rows of every call of the denoiser."""
        return self.stock.rows_per_call(self.batch)

    @property
    def rows(self) -> int:
        """Denoiser rows computed so far, without padding."""
        return self.denoiser.rows

    @property
    def padded_rows(self) -> int:
        """Rows computed so far only to fill calls."""
        return self.denoiser.padded_rows

    def render(self, specs: Sequence[FrameSpec], on_step: OnStep) -> Arriving:
        """Render frames together; each comes out as it would alone.

        A GPU may still be at them when this returns, and be given more.

        Args:
            specs: at most `batch` of them keep to the memory that was planned.
            on_step: called after each evaluation of the denoiser; an error of it ends the
                rendering.

        Returns:
            A picture (height, width, 3) a spec.

        Raises:
            OutOfMemory: fewer frames at a time may fit.
        """
        anchors = self.anchors.missing(specs, self.batch)
        paths = self.paths.missing(specs)
        on_paths = [place for place, spec in enumerate(specs) if self.paths.of(spec)]
        groups = self.alike(specs, anchors, frozenset(on_paths))
        parts = [anchors[k : k + self.batch] for k in range(0, len(anchors), self.batch)]
        total = sum(self.stock.evaluations(steps) for _, steps, _ in groups)
        total += len(paths) * self.stock.evaluations(self.recipe.steps)
        on_call = StepCounter(on_step, total + len(parts) * self.anchors.evaluations)
        with (
            out_of_memory(),
            quiet_libraries(),
            multiplied_as_declared(self.recipe.dtype),
            torch.inference_mode(),
        ):
            for part in parts:
                self.begin_anchors(part, on_call)
            for path in paths:
                self.denoise_path(path, on_call)
            pictures = dict(zip(on_paths, self.decoded([specs[k] for k in on_paths]), strict=True))
            self.paths.forget()
            for (_, steps, _), places in groups.items():
                alike = self.denoise_and_decode([specs[place] for place in places], steps, on_call)
                pictures |= zip(places, alike, strict=True)
            whole = torch.stack([pictures[place] for place in range(len(specs))])
            return rounded(whole, lambda: self.not_finite)

    @cached_property
    def not_finite(self) -> str:
        """Why pictures are not finite; looked for once, when the first one is not."""
        texts = (each for known in self.denoiser.texts.known.values() for each in known.values())
        return cause(self.pipeline.components, texts)

    def alike(
        self, specs: Sequence[FrameSpec], anchors: Sequence[FrameSpec], others: frozenset[int]
    ) -> dict[tuple[bool, int, bool], list[int]]:
        """Places of the frames, without those of some `others`, that share a call of the pipeline:
        all of them start from pictures or none, they do equally many steps, and all take early
        predictions or none."""
        groups: dict[tuple[bool, int, bool], list[int]] = {}
        for place, spec in enumerate(specs):
            if place in others:
                continue
            steps = steps_done(spec, self.recipe.steps, self.stock.family)
            early = bool(self.anchors.of(spec)) or (self.anchors.own and spec in anchors)
            groups.setdefault((bool(spec.start), steps, early), []).append(place)
        return groups

    def frame_rows(self, spec: FrameSpec) -> FrameRows:
        """The rows of one frame."""
        stock = self.stock
        return frame_rows(spec, self.recipe.blend, stock.family, stock.adapters.reading)

    def begin_anchors(self, anchors: Sequence[FrameSpec], on_call: Callable[[], None]) -> None:
        """Do the early evaluations of frames that others take theirs from."""
        count = self.anchors.evaluations
        with suppress(Enough):
            self.denoise_and_decode(anchors, self.recipe.steps, on_call, last=count)
        noise = torch.cat([self.noise(spec) for spec in anchors])
        self.anchors.keep(anchors, noise, self.denoiser.kept)

    def denoise_path(self, path: SmoothPath, on_call: StepCounter) -> None:
        """Denoise the nodes of a path in step with each other."""
        last = self.stock.evaluations(self.recipe.steps)
        with in_step(self.pipeline.scheduler, path.parts, last) as ended, suppress(Enough):
            self.denoise_and_decode(nodes(path), self.recipe.steps, on_call, part=on_call.look)
        self.paths.add(path, ended[0].float().cpu())

    def decoded(self, specs: Sequence[FrameSpec]) -> Sequence[torch.Tensor]:
        """The pictures (3, H, W) of frames on paths that are known."""
        pictures: list[torch.Tensor] = []
        for first in range(0, len(specs), self.batch):
            part = specs[first : first + self.batch]
            noise = torch.zeros(len(part), *self.stock.noise_shape[1:])  # nothing comes of it
            self.read_texts([])
            self.denoiser.prepare((), evaluations=Evaluations(blank=True))
            with ending_at(self.pipeline.scheduler, self.paths.latents_of(part)):
                pictures += self.called(part, self.recipe.steps, noise, None)
        return pictures

    def denoise_and_decode(
        self,
        specs: Sequence[FrameSpec],
        steps: int,
        on_call: Callable[[], None],
        last: int | None = None,
        part: Callable[[], None] = lambda: None,
    ) -> torch.Tensor:
        """The pictures (B, 3, H, W) in 0..1 of frames that are `alike`.

        Args:
            on_call: called after each evaluation.
            last: evaluations after which it ends, by raising Enough; None: as many as it takes.
            part: called after each call of the network, of which an evaluation may need many.
        """
        frames = [self.frame_rows(spec) for spec in specs]
        self.read_texts(frames)
        self.denoiser.prepare(
            *(frames, self.rows_per_call(), self.stock.scales(frames)),
            *(self.evaluations(specs, steps, last), on_call, part),
        )
        if self.residuals:
            self.residuals.follow([spec.control for spec in specs])
        noise = torch.cat([self.noise(spec) for spec in specs])
        generators = [step_generator(spec.seeds, self.stock.noise_shape) for spec in specs]
        with own_generators(self.pipeline.scheduler, generators):
            return self.called(specs, steps, noise, generators)

    def read_texts(self, frames: Sequence[FrameRows]) -> None:
        """Encode the texts of these frames, and those that are expected."""
        self.reader.read(frames, [self.starts.pipeline] if self.starts else [])

    def called(
        self,
        specs: Sequence[FrameSpec],
        steps: int,
        noise: torch.Tensor,
        generators: list[torch.Generator] | None,
    ) -> torch.Tensor:
        """The pictures that a pipeline gives: the stock one, or its sister that starts from
        pictures."""
        pictures: torch.Tensor
        if self.starts and specs[0].start:
            with self.reader.placeholder.standing_in(self.starts.pipeline):
                pictures = self.starts.call(PLACEHOLDER, specs, noise, steps)
        else:
            with self.reader.placeholder.standing_in(self.pipeline):
                pictures = self.stock.call({"prompt": PLACEHOLDER}, noise, generators)
        return pictures

    def evaluations(self, specs: Sequence[FrameSpec], steps: int, last: int | None) -> Evaluations:
        """Which of these frames' evaluations are computed, and how."""
        whole, own = self.stock.evaluations(self.recipe.steps), self.stock.evaluations(steps)
        family = self.stock.family
        return Evaluations(
            guided=self.recipe.approximations.guided(whole, whole - own),
            begins=() if specs[0].start else [beginning(spec, family) for spec in specs],
            given=[self.anchors.given(spec) for spec in specs if self.anchors.of(spec)],
            last=last,
            keep=last or 0,
        )

    def noise(self, spec: FrameSpec) -> torch.Tensor:
        """A frame's noise (1, C, h, w), float32."""
        return starting_noise(spec.seeds, self.stock.noise_shape, self.recipe.approximations.shrink)

    def close(self) -> None:
        """Undo all patches and let the model go; the object is of no use afterwards.

        The pipeline is the stock one again, but for layers whose weights a kernel laid out anew
        (`Patches.exchange`) and for text encoders that were freed.
        """
        self.denoiser.close()
        self.stock.close()
        del self.stock, self.denoiser, self.reader, self.residuals, self.starts
        release_memory()


class StepCounter:
    """Counts the denoiser's evaluations of one `render`, and reports each.

    Args:
        total: of all of them.
    """

    def __init__(self, on_step: OnStep, total: int) -> None:
        self.on_step, self.total, self.done = on_step, total, 0

    def __call__(self) -> None:
        """One more is done."""
        self.done += 1
        self.on_step(self.done, self.total)

    def look(self) -> None:
        """Report the same again, so that an interruption is noticed."""
        self.on_step(self.done, self.total)
