"""Where prompts meet: the denoiser's `forward`, patched inside the family's stock pipeline.

The pipeline runs with its guidance off and one row a frame. Every call of the denoiser is turned
into the rows that the frames need (branches.Branches), computed in calls of a constant number of
rows, and combined to one prediction a frame: u + g sum w_i (e_i - u), composable diffusion's
conjunction (Liu et al. 2022), or what the family has in place of it. Since the weights sum to 1
this holds for epsilon, v, x0 and flow predictions alike.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from render.branches import Branches, Mix, Text, Weights
from render.families import classifier_free

Path = tuple[str | int, ...]
Leaves = dict[Path, Any]
"""Tensors, and lists with one element a row, by the path to them."""
Combine = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]

LISTED = -1  # in place of an axis: a list with one element a row
REMEMBERED_TEXTS = 512  # so that memory stays flat on timelines with thousands of texts


class Recorded(BaseException):
    """Ends a recording call at the denoiser and carries the arguments it arrived with."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments


def row_axes(one: Any, two: Any, path: Path = ()) -> dict[Path, int]:
    """What follows the number of rows in nested arguments, and on which axis.

    Found by comparing a recording with one row to one with two: where a tensor's shapes differ or
    a list's lengths do (LISTED).
    """
    if isinstance(one, torch.Tensor):
        sizes = enumerate(zip(one.shape, two.shape, strict=True))
        differing = [axis for axis, (single, double) in sizes if single != double]
        return {path: differing[0]} if differing else {}
    if isinstance(one, Mapping):
        pairs = [(key, one[key], two[key]) for key in one]
    elif isinstance(one, list | tuple):
        if len(one) != len(two):
            return {path: LISTED}
        pairs = [(place, *both) for place, both in enumerate(zip(one, two, strict=True))]
    else:
        return {}
    return {
        found: axis
        for key, single, double in pairs
        for found, axis in row_axes(single, double, (*path, key)).items()
    }


def at(tree: Any, path: Path) -> Any:
    """What stands at a path."""
    for key in path:
        tree = tree[key]
    return tree


