"""Where prompts meet: the denoiser's `forward`, patched inside the family's stock pipeline.

The pipeline runs with its guidance off and one row a frame. Every call of the denoiser is turned
into the rows that the frames need (branches.Branches), computed in calls of a constant number of
rows, and combined to one prediction a frame: u + g sum w_i (e_i - u), composable diffusion's
conjunction (Liu et al. 2022), or what the family has in place of it. Since the weights sum to 1
this holds for epsilon, v, x0 and flow predictions alike.

What need not be computed is not: frames that begin with the same latents share the rows of their
first evaluation, and frames between two anchors take the early ones from them (early.py).
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from render.diffusion.shared_predictions import FirstRows
from render.kernels.call_arguments import (
    Leaves,
    Path,
    at,
    blended,
    joined,
    picked,
    row_axes,
    shapes,
    weighted_sum,
    with_leaves,
)
from render.kernels.cuda_async import instant_on
from render.kernels.deep_cache import DeepCache
from render.kernels.shared_prefix import Prefix
from render.models.guidance import classifier_free
from render.plan.conditioning import Branches, Mix, Text, Weights, unguided

Combine = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
Row = tuple[int, Mix]
"""A row by the frame whose state it takes and by its texts."""
Residual = Callable[[Mapping[str, Any], Sequence[Row]], Mapping[str, Any]]

REMEMBERED_TEXTS = 512  # so that memory stays flat on timelines with thousands of texts


class Recorded(BaseException):
    """Ends a recording call at the denoiser and carries the arguments it arrived with."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments


class Enough(BaseException):
    """Ends a call of the pipeline after the evaluations that were wanted."""


def combined(
    frame: Branches, predictions: Sequence[torch.Tensor], combine: Combine = classifier_free
) -> torch.Tensor:
    """One frame's prediction from its rows' float32 predictions: u + g sum w_i (e_i - u)."""
    if len(predictions) == 1:
        return predictions[0]
    if not any(frame.unconditional):
        return side(frame, predictions, frame.conditional)
    u = side(frame, predictions, frame.unconditional)
    if frame.combine:
        towards = side(frame, predictions, frame.conditional) - u
    else:
        towards = weighted_sum([e - u for e in predictions], frame.conditional)
    return combine(u, towards, frame.guidance)


def side(
    frame: Branches, predictions: Sequence[torch.Tensor], weights: Sequence[float]
) -> torch.Tensor:
    """The prediction of the prompts or of the negatives, whose rows have these weights."""
    if frame.combine is None:
        return weighted_sum(predictions, weights)
    pairs = [(e, w) for e, w in zip(predictions, weights, strict=True) if w]
    given = [e for e, _ in pairs], [w for _, w in pairs]
    blended: torch.Tensor = given[0][0] if len(pairs) == 1 else frame.combine(*given)
    return blended


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the denoiser: the rows it computes, the frames whose state they take (`owners`,
    one more often than once to fill the call), their conditioning and their LoRAs."""

    rows: Sequence[Row]
    owners: tuple[int, ...]
    conditioning: Leaves
    loras: Weights = ()


@dataclass(frozen=True, slots=True)
class Evaluations:
    """How the evaluations go of frames that are denoised together.

    The defaults are the plain way: every row of every frame, every time.
    """

    guided: range | None = None
    """In which there is guidance; None: in all."""
    begins: Sequence[Hashable] = ()
    """A frame's first latents by what they are made of, where equal ones may share rows."""
    given: Sequence[Sequence[torch.Tensor]] = ()
    """Predictions that a frame need not compute: those of its first evaluations."""
    last: int | None = None
    """Evaluations after which the call ends; None: the schedule's own."""
    keep: int = 0
    """First evaluations whose predictions are kept."""


