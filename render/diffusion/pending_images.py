"""Pictures that a GPU may still be at, so that the next ones are begun before these are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from render.errors import NOT_FINITE, NonFiniteFrames

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Picture = npt.NDArray[np.uint8]
    Flags = npt.NDArray[np.bool_]


class Arriving:
    """The pictures of frames that were rendered together.

    Args:
        pictures: uint8 (H, W, 3) each; memory that is being written to until `event` has come.
        finite: whether each is, and no NaN or infinity; likewise.
        event: a GPU's, behind all that was asked of it; None: everything is there.
        why: the cause where some are not finite.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        finite: Sequence[bool] | Flags,
        event: Any = None,
        why: Callable[[], str] = lambda: NOT_FINITE,
    ) -> None:
        self.pictures, self.finite, self.event, self.why = pictures, finite, event, why

    def ready(self) -> bool:
        """Whether nothing has to be waited for."""
        return self.event is None or bool(self.event.query())

    def picture(self, place: int) -> Picture | None:
        """One of them, once it is there; None if it is not finite."""
        if self.event is not None:
            self.event.synchronize()
        return self.pictures[place] if self.finite[place] else None

    def all(self) -> list[Picture]:
        """All of them, once they are there.

        Raises:
            NonFiniteFrames: some are not finite; it holds the others.
        """
        found = {place: self.picture(place) for place in range(len(self.pictures))}
        good = {place: picture for place, picture in found.items() if picture is not None}
        if len(good) < len(found):
            raise NonFiniteFrames(tuple(found.keys() - good.keys()), good)
        return list(good.values())
