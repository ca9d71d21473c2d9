"""In-betweens by a network of a person's file.

Weights of FILM are read from safetensors. Other networks come as TorchScript, a program in a file,
which is run only if it was asked for by its hash: `network(before, after, share)`, as exports of
FILM and RIFE take it, with RGB from 0 to 1 and a share (1, 1).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from render.engines.enlarging import Span
from render.engines.film_shape import FilmShape, film_shape
from render.errors import EncodeError, short_of_memory
from render.models.single_file import shapes_in
from render.video.inbetweens import Between
from render.video.linear_light import RgbPicture

if TYPE_CHECKING:
    from torch import Tensor

KEY = "output.inbetween"
TILE = 640  # pixels of a tile's side, so that large pictures fit into memory
OVERLAP = 128  # pixels in which a tile fades into the next
HALVES = 3  # times that the way is halved for a place, where a network knows the half-way alone
SCRIPTS_MULTIPLE = 64  # pixels, of sides that exports of FILM and RIFE take

CALLED = (
    "network(before, after, share) takes pictures (1, 3, H, W) and a share (1, 1), and gives one"
)
Make = Callable[["Tensor", "Tensor", Sequence[float]], "list[Tensor]"]
"""Two pictures (1, 3, H, W) from 0 to 1 and places, to the picture at each place."""


def opened(file: Path, device: str) -> Between:
    """The function of a file with FILM's weights, in float32 on a device."""
    import torch
    from safetensors.torch import load_file

    from render.engines.film import FilmNetwork

    shape = shape_of(file)
    network = FilmNetwork(shape)
    network.load_state_dict({name: each.float() for name, each in load_file(file).items()})
    network.to(torch.device(device)).eval().requires_grad_(False)
    return partial(between, partial(by_film, network), device, file)


def shape_of(file: Path) -> FilmShape:
    """The shape of a file's network.

    Raises:
        ConfigError: the file can't be read.
        EncodeError: it is no FILM.
    """
    shape = film_shape(shapes_in(file, KEY))
    if shape is None:
        raise EncodeError(f"{file} has no weights of FILM")
    return shape


def opened_script(file: Path, device: str) -> Between:
    """The function of a TorchScript file."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is what exports of FILM are
        network: Any = torch.jit.load(file, map_location="cpu")
    network = network.float().to(torch.device(device)).eval()
    return partial(between, partial(by_script, network, file), device, file)


def between(
    make: Make,
    device: str,
    file: Path,
    before: RgbPicture,
    after: RgbPicture,
    places: Sequence[float],
) -> list[RgbPicture]:
    """The pictures at places between two."""
    import torch

    first, last = (
        torch.from_numpy(each.astype(np.float32) / 255).permute(2, 0, 1)[None]
        for each in (before, after)
    )
    with torch.inference_mode():
        made = in_tiles(make, device, first, last, places)
    if not all(torch.isfinite(each).all() for each in made):
        raise EncodeError(f"{file} gives pictures that are not finite; give another file")
    return [
        each[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
        for each in made
    ]


def by_film(network: Any, before: Tensor, after: Tensor, places: Sequence[float]) -> list[Tensor]:
    """See `Make`; the flow is found once for all places, if the network knows the place."""
    height, width = before.shape[-2:]
    multiple = network.multiple(height, width)
    first, last = padded(before, multiple), padded(after, multiple)
    if network.shape.placed:
        followed = network.followed(first, last)
        made = [network.made(followed, before.new_tensor([place])) for place in places]
    else:
        made = [by_halves(network, first, last, place) for place in places]
    return [each[..., :height, :width] for each in made]


def by_script(
    network: Any, file: Path, before: Tensor, after: Tensor, places: Sequence[float]
) -> list[Tensor]:
    """See `Make`.

    Raises:
        EncodeError: the program fails, or gives something else than a picture.
    """
    import torch

    height, width = before.shape[-2:]
    first, last = padded(before, SCRIPTS_MULTIPLE), padded(after, SCRIPTS_MULTIPLE)

    def called(one: Tensor, other: Tensor, share: Tensor) -> Any:
        try:
            made = network(one, other, share[:, None])
        except Exception as error:  # of a program that a person gave
            if short_of_memory(error):
                raise
            said = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise EncodeError(f"{file} can't make pictures: {said}; {CALLED}") from error
        if not isinstance(made, torch.Tensor) or made.shape != one.shape:
            raise EncodeError(f"{file} gives no picture of the two pictures' size; {CALLED}")
        return made

    return [by_halves(called, first, last, place)[..., :height, :width] for place in places]


def by_halves(network: Any, before: Tensor, after: Tensor, place: float) -> Tensor:
    """The picture at a place by a network that knows the half-way alone. The way is halved towards
    the place, and a last part of it is left to the network."""
    for _ in range(HALVES):
        if place == 0.5:
            break
        half = network(before, after, before.new_tensor([0.5])).clamp(0, 1)
        before, after = (before, half) if place < 0.5 else (half, after)
        place = 2 * place if place < 0.5 else 2 * place - 1
    made: Tensor = network(before, after, before.new_tensor([place]))
    return made


def padded(picture: Tensor, multiple: int) -> Tensor:
    """A picture whose sides are multiples of a number, its edge repeated."""
    from torch.nn.functional import pad

    right, below = (-side % multiple for side in (picture.shape[-1], picture.shape[-2]))
    return pad(picture, (0, right, 0, below), mode="replicate")


def in_tiles(
    make: Make, device: str, before: Tensor, after: Tensor, places: Sequence[float]
) -> list[Tensor]:
    """The pictures at places, on the CPU; large ones in tiles that fade into each other."""
    import torch

    height, width = before.shape[-2:]
    made = [torch.zeros(1, 3, height, width) for _ in places]
    for top, bottom in spans(height):
        for left, right in spans(width):
            here = (..., slice(top, bottom), slice(left, right))
            share = faded(top, bottom, height)[:, None] * faded(left, right, width)
            tiles = make(before[here].to(device), after[here].to(device), places)
            for picture, tile in zip(made, tiles, strict=True):
                picture[here] += tile.cpu() * share
    return made


def spans(length: int) -> Iterator[Span]:
    """The tiles along a side: the pixels of each."""
    first = 0
    while first + TILE < length:
        yield first, first + TILE
        first += TILE - OVERLAP
    yield first, length


def faded(first: int, last: int, length: int) -> Tensor:
    """The part of each of a tile's pixels in the picture, (last − first,), from 0 to 1."""
    import torch

    part = torch.ones(last - first)
    ramp = (torch.arange(OVERLAP) + 0.5) / OVERLAP
    if first > 0:
        part[:OVERLAP] *= ramp
    if last < length:
        part[-OVERLAP:] *= ramp.flip(0)
    return part
