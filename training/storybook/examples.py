"""Examples for training, one a number: two descriptions with captions, and a scene between them.

For two captions and `t`, the blend (1 − t) A + t B of their embeddings belongs to the scene at `t`.
Half of the examples are at `t` = 0, as a single prompt is.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from training.storybook.captions import caption
from training.storybook.painter import SIZE, paint
from training.storybook.scene import (
    Description,
    Scene,
    interpolate,
    sample_description,
    scene_of,
)

CAPTIONS = 3  # wordings of each description
FIRST_SEED = 2_000_003
UNSEEN_SEED = 950_000_000  # far from every training picture
BETWEEN_SHARE = 0.5
NEIGHBOUR_SHARE = 0.6  # of the pairs: those that differ in one or two attributes

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """Two descriptions, their captions, and how far between them the picture is."""

    start: Description
    end: Description
    t: float
    seed: int
    start_captions: tuple[str, ...]
    end_captions: tuple[str, ...]

    @property
    def scene(self) -> Scene:
        return interpolate(scene_of(self.start, self.seed), scene_of(self.end, self.seed), self.t)


def example(index: int, first: int = FIRST_SEED) -> Example:
    """Example `index`, the same whenever it is asked for."""
    rng = np.random.default_rng(first + index)
    start = sample_description(rng)
    neighbours = rng.random() < NEIGHBOUR_SHARE
    end = _neighbour(start, rng) if neighbours else sample_description(rng)
    t = float(rng.random()) if rng.random() < BETWEEN_SHARE else 0.0
    seed = int(rng.integers(1 << 31))
    wordings = [tuple(caption(d, rng) for _ in range(CAPTIONS)) for d in (start, end)]
    return Example(start, end, t, seed, *wordings)


def _neighbour(start: Description, rng: np.random.Generator) -> Description:
    """A description that has one or two attributes of another one, and else those of `start`."""
    other = sample_description(rng)
    names = [field.name for field in fields(Description)]
    weights = np.array([4.0 if name == "place" else 1.0 for name in names])
    count = int(rng.integers(1, 3))
    changed = rng.choice(len(names), count, replace=False, p=weights / weights.sum())
    values = {names[i]: getattr(other, names[i]) for i in changed}
    mixed = replace(start, **values)
    return mixed if is_possible(mixed) else other


def is_possible(described: Description) -> bool:
    """Whether all that is described can be seen together."""
    if described.place == "cityscape":
        bare = Description("cityscape", described.time, weather=described.weather)
        return replace(described, things=frozenset()) == bare and described.things <= {"birds"}
    scene = scene_of(described, 0)
    waters = scene.river or scene.lake or scene.sea
    return not (
        (described.forest and described.biome == "desert")
        or (described.weather == "rainbow" and described.time == "night")
        or ("market" in described.things and "town" not in described.place)
        or ("bridge" in described.things and not scene.river)
        or (described.things & {"lighthouse", "harbour"} and not scene.sea)
        or ("boat" in described.things and not waters)
    )


def unseen_pictures(count: int, size: int = SIZE) -> Pixels:
    """Pictures that no training draws, (count, size, size, 3)."""
    return np.stack([paint(example(i, UNSEEN_SEED).scene, size) for i in range(count)])


class Pool:
    """Pictures in memory, of which the oldest gives way to a new one again and again.

    Painting is so much quicker than training that every step has a picture of its own and no
    data set is kept on disk.
    """

    def __init__(self, size: int, start: int, stride: int = 1) -> None:
        self.next, self.stride, self.place = start, stride, 0
        self.pictures = np.stack([self._new() for _ in range(size)])

    def refresh(self, count: int = 1) -> None:
        """Paint `count` new pictures over the oldest ones."""
        for _ in range(count):
            self.pictures[self.place] = self._new()
            self.place = (self.place + 1) % len(self.pictures)

    def crops(self, rng: np.random.Generator, count: int, side: int) -> Pixels:
        """Random squares of pictures, (count, side, side, 3)."""
        room = self.pictures.shape[1] - side
        corners = rng.integers(0, room + 1, (count, 2))
        chosen = rng.integers(0, len(self.pictures), count)
        found = [
            self.pictures[i, top : top + side, left : left + side]
            for i, (top, left) in zip(chosen, corners, strict=True)
        ]
        return np.stack(found)

    def _new(self) -> Pixels:
        self.next += self.stride
        return paint(example(self.next).scene, SIZE)
