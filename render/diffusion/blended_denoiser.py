"""Where prompts meet: the denoiser's `forward`, replaced inside the family's stock pipeline.

The pipeline runs with its guidance off and one row a frame. Every call of the denoiser is turned
into the rows that the frames need (conditioning.FrameRows), computed in calls of a constant number
of rows (call_layout.py), and combined to one prediction a frame (evaluations.combined).

What need not be computed is not: frames that begin with the same latents share the rows of their
first evaluation, and frames between two anchors take the early ones from them
(shared_predictions.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch

from render.diffusion.call_layout import Call, Row, RowsPerCall, laid_out
from render.diffusion.evaluations import Combine, Enough, Evaluations, combined
from render.diffusion.shared_predictions import FirstRows
from render.diffusion.text_conditionings import TextConditionings
from render.kernels.block_cache import BlockCache
from render.kernels.call_arguments import at, picked, with_leaves
from render.kernels.cuda_async import instant_on
from render.kernels.deep_cache import DeepCache
from render.kernels.patches import Patches
from render.kernels.shared_prefix import Prefix
from render.models.guidance import classifier_free
from render.plan.conditioning import FrameRows, Weights, unguided

Residual = Callable[[Mapping[str, Any], Sequence[Row]], Mapping[str, Any]]
PLAIN = Evaluations()
LATENTS = ("sample", "hidden_states", "x")
"""The names of networks' argument for latents."""


@dataclass(frozen=True)
class DenoiserPlan:
    """How rows are computed; it stays as long as the model is loaded."""

    compute: Callable[..., Any]
    """The network's call: its arguments by name to a tuple, whose first is a row's each."""
    combine: Combine = classifier_free
    """The family's guidance."""
    apply_loras: Callable[[Weights], None] = lambda weights: None
    """Lets the LoRAs work at a call's weights."""
    residuals: Residual | None = None
    """A ControlNet: (a call's arguments, its rows) to arguments to add."""
    prefix: Prefix | None = None
    """The layers that a frame's rows have in common, if they are computed once."""
    deep: DeepCache | None = None
    """Where deep blocks' features are kept, if they are computed at some evaluations only."""
    deep_every: int = 1
    """They are computed at every n-th evaluation; first rows, which frames share, don't count."""
    blocks: BlockCache | None = None
    """Where a transformer's changes of a row are kept, if its blocks are skipped at times."""

    def around(
        self, call: Call, shallow: bool, first: bool, frames_per_call: int
    ) -> AbstractContextManager[object]:
        """The context in which a call is computed.

        Args:
            first: whether its rows are first ones that frames share, and so no frame's own.
        """
        stack = ExitStack()
        if self.prefix:
            stack.enter_context(self.prefix.among(call.owners, frames_per_call))
        if self.deep:
            stack.enter_context(self.deep.computing(call.filled, shallow))
        if self.blocks:
            stack.enter_context(self.blocks.of((first, call.rows)))
        return stack