class BlendedDenoiser:
    """A denoiser whose `forward` takes one row a frame and returns the frame's blend.

    Args:
        denoiser: the pipeline's U-Net or transformer. Its `forward` is replaced on the instance
            (the pipelines check the class, so the object itself stays).
        state: names of the arguments that belong to the frame and not to its text; a dot leads
            into a mapping.
        rows_per_call: every call computes exactly that many rows, the last one padded, so that
            a frame's pixels do not depend on how many others it is rendered with; None: a frame's
            rows are one call, and no other frame's are in it. So it is for frames with LoRAs,
            whose weights can differ, unless a row is a call.
        combine: the family's guidance.

    Attributes:
        unguided_rows_per_call: the same for evaluations without guidance, which have fewer rows.
        deep: where the deep blocks' features are kept, if they are computed at every n-th
            evaluation (`deep_every`) only. First rows, which frames share, don't count.
        prefix: the layers that a frame's rows have in common, if they are computed once.
        rows: computed so far; apart from them `padded_rows`, which only filled calls, and
            `shallow_rows`, on deep features of an evaluation before.
        kept: the predictions (frames, …) of the first evaluations, as many as were to be kept.
    """

    def __init__(
        self,
        denoiser: torch.nn.Module,
        state: frozenset[str],
        rows_per_call: int | None,
        combine: Combine = classifier_free,
    ) -> None:
        self.denoiser = denoiser
        self.state = state
        self.rows_per_call = self.unguided_rows_per_call = rows_per_call
        self.guide = combine
        self.rows = self.padded_rows = self.shallow_rows = 0
        self.axes: dict[Path, int] = {}
        self.texts: OrderedDict[Text, Leaves] = OrderedDict()
        self.frames: Sequence[Branches] | None = None
        self.own: Mapping[str, torch.Tensor] = {}
        self.plan = Evaluations()
        self.number = 0
        self.first = FirstRows()
        self.kept: list[torch.Tensor] = []
        self.calls: dict[bool, list[Call]] = {}
        self.listed, self.dtype = False, torch.float32  # what it answers with
        self.on_call: Callable[[], None] = lambda: None
        self.on_loras: Callable[[Weights], None] = lambda weights: None
        self.residuals: Residual | None = None
        self.deep: DeepCache | None = None
        self.prefix: Prefix | None = None
        self.deep_every = 1
        self.since_whole = 0
        self.stock_forward: Callable[..., Any] = denoiser.forward
        self.signature = inspect.signature(denoiser.forward)
        denoiser.forward = self.forward

    def close(self) -> None:
        """Give the denoiser its own `forward` back and forget the texts."""
        self.denoiser.__dict__.pop("forward", None)
        self.texts.clear()
        self.calls.clear()
        self.kept.clear()
        self.first = FirstRows()

    @contextmanager
    def standing_aside(self) -> Iterator[None]:
        """The denoiser as the pipeline knows it, inside of the block."""
        self.denoiser.__dict__.pop("forward")
        try:
            yield
        finally:
            self.denoiser.forward = self.forward

    def record(self, call: Callable[[], object]) -> dict[str, Any]:
        """The arguments that reach the denoiser when `call` runs the pipeline; it ends there."""
        self.frames = None
        try:
            call()
        except Recorded as recorded:
            return recorded.arguments
        raise RuntimeError("the pipeline returned without calling its denoiser")

    def learn_axes(self, one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
        """Learn from recordings with one and two rows what follows the rows, and on which axis."""
        self.axes = row_axes(one, two)

    def is_state(self, path: Path) -> bool:
        """Whether what stands there is the frame's."""
        dotted = [".".join(map(str, path[:depth])) for depth in range(1, len(path) + 1)]
        return not self.state.isdisjoint(dotted)

    def learn_text(self, text: Text, arguments: Mapping[str, Any]) -> None:
        """Keep the conditioning of a text from a recording with one row."""
        self.texts[text] = {
            path: at(arguments, path) for path in self.axes if not self.is_state(path)
        }

    def knows(self, text: Text) -> bool:
        """Whether the text's conditioning is there; asking keeps it among the latest used."""
        if text in self.texts:
            self.texts.move_to_end(text)
        return text in self.texts

    def prepare(
        self,
        frames: Sequence[Branches],
        own: Mapping[str, torch.Tensor] | None = None,
        plan: Evaluations | None = None,
    ) -> None:
        """Get ready for the evaluations of these frames. Their texts are known.

        Args:
            own: arguments in which each frame has a value of its own, with one row a frame.
            plan: what of the evaluations need not be computed.
        """
        self.frames, self.own, self.plan = frames, own or {}, plan or Evaluations()
        self.number, self.kept, self.calls, self.since_whole = 0, [], {}, 0
        if self.deep:
            self.deep.features.clear()
        needed = {text for frame in frames for row in frame.rows for text, _ in row}
        while len(self.texts) > max(REMEMBERED_TEXTS, len(needed)):
            self.texts.popitem(last=False)

    def lay_out(
        self,
        frames: Sequence[Branches],
        rows: Sequence[Row],
        rows_per_call: int | None,
        rows_apart: int | None = None,
    ) -> list[Call]:
        """The calls that compute these rows.

        Texts of different lengths can't share a call, nor can LoRAs of different weights.

        Args:
            rows_apart: rows of a call that no other frame's are in; None: all that frame has.
        """
        mixes = [self.conditioning(row) for _, row in rows]
        alike: dict[Any, list[int]] = {}
        for place, leaves in enumerate(mixes):
            owner = rows[place][0]
            loras = frames[owner].loras
            apart = rows_per_call is None or (loras and rows_per_call != 1)
            size, alone = (rows_apart, owner) if apart else (rows_per_call, None)
            alike.setdefault((loras, size, alone, *map(shapes, leaves.values())), []).append(place)
        return [
            self.call(places[start : start + (size or len(places))], size, rows, mixes, loras)
            for (loras, size, *_), places in alike.items()
            for start in range(0, len(places), size or len(places))
        ]

    def conditioning(self, row: Mix) -> Leaves:
        """What one row is conditioned on."""
        return blended([self.texts[text] for text, _ in row], [weight for _, weight in row])

    def call(
        self,
        places: Sequence[int],
        size: int | None,
        rows: Sequence[Row],
        mixes: Sequence[Leaves],
        loras: Weights,
    ) -> Call:
        """The call for at most `size` of the rows; the last one is repeated to fill it."""
        padded = [*places, *[places[-1]] * ((size or len(places)) - len(places))]
        conditioning = {
            path: joined([mixes[place][path] for place in padded], self.axes[path])
            for path in mixes[places[0]]
        }
        owners = tuple(rows[place][0] for place in padded)
        return Call([rows[place] for place in places], owners, conditioning, loras)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any]:
        """In place of the denoiser's own: pipelines ask for a tuple (`return_dict=False`)."""
        arguments = dict(self.signature.bind(*args, **kwargs).arguments)
        if self.frames is None:
            raise Recorded(arguments)
        number, self.number = self.number, self.number + 1
        given = [
            predictions[number] for predictions in self.plan.given if number < len(predictions)
        ]
        blend = torch.stack(given) if given else self.computed(arguments, number)
        if number < self.plan.keep:
            self.kept.append(blend)
        self.on_call()
        if self.number == self.plan.last:
            raise Enough
        blend = blend.to(self.dtype)
        return (list(blend) if self.listed else blend,)

    def computed(self, arguments: dict[str, Any], number: int) -> torch.Tensor:
        """One row a frame (frames, …) in float32, of the evaluation of this number."""
        arguments |= {name: value.to(arguments[name]) for name, value in self.own.items()}
        if isinstance(sample := arguments.get("sample"), torch.Tensor):  # a U-Net's
            arguments["timestep"] = instant_on(sample.device, arguments["timestep"])
        guided = self.plan.guided is None or number in self.plan.guided
        frames = [frame if guided else unguided(frame) for frame in self.frames or ()]
        size = self.rows_per_call if guided else self.unguided_rows_per_call
        rows = [(owner, row) for owner, frame in enumerate(frames) for row in frame.rows]
        if number == 0 and self.plan.begins:
            predictions = self.begun(arguments, frames, rows, size)
        else:
            if guided not in self.calls:
                self.calls[guided] = self.lay_out(frames, rows, size)
                self.since_whole = 0
            shallow = self.since_whole % self.deep_every > 0
            self.since_whole += 1
            predictions = self.run(self.calls[guided], arguments, shallow)
        return self.combine(frames, predictions)

    def begun(
        self,
        arguments: Mapping[str, Any],
        frames: Sequence[Branches],
        rows: Sequence[Row],
        size: int | None,
    ) -> dict[Row, torch.Tensor]:
        """First evaluations: one row for all frames that begin alike, however they are rendered.

        So that a row's call never hangs on what is known already, rows that don't fill up calls
        together are calls of their own.
        """
        keys: dict[Row, Hashable] = {row: (self.plan.begins[row[0]], row[1]) for row in rows}
        known = {key: self.first[key] for key in keys.values() if key in self.first}
        new = {key: row for row, key in reversed(keys.items()) if key not in known}
        computed = self.run(self.lay_out(frames, list(new.values()), size, 1), arguments)
        found = {key: computed[row] for key, row in new.items()}
        self.first.keep(found)
        known |= found
        return {row: known[key] for row, key in keys.items()}

    def run(
        self, calls: Sequence[Call], arguments: Mapping[str, Any], shallow: bool = False
    ) -> dict[Row, torch.Tensor]:
        """The rows' predictions in float32.

        Args:
            shallow: on the deep features of an evaluation before.
        """
        own = {path: axis for path, axis in self.axes.items() if self.is_state(path)}
        predictions: dict[Row, torch.Tensor] = {}
        for call in calls:
            state = {
                path: picked(at(arguments, path), axis, call.owners) for path, axis in own.items()
            }
            self.on_loras(call.loras)
            given = with_leaves(arguments, state | call.conditioning)
            filled = [*call.rows, *[call.rows[-1]] * (len(call.owners) - len(call.rows))]
            if self.residuals:  # a ControlNet's, for these very rows
                given |= self.residuals(given, filled)
            if self.deep:
                self.deep.rows, self.deep.shallow = filled, shallow
            with self.prefix.among(call.owners) if self.prefix else nullcontext():
                output = self.stock_forward(**given)[0]
            self.listed, self.dtype = isinstance(output, list), output[0].dtype
            for row, prediction in zip(call.rows, output, strict=False):  # the rest is padding
                predictions[row] = prediction.float()
            if shallow:
                self.shallow_rows += len(call.rows)
            else:
                self.rows += len(call.rows)
                self.padded_rows += len(call.owners) - len(call.rows)
        return predictions

    def combine(
        self, frames: Sequence[Branches], predictions: Mapping[Row, torch.Tensor]
    ) -> torch.Tensor:
        """Predictions of all rows to one a frame."""
        return torch.stack(
            [
                combined(frame, [predictions[owner, row] for row in frame.rows], self.guide)
                for owner, frame in enumerate(frames)
            ]
        )
