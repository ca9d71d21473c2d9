"""The shape of a FILM network, known by the shapes of its weights. Without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

COLOURS, FLOW = 3, 2  # channels

ShapesByName = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class FilmShape:
    """The size of a network of film.py; the values are those of the paper's.

    Attributes:
        filters: channels of the features of a picture at its own size; twice as many at half of
            it, and so on.
        depth: how many sizes each picture's features are taken from.
        flow_filters: channels of the flow's predictors, from the finest size on, one for each of
            `depth` sizes at least; the last one serves all coarser sizes too.
        flow_convolutions: of 3 × 3 in each of them.
        specialized: sizes from the finest on at which the fusion's channels double.
        placed: whether the fusion is given the place between the two pictures, and adds to their
            blend. It is ours, and not in the paper, whose network knows the half-way alone.
    """

    filters: int = 64
    depth: int = 4
    flow_filters: tuple[int, ...] = (32, 64, 128, 256)
    flow_convolutions: tuple[int, ...] = (3, 3, 3, 3)
    specialized: int = 3
    placed: bool = False

    def features(self, level: int) -> int:
        """Channels of the features at a size, joined over those that they are taken from."""
        return sum(self.filters << i for i in range(min(level + 1, self.depth)))

    def aligned(self, level: int) -> int:
        """Channels that the fusion is given at a size: both pictures with their features and flows,
        and the place."""
        return 2 * (self.features(level) + COLOURS + FLOW) + self.placed

    def fused(self, level: int) -> int:
        """Channels that the fusion makes at a size."""
        return self.filters << min(level, self.specialized)


def film_shape(weights: Mapping[str, tuple[int, ...]]) -> FilmShape | None:
    """The shape of the network with these weights; None if they are not those of one.

    Args:
        weights: shapes by name.
    """
    first = weights.get(feature_name(0, 0))
    fused = weights.get("fuse.convs.0.1.0.weight")
    if first is None or fused is None or len(first) != 4 or len(fused) != 4:
        return None
    filters = first[0]
    depth = next(i for i in count() if feature_name(i, 0) not in weights)
    names = [*predictor_names(weights)]
    flow = [weights[f"{name}._convs.0.0.weight"] for name in names]
    if not filters or len(names) < depth or any(len(shape) != 4 for shape in flow):
        return None
    convolutions = tuple(layers(weights, name) - 2 for name in names)
    last = [weights[f"fuse.convs.{i}.2.0.weight"] for i in fusions(weights)]
    most = max((shape[0] for shape in last if shape), default=0)
    specialized = (most // filters).bit_length() - 1
    if specialized < 0 or any(shape[0] < 2 for shape in flow):
        return None
    for placed in (False, True):
        shape = FilmShape(
            filters, depth, tuple(s[0] for s in flow), convolutions, specialized, placed
        )
        if weights == weights_of(shape):
            return shape
    return None


def feature_name(level: int, place: int) -> str:
    """The name of a convolution's weights in the features of a size."""
    return f"extract.extract_sublevels.convs.{level}.{place}.0.weight"


def predictor_names(weights: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """The names of the flow's predictors, from the finest on. Those of the finer sizes are counted
    from the coarsest of them on in a file."""
    finer = [
        f"predict_flow._predictors.{i}"
        for i in range(len(weights))
        if f"predict_flow._predictors.{i}._convs.0.0.weight" in weights
    ]
    yield from reversed(finer)
    if "predict_flow._predictor._convs.0.0.weight" in weights:
        yield "predict_flow._predictor"


def layers(weights: Mapping[str, tuple[int, ...]], predictor: str) -> int:
    """How many convolutions a predictor has, with the two of 1 × 1 at its end."""
    return next(i for i in count() if f"{predictor}._convs.{i}.0.weight" not in weights)


def fusions(weights: Mapping[str, tuple[int, ...]]) -> range:
    """The places of the fusion's sizes, from the coarsest on."""
    return range(next(i for i in count() if f"fuse.convs.{i}.2.0.weight" not in weights))


def weights_of(shape: FilmShape) -> ShapesByName:
    """The shapes of a network's weights by name. The names are those of the PyTorch port that
    people convert FILM's own weights with."""
    found: ShapesByName = {}
    before = COLOURS
    for level in range(shape.depth):
        channels = shape.filters << level
        convolution(found, f"extract.extract_sublevels.convs.{level}.0", before, channels, 3)
        convolution(found, f"extract.extract_sublevels.convs.{level}.1", channels, channels, 3)
        before = channels
    last = len(shape.flow_filters) - 1
    for level, (channels, many) in enumerate(
        zip(shape.flow_filters, shape.flow_convolutions, strict=True)
    ):
        of = f"_predictors.{last - 1 - level}" if level < last else "_predictor"
        predictor(found, f"predict_flow.{of}", 2 * shape.features(level), channels, many)
    above = shape.aligned(shape.depth)
    for place, level in enumerate(reversed(range(shape.depth))):
        channels = shape.fused(level)
        name = f"fuse.convs.{place}"
        convolution(found, f"{name}.0", above, channels, 2)
        convolution(found, f"{name}.1", shape.aligned(level) + channels, channels, 3)
        convolution(found, f"{name}.2", channels, channels, 3)
        above = channels
    found["fuse.output_conv.weight"] = (COLOURS, above, 1, 1)
    found["fuse.output_conv.bias"] = (COLOURS,)
    return found


def predictor(found: ShapesByName, name: str, before: int, channels: int, many: int) -> None:
    """Add the weights of one of the flow's predictors."""
    for place in range(many):
        convolution(found, f"{name}._convs.{place}", before, channels, 3)
        before = channels
    convolution(found, f"{name}._convs.{many}", before, channels // 2, 1)
    convolution(found, f"{name}._convs.{many + 1}", channels // 2, FLOW, 1)


def convolution(found: ShapesByName, name: str, before: int, channels: int, side: int) -> None:
    """Add the weights of a convolution."""
    found[f"{name}.0.weight"] = (channels, before, side, side)
    found[f"{name}.0.bias"] = (channels,)
