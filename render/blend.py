"""Where prompts meet: the denoiser's `forward`, patched inside the family's stock pipeline.

The pipeline runs with its guidance off and one row a frame. Every call of the denoiser is turned
into the rows that the frames need (families.Branches), computed in calls of a constant number of
rows, and combined to one prediction a frame: u + g sum w_i (e_i - u), composable diffusion's
conjunction (Liu et al. 2022). Since the weights sum to 1 this holds for epsilon, v, x0 and flow
predictions alike.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from render.families import Branches, Mix

Path = tuple[str | int, ...]
Leaves = dict[Path, torch.Tensor]

REMEMBERED_TEXTS = 512  # so that memory stays flat on timelines with thousands of texts


class Recorded(BaseException):
    """Ends a recording call at the denoiser and carries the arguments it arrived with."""

    def __init__(self, arguments: Leaves) -> None:
        self.arguments = arguments


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """The tensors in nested mappings and sequences, each with the path to it."""
    if isinstance(tree, torch.Tensor):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))


def with_leaves(tree: Any, new: Leaves, path: Path = ()) -> Any:
    """The same nest with the tensors at the paths of `new` replaced."""
    if path in new:
        return new[path]
    if isinstance(tree, Mapping):
        return {key: with_leaves(value, new, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(
            with_leaves(value, new, (*path, index)) for index, value in enumerate(tree)
        )
    return tree


def row_axes(one: Leaves, two: Leaves) -> dict[Path, int]:
    """The axis of each tensor that follows the number of rows, found by comparing 1 with 2."""
    axes = {}
    for path, tensor in one.items():
        sizes = zip(tensor.shape, two[path].shape, strict=True)
        differing = [axis for axis, (single, double) in enumerate(sizes) if single != double]
        if differing:
            axes[path] = differing[0]
    return axes


def blended(conditionings: Sequence[Leaves], weights: Sequence[float]) -> Leaves:
    """Weighted sum of texts' conditionings in float32; a single one is returned as it is."""
    if len(conditionings) == 1:
        return conditionings[0]
    return {
        path: weighted_sum([c[path].float() for c in conditionings], weights).to(tensor.dtype)
        for path, tensor in conditionings[0].items()
    }


def weighted_sum(tensors: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """sum w_i x_i over the weights that are not zero, in the given order."""
    terms = [w * x for w, x in zip(weights, tensors, strict=True) if w != 0]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def combined(frame: Branches, predictions: Sequence[torch.Tensor]) -> torch.Tensor:
    """One frame's prediction from its rows' float32 predictions: u + g sum w_i (e_i - u)."""
    if len(predictions) == 1:
        return predictions[0]
    if frame.guidance == 1:
        return weighted_sum(predictions, frame.conditional)
    u = weighted_sum(predictions, frame.unconditional)
    if frame.guidance == 0:
        return u
    return u + frame.guidance * weighted_sum([e - u for e in predictions], frame.conditional)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the denoiser: whose state each row takes, its conditioning, how many count."""

    owners: torch.Tensor
    conditioning: Leaves
    rows: int


class BlendedDenoiser:
    """A denoiser whose `forward` takes one row a frame and returns the frame's blend.

    Args:
        denoiser: the pipeline's U-Net or transformer. Its `forward` is replaced on the instance
            (the pipelines check the class, so the object itself stays).
        state: names of the arguments that belong to the frame and not to its text.
        rows_per_call: every call computes exactly that many rows, the last one padded, so that
            a frame's pixels do not depend on how many others it is rendered with.
    """

    def __init__(
        self, denoiser: torch.nn.Module, state: frozenset[str], rows_per_call: int
    ) -> None:
        self.denoiser = denoiser
        self.state = state
        self.rows_per_call = rows_per_call
        self.rows = 0
        self.padded_rows = 0
        self.axes: dict[Path, int] = {}
        self.texts: OrderedDict[str, Leaves] = OrderedDict()
        self.frames: Sequence[Branches] | None = None
        self.calls: list[Call] = []
        self.on_call: Callable[[], None] = lambda: None
        self.stock_forward: Callable[..., Any] = denoiser.forward
        self.signature = inspect.signature(denoiser.forward)
        denoiser.forward = self.forward

    def close(self) -> None:
        """Give the denoiser its own `forward` back and forget the texts."""
        self.denoiser.__dict__.pop("forward", None)
        self.texts.clear()
        self.calls.clear()

    def record(self, call: Callable[[], object]) -> Leaves:
        """The tensors that reach the denoiser when `call` runs the pipeline; it ends there."""
        self.frames = None
        try:
            call()
        except Recorded as recorded:
            return recorded.arguments
        raise RuntimeError("the pipeline returned without calling its denoiser")

    def learn_axes(self, one: Leaves, two: Leaves) -> None:
        """Learn from recordings with one and two rows which axis of which tensor follows them."""
        self.axes = row_axes(one, two)

    def learn_text(self, text: str, arguments: Leaves) -> None:
        """Keep the conditioning of a text from a recording with one row."""
        self.texts[text] = {
            path: tensor
            for path, tensor in arguments.items()
            if path in self.axes and path[0] not in self.state
        }

    def knows(self, text: str) -> bool:
        """Whether the text's conditioning is there; asking keeps it among the latest used."""
        if text in self.texts:
            self.texts.move_to_end(text)
        return text in self.texts

    def prepare(self, frames: Sequence[Branches]) -> None:
        """Lay out the calls that every evaluation of these frames makes. Their texts are known."""
        self.frames = frames
        rows = [(owner, row) for owner, frame in enumerate(frames) for row in frame.rows]
        size = self.rows_per_call
        self.calls = [self.call(rows[start : start + size]) for start in range(0, len(rows), size)]
        needed = {text for _, row in rows for text, _ in row}
        while len(self.texts) > max(REMEMBERED_TEXTS, len(needed)):
            self.texts.popitem(last=False)

    def call(self, rows: Sequence[tuple[int, Mix]]) -> Call:
        """The call for at most `rows_per_call` rows; the last row is repeated to fill it."""
        padded = [*rows, *[rows[-1]] * (self.rows_per_call - len(rows))]
        mixes = [
            blended([self.texts[text] for text, _ in row], [weight for _, weight in row])
            for _, row in padded
        ]
        conditioning = {
            path: torch.cat([mix[path] for mix in mixes], dim=self.axes[path]) for path in mixes[0]
        }
        return Call(torch.tensor([owner for owner, _ in padded]), conditioning, len(rows))

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        """In place of the denoiser's own: pipelines ask for a tuple (`return_dict=False`)."""
        arguments = dict(self.signature.bind(*args, **kwargs).arguments)
        given = dict(leaves(arguments))
        if self.frames is None:
            raise Recorded(given)
        own = {p: axis for p, axis in self.axes.items() if p[0] in self.state and p in given}
        predictions: list[torch.Tensor] = []
        for call in self.calls:
            state = {
                path: given[path].index_select(axis, call.owners.to(given[path].device))
                for path, axis in own.items()
            }
            output = self.stock_forward(**with_leaves(arguments, state | call.conditioning))[0]
            predictions += output[: call.rows].float().unbind(0)
            self.rows += call.rows
            self.padded_rows += self.rows_per_call - call.rows
        self.on_call()
        return (self.combine(predictions).to(output.dtype),)

    def combine(self, predictions: Sequence[torch.Tensor]) -> torch.Tensor:
        """Predictions of all rows, in the frames' order, to one row a frame."""
        rows = iter(predictions)
        return torch.stack(
            [combined(frame, [next(rows) for _ in frame.rows]) for frame in self.frames or ()]
        )
