"""The conditioning of each text: those arguments of the denoiser that stem from the text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from render.kernels.call_arguments import Leaves, Path, at, blended, row_axes
from render.plan.conditioning import RowText, RowTexts

REMEMBERED_TEXTS = 512  # so that memory stays flat on timelines with thousands of texts


class TextConditionings:
    """Texts with their conditionings, each a row, as the family's own pipeline makes them.

    Args:
        state: names of the arguments that belong to the frame and not to its text; a dot leads
            into a mapping.

    Attributes:
        axes: the arguments that follow the rows, and on which axis; empty before `learn_axes`.
        known: conditionings by text, the latest used last.
    """

    def __init__(self, state: frozenset[str]) -> None:
        self.state = state
        self.axes: dict[Path, int] = {}
        self.known: OrderedDict[RowText, Leaves] = OrderedDict()

    def learn_axes(self, one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
        """Learn from recordings with one and two rows what follows the rows, and on which axis."""
        self.axes = row_axes(one, two)

    @property
    def frame_axes(self) -> dict[Path, int]:
        """The axes of those arguments that belong to the frame."""
        return {path: axis for path, axis in self.axes.items() if is_state(path, self.state)}

    def learn(self, text: RowText, arguments: Mapping[str, Any]) -> None:
        """Keep the conditioning of a text from a recording with one row."""
        self.known[text] = {
            path: at(arguments, path) for path in self.axes if not is_state(path, self.state)
        }

    def __contains__(self, text: RowText) -> bool:
        """Whether the text's conditioning is there; asking keeps it among the latest used."""
        if text in self.known:
            self.known.move_to_end(text)
        return text in self.known

    def of(self, row: RowTexts) -> Leaves:
        """The conditioning of one row: that of its text, or the weighted sum of its texts'."""
        return blended([self.known[text] for text, _ in row], [weight for _, weight in row])

    def forget_all_but(self, needed: Collection[RowText]) -> None:
        """Let go of the texts that were not used for longest, beyond those that are remembered.

        Args:
            needed: texts that were just asked for, so that they are among the latest.
        """
        while len(self.known) > max(REMEMBERED_TEXTS, len(needed)):
            self.known.popitem(last=False)


def is_state(path: Path, state: frozenset[str]) -> bool:
    """Whether an argument of the denoiser belongs to the frame and not to its text."""
    dotted = [".".join(map(str, path[:depth])) for depth in range(1, len(path) + 1)]
    return not state.isdisjoint(dotted)
