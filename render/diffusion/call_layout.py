"""How rows are put into calls of the denoiser, so that a frame's pixels depend on the frame
alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from render.diffusion.text_conditionings import TextConditionings
from render.kernels.call_arguments import Leaves, joined, shapes
from render.plan.conditioning import FrameRows, RowTexts, Weights

Row = tuple[int, RowTexts]
"""A row by the frame whose state it takes and by its texts."""


class RowsPerCall(NamedTuple):
    """Rows of every call, whatever the number of frames that are rendered together.

    Every call computes exactly that many rows, the last one padded, so that a frame's pixels do not
    depend on its neighbours. None: a frame's rows are one call, and no other frame's are in it. So
    it is for frames with LoRAs, whose weights can differ, unless a row is a call.
    """

    guided: int | None = None
    unguided: int | None = None
    """The same for evaluations without guidance, which have fewer rows."""
    frames: int = 1
    """Frames whose rows usually share a call."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the denoiser: the rows it computes, the frames whose state they take (`owners`,
    one more often than once to fill the call), their conditioning and their LoRAs."""

    rows: Sequence[Row]
    owners: tuple[int, ...]
    conditioning: Leaves
    loras: Weights = ()

    @property
    def filled(self) -> list[Row]:
        """The rows with those that fill the call, which are the last one again."""
        return [*self.rows, *[self.rows[-1]] * (len(self.owners) - len(self.rows))]


def laid_out(
    frames: Sequence[FrameRows],
    rows: Sequence[Row],
    texts: TextConditionings,
    size: int | None,
    size_apart: int | None = None,
) -> list[Call]:
    """The calls that compute these rows.

    Texts of different lengths can't share a call, nor can LoRAs of different weights.

    Args:
        size: rows of every call, as `RowsPerCall` has them.
        size_apart: rows of a call that no other frame's are in; None: all that the frame has.
    """
    conditionings = [texts.of(row) for _, row in rows]
    alike: dict[Any, list[int]] = {}
    for place, leaves in enumerate(conditionings):
        owner = rows[place][0]
        loras = frames[owner].loras
        apart = size is None or (loras and size != 1)
        most, alone = (size_apart, owner) if apart else (size, None)
        alike.setdefault((loras, most, alone, *map(shapes, leaves.values())), []).append(place)
    return [
        filled_call(part, most, rows, conditionings, texts, loras)
        for (loras, most, *_), places in alike.items()
        for part in parts(places, most)
    ]


def parts(places: Sequence[int], size: int | None) -> Iterator[Sequence[int]]:
    """The places in parts of that size, the last one perhaps shorter; all together for None."""
    size = size or len(places)
    return (places[start : start + size] for start in range(0, len(places), size))


def filled_call(
    places: Sequence[int],
    size: int | None,
    rows: Sequence[Row],
    conditionings: Sequence[Leaves],
    texts: TextConditionings,
    loras: Weights,
) -> Call:
    """The call for at most `size` of the rows; the last one is repeated to fill it."""
    padded = [*places, *[places[-1]] * ((size or len(places)) - len(places))]
    conditioning = {
        path: joined([conditionings[place][path] for place in padded], texts.axes[path])
        for path in conditionings[places[0]]
    }
    owners = tuple(rows[place][0] for place in padded)
    return Call([rows[place] for place in places], owners, conditioning, loras)
