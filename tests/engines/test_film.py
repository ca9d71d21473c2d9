"""FILM: its shape by its weights, what it moves, places by halves, and tiles."""

import numpy as np
import pytest
import torch

from render.engines.film import FilmNetwork, moved
from render.engines.film_inbetweens import (
    OVERLAP,
    TILE,
    by_film,
    by_halves,
    faded,
    in_tiles,
    spans,
)
from render.engines.film_shape import FilmShape, film_shape, weights_of

SMALL = FilmShape(4, 3, (4, 6, 8), (1, 2, 1), 2, placed=True)
HALF = FilmShape(4, 2, (4, 6, 8), (1, 2, 1), 1)
SHAPES = [FilmShape(), SMALL, HALF, FilmShape(6, 3, (4, 5, 6), (1, 1, 2), 2)]


def shapes_of(network):
    return {name: tuple(each.shape) for name, each in network.state_dict().items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_network_is_known_by_its_weights(shape):
    with torch.device("meta"):
        weights = shapes_of(FilmNetwork(shape))
    assert weights == weights_of(shape)
    found = film_shape(weights)
    assert weights_of(found) == weights
    assert found.placed == shape.placed


@pytest.mark.parametrize("wrong", ["fuse.output_conv.bias", "fuse.convs.0.1.0.weight", "more"])
def test_other_weights_are_no_film(wrong):
    weights = weights_of(SMALL)
    if wrong in weights:
        del weights[wrong]
    else:
        weights[wrong] = (1,)
    assert film_shape(weights) is None
    assert film_shape({}) is None
    assert film_shape({"body.0.weight": (3, 3, 3, 3)}) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"fuse.convs.0.2.0.weight": ()},
        {f"fuse.convs.{i}.2.0.weight": (1, 1, 3, 3) for i in range(3)},
        {"predict_flow._predictor._convs.0.0.weight": (1, 56, 3, 3)},
    ],
)
def test_odd_shapes_are_no_film(odd):
    assert film_shape({**weights_of(SMALL), **odd}) is None


def test_the_papers_network_has_its_names_and_size():
    weights = weights_of(FilmShape())
    assert sum(int(np.prod(shape)) for shape in weights.values()) == 34_436_667
    assert weights["extract.extract_sublevels.convs.3.1.0.weight"] == (512, 512, 3, 3)
    assert weights["predict_flow._predictor._convs.0.0.weight"] == (256, 1920, 3, 3)
    assert weights["predict_flow._predictors.2._convs.0.0.weight"] == (32, 128, 3, 3)
    assert weights["fuse.convs.0.0.0.weight"] == (512, 1930, 2, 2)
    assert weights["fuse.output_conv.weight"] == (3, 64, 1, 1)


def test_planes_are_taken_from_where_the_flow_says():
    planes = torch.rand(1, 2, 6, 8)
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    made = moved(planes, flow)
    assert torch.allclose(made[..., 1:, :-2], planes[..., :-1, 2:], atol=1e-5)
    assert torch.allclose(made[..., 0, :-2], planes[..., 0, 2:], atol=1e-5)  # the nearest


def test_without_flow_and_fusion_a_placed_network_blends():
    network = FilmNetwork(SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    before, after = torch.rand(2, 1, 3, 37, 50)
    for place, made in zip((0.25, 0.5), by_film(network, before, after, (0.25, 0.5)), strict=True):
        assert torch.allclose(made, (1 - place) * before + place * after, atol=1e-5)


@pytest.mark.parametrize("shape", [SMALL, HALF])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (37, 130)])
def test_pictures_of_any_size(shape, height, width):
    before, after = torch.rand(2, 1, 3, height, width)
    with torch.no_grad():
        made = by_film(FilmNetwork(shape).eval(), before, after, (0.2, 0.5, 0.8))
    assert [each.shape for each in made] == [before.shape] * 3
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("place", [0.5, 0.25, 0.75, 0.375, 0.2, 0.9, 1 / 3])
def test_places_by_halves_are_reached_exactly_by_a_network_that_blends(place):
    asked = []

    def blend(before, after, share):
        asked.append(float(share))
        return (1 - share) * before + share * after

    before, after = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    made = by_halves(blend, before, after, place)
    assert torch.allclose(made, torch.full_like(made, place), atol=1e-6)
    assert set(asked[:-1]) <= {0.5}


@pytest.mark.parametrize(("height", "width"), [(90, 120), (TILE, TILE + 1), (700, 1400)])
def test_tiles_fade_into_each_other_without_a_seam(height, width):
    sizes = []

    def blend(before, after, places):
        sizes.append(before.shape[-2:])
        return [(1 - place) * before + place * after for place in places]

    before, after = torch.rand(2, 1, 3, height, width)
    (made,) = in_tiles(blend, "cpu", before, after, [0.3])
    assert torch.allclose(made, 0.7 * before + 0.3 * after, atol=1e-5)
    assert max(max(size) for size in sizes) <= TILE


@pytest.mark.parametrize("length", [1, TILE, TILE + 1, 1080, 1920, 4096])
def test_tiles_cover_a_side(length):
    total = torch.zeros(length)
    for first, last in spans(length):
        assert last - first <= TILE
        assert last - first > OVERLAP or length <= TILE
        total[first:last] += faded(first, last, length)
    assert torch.allclose(total, torch.ones(length), atol=1e-6)