class BlendedDenoiser:
    """A denoiser whose `forward` takes one row a frame and returns the frame's blend.

    Args:
        denoiser: the pipeline's U-Net or transformer. Its `forward` is replaced on the instance
            (the pipelines check the class, so the object itself stays).
        texts: the texts' conditionings; those of the frames are known before they are prepared.
        plan: how rows are computed.

    Attributes:
        rows: computed so far; apart from them `padded_rows`, which only filled calls, and
            `shallow_rows`, on deep features of an evaluation before.
        kept: the predictions (frames, …) of the first evaluations, as many as were to be kept.
    """

    def __init__(
        self, denoiser: torch.nn.Module, texts: TextConditionings, plan: DenoiserPlan
    ) -> None:
        self.texts, self.plan = texts, plan
        self.rows = self.padded_rows = self.shallow_rows = 0
        self.first = FirstRows()
        self.prepare(())
        self.listed, self.dtype = False, torch.float32  # of the network's answer
        self.signature = inspect.signature(denoiser.forward)
        self.patches = Patches()
        self.patches.replace(denoiser, "forward", self.standing_for(denoiser.forward))

    def standing_for(self, stock: Callable[..., Any]) -> Callable[..., Any]:
        """A function that looks like the stock `forward` and blends."""

        @wraps(stock)
        def forward(*args: Any, **kwargs: Any) -> tuple[Any]:
            return self.forward(dict(self.signature.bind(*args, **kwargs).arguments))

        return forward

    def close(self) -> None:
        """Give the denoiser its own `forward` back and forget the frames."""
        self.patches.close()
        self.texts.known.clear()
        self.prepare(())
        self.forget_first_rows()

    def forget_first_rows(self) -> None:
        """Drop the rows that frames share: another schedule is to come."""
        self.first = FirstRows()

    def prepare(
        self,
        frames: Sequence[FrameRows],
        rows: RowsPerCall | None = None,
        own: Mapping[str, torch.Tensor] | None = None,
        evaluations: Evaluations = PLAIN,
        on_call: Callable[[], None] = lambda: None,
        on_part: Callable[[], None] = lambda: None,
    ) -> None:
        """Get ready for the evaluations of these frames.

        Args:
            rows: of every call; None: a frame's rows are a call of their own.
            own: arguments in which each frame has a value of its own, with one row a frame.
            evaluations: which of them need not be computed.
            on_call: called after each evaluation; an error of it ends the pipeline's call.
            on_part: called after each call of the network, of which an evaluation may need many.
        """
        self.frames, self.rows_per_call, self.own = frames, rows or RowsPerCall(), own or {}
        self.evaluations, self.on_call, self.on_part = evaluations, on_call, on_part
        self.number, self.since_whole = 0, 0
        self.kept: list[torch.Tensor] = []
        self.calls: dict[bool, list[Call]] = {}
        for cache in (self.plan.deep, self.plan.blocks):
            if cache:
                cache.forget()
        if frames:
            needed = {text for frame in frames for row in frame.rows for text, _ in row}
            self.texts.forget_all_but(needed)

    def forward(self, arguments: dict[str, Any]) -> tuple[Any]:
        """In place of the denoiser's own: one row a frame (frames, …), as pipelines ask for with
        `return_dict=False`.

        Raises:
            Enough: it was the last evaluation that was wanted.
        """
        if self.evaluations.blank:
            return (blank(arguments),)
        number, self.number = self.number, self.number + 1
        given = self.evaluations.given_at(number)
        blend = torch.stack(given) if given else self.computed(arguments, number)
        if number < self.evaluations.keep:
            self.kept.append(blend)
        self.on_call()
        if self.number == self.evaluations.last:
            raise Enough
        blend = blend.to(self.dtype)
        return (list(blend) if self.listed else blend,)

    def computed(self, arguments: dict[str, Any], number: int) -> torch.Tensor:
        """One row a frame (frames, …) in float32, of the evaluation of this number."""
        arguments |= {name: value.to(arguments[name]) for name, value in self.own.items()}
        if isinstance(sample := arguments.get("sample"), torch.Tensor):  # a U-Net's
            arguments["timestep"] = instant_on(sample.device, arguments["timestep"])
        guided = self.evaluations.is_guided(number)
        frames = [frame if guided else unguided(frame) for frame in self.frames]
        rows = [(owner, row) for owner, frame in enumerate(frames) for row in frame.rows]
        size = self.rows_per_call.guided if guided else self.rows_per_call.unguided
        if number == 0 and self.evaluations.begins:
            return self.combine(frames, self.begun(arguments, frames, rows, size))
        if guided not in self.calls:
            self.calls[guided] = laid_out(frames, rows, self.texts, size)
            self.since_whole = 0
        shallow = self.since_whole % self.plan.deep_every > 0
        self.since_whole += 1
        return self.combine(frames, self.run(self.calls[guided], arguments, shallow))

    def begun(
        self,
        arguments: Mapping[str, Any],
        frames: Sequence[FrameRows],
        rows: Sequence[Row],
        size: int | None,
    ) -> dict[Row, torch.Tensor]:
        """First evaluations: one row for all frames that begin alike, however they are rendered.

        So that a row's call never depends on the rows that are known already, rows that don't fill
        up calls together are calls of their own.
        """
        begins = self.evaluations.begins
        keys: dict[Row, Hashable] = {row: (begins[row[0]], row[1]) for row in rows}
        known = {key: self.first[key] for key in keys.values() if key in self.first}
        new = {key: row for row, key in reversed(keys.items()) if key not in known}
        calls = laid_out(frames, list(new.values()), self.texts, size, 1)
        computed = self.run(calls, arguments, first=True)
        found = {key: computed[row] for key, row in new.items()}
        self.first.keep(found)
        known |= found
        return {row: known[key] for row, key in keys.items()}

    def run(
        self,
        calls: Sequence[Call],
        arguments: Mapping[str, Any],
        shallow: bool = False,
        first: bool = False,
    ) -> dict[Row, torch.Tensor]:
        """The rows' predictions in float32.

        Args:
            shallow: on the deep features of an evaluation before.
            first: whether frames share them.
        """
        predictions: dict[Row, torch.Tensor] = {}
        for call in calls:
            given = self.arguments_of(call, arguments)
            with self.plan.around(call, shallow, first, self.rows_per_call.frames):
                output = self.plan.compute(**given)[0]
            self.listed, self.dtype = isinstance(output, list), output[0].dtype
            for row, prediction in zip(call.rows, output, strict=False):  # the rest is padding
                predictions[row] = prediction.float()
            self.count(call, shallow)
            self.on_part()
        return predictions

    def arguments_of(self, call: Call, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The network's arguments for a call, whose LoRAs are at work from now on.

        Args:
            arguments: the pipeline's, with one row a frame.
        """
        state = {
            path: picked(at(arguments, path), axis, call.owners)
            for path, axis in self.texts.frame_axes.items()
        }
        self.plan.apply_loras(call.loras)
        given: dict[str, Any] = with_leaves(arguments, state | call.conditioning)
        if self.plan.residuals:  # a ControlNet's, for these very rows
            given |= self.plan.residuals(given, call.filled)
        return given

    def count(self, call: Call, shallow: bool) -> None:
        """Add a call to the rows that were computed."""
        if shallow:
            self.shallow_rows += len(call.rows)
        else:
            self.rows += len(call.rows)
            self.padded_rows += len(call.owners) - len(call.rows)

    def combine(
        self, frames: Sequence[FrameRows], predictions: Mapping[Row, torch.Tensor]
    ) -> torch.Tensor:
        """Predictions of all rows to one a frame (frames, …)."""
        return torch.stack(
            [
                combined(frame, [predictions[owner, row] for row in frame.rows], self.plan.combine)
                for owner, frame in enumerate(frames)
            ]
        )


def blank(arguments: Mapping[str, Any]) -> Any:
    """Zeros in the shape of the latents that a denoiser is called with."""
    latents = next(arguments[name] for name in LATENTS if name in arguments)
    listed = isinstance(latents, list)
    return [torch.zeros_like(x) for x in latents] if listed else torch.zeros_like(latents)