def with_leaves(tree: Any, new: Leaves, path: Path = ()) -> Any:
    """The same nest with what stands at the paths of `new` replaced."""
    if path in new:
        return new[path]
    if isinstance(tree, Mapping):
        return {key: with_leaves(value, new, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(
            with_leaves(value, new, (*path, index)) for index, value in enumerate(tree)
        )
    return tree


def picked(leaf: Any, axis: int, owners: torch.Tensor) -> Any:
    """The rows that the owners' states are in."""
    if axis == LISTED:
        return [leaf[owner] for owner in owners.tolist()]
    return leaf.index_select(axis, owners.to(leaf.device))


def joined(leaves: Sequence[Any], axis: int) -> Any:
    """One-row leaves as one of all rows."""
    if axis == LISTED:
        return [element for leaf in leaves for element in leaf]
    return torch.cat(list(leaves), dim=axis)


def shapes(leaf: Any) -> Any:
    """What two rows must have in common to be computed in one call."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape)
    return tuple(shapes(element) for element in leaf) if isinstance(leaf, list | tuple) else None


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


def combined(
    frame: Branches, predictions: Sequence[torch.Tensor], combine: Combine = classifier_free
) -> torch.Tensor:
    """One frame's prediction from its rows' float32 predictions: u + g sum w_i (e_i - u)."""
    if len(predictions) == 1:
        return predictions[0]
    if not any(frame.unconditional):
        return weighted_sum(predictions, frame.conditional)
    u = weighted_sum(predictions, frame.unconditional)
    towards = weighted_sum([e - u for e in predictions], frame.conditional)
    return combine(u, towards, frame.guidance)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the denoiser: which of all rows it computes, the frames whose state they take
    (`owners`, one more often than once to fill the call), their conditioning and their LoRAs."""

    places: Sequence[int]
    owners: torch.Tensor
    conditioning: Leaves
    loras: Weights = ()


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
        self.rows_per_call = rows_per_call
        self.guide = combine
        self.rows = 0
        self.padded_rows = 0
        self.axes: dict[Path, int] = {}
        self.texts: OrderedDict[Text, Leaves] = OrderedDict()
        self.frames: Sequence[Branches] | None = None
        self.own: Mapping[str, torch.Tensor] = {}
        self.calls: list[Call] = []
        self.on_call: Callable[[], None] = lambda: None
        self.on_loras: Callable[[Weights], None] = lambda weights: None
        self.residuals: Callable[[Mapping[str, Any], torch.Tensor], Mapping[str, Any]] | None = None
        self.stock_forward: Callable[..., Any] = denoiser.forward
        self.signature = inspect.signature(denoiser.forward)
        denoiser.forward = self.forward

    def close(self) -> None:
        """Give the denoiser its own `forward` back and forget the texts."""
        self.denoiser.__dict__.pop("forward", None)
        self.texts.clear()
        self.calls.clear()

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
        self, frames: Sequence[Branches], own: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        """Lay out the calls that every evaluation of these frames makes. Their texts are known.

        Args:
            own: arguments in which each frame has a value of its own, with one row a frame.
        """
        self.frames, self.own = frames, own or {}
        owners = [(owner, row) for owner, frame in enumerate(frames) for row in frame.rows]
        mixes = [self.conditioning(row) for _, row in owners]
        # Texts of different lengths can't share a call, nor can LoRAs of different weights.
        alike: dict[Any, list[int]] = {}
        for place, leaves in enumerate(mixes):
            loras = frames[owners[place][0]].loras
            apart = owners[place][0] if self.size_of_calls(loras) is None else None
            alike.setdefault((loras, apart, *map(shapes, leaves.values())), []).append(place)
        self.calls = []
        for (loras, *_), places in alike.items():
            size = self.size_of_calls(loras) or len(places)
            self.calls += [
                self.call(places[start : start + size], size, [owner for owner, _ in owners], mixes)
                for start in range(0, len(places), size)
            ]
        needed = {text for _, row in owners for text, _ in row}
        while len(self.texts) > max(REMEMBERED_TEXTS, len(needed)):
            self.texts.popitem(last=False)

    def size_of_calls(self, loras: Weights) -> int | None:
        """Rows of a call for frames with these LoRAs; None: a frame's."""
        return None if loras and self.rows_per_call != 1 else self.rows_per_call

    def conditioning(self, row: Mix) -> Leaves:
        """What one row is conditioned on."""
        return blended([self.texts[text] for text, _ in row], [weight for _, weight in row])

    def call(
        self, places: Sequence[int], size: int, owners: Sequence[int], mixes: Sequence[Leaves]
    ) -> Call:
        """The call for at most `size` rows; the last row is repeated to fill it."""
        padded = [*places, *[places[-1]] * (size - len(places))]
        conditioning = {
            path: joined([mixes[place][path] for place in padded], self.axes[path])
            for path in mixes[places[0]]
        }
        frame = (self.frames or ())[owners[places[0]]]
        owned = torch.tensor([owners[place] for place in padded])
        return Call(places, owned, conditioning, frame.loras)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any]:
        """In place of the denoiser's own: pipelines ask for a tuple (`return_dict=False`)."""
        arguments = dict(self.signature.bind(*args, **kwargs).arguments)
        if self.frames is None:
            raise Recorded(arguments)
        arguments |= {name: value.to(arguments[name]) for name, value in self.own.items()}
        own = {path: axis for path, axis in self.axes.items() if self.is_state(path)}
        predictions: dict[int, torch.Tensor] = {}
        for call in self.calls:
            state = {
                path: picked(at(arguments, path), axis, call.owners) for path, axis in own.items()
            }
            self.on_loras(call.loras)
            given = with_leaves(arguments, state | call.conditioning)
            if self.residuals:  # a ControlNet's, for these very rows
                given |= self.residuals(given, call.owners)
            output = self.stock_forward(**given)[0]
            for place, prediction in zip(call.places, output, strict=False):  # the rest is padding
                predictions[place] = prediction.float()
            self.rows += len(call.places)
            self.padded_rows += len(call.owners) - len(call.places)
        self.on_call()
        blend = self.combine([predictions[place] for place in sorted(predictions)])
        blend = blend.to(output[0].dtype)
        return (list(blend) if isinstance(output, list) else blend,)

    def combine(self, predictions: Sequence[torch.Tensor]) -> torch.Tensor:
        """Predictions of all rows, in the frames' order, to one row a frame."""
        rows = iter(predictions)
        return torch.stack(
            [
                combined(frame, [next(rows) for _ in frame.rows], self.guide)
                for frame in self.frames or ()
            ]
        )
