"""Training of FILM, in miniature: triplets, one that learns and goes on, what is shipped."""

import numpy as np
import pytest
import torch
from pictures import decibels
from safetensors.torch import load_file

from render.engines.film import FilmNetwork
from render.engines.film_shape import FilmShape
from training.film.judged import figures, report, ways
from training.film.learn import FilmTraining, batch, begun, crops_of, losses, train_film, write_film
from training.film.triplets import Triplet, changing, filmed, panned

SMALL = FilmShape(4, 2, (4, 6), (1, 1), 1, placed=True)
SHORT = FilmTraining(samples=8, triplets=1, crops=2, side=32, shape=SMALL)


@pytest.mark.parametrize("make", [changing, panned])
def test_a_triplet_is_the_same_whenever_it_is_asked_for(make):
    one, other, another = make(3), make(3), make(4)
    assert np.array_equal(one.middle, other.middle)
    assert not np.array_equal(one.middle, another.middle)
    assert 0 < one.place < 1


@pytest.mark.parametrize("make", [changing, panned])
def test_the_middle_lies_between(make):
    """Its distances from both ends fit its place, in most triplets."""
    apart = []
    for triplet in map(make, range(8)):
        ends = decibels(triplet.before, triplet.after)
        near = max(decibels(triplet.middle, each) for each in (triplet.before, triplet.after))
        apart.append(near >= ends)
    assert sum(apart) >= 6


def test_a_film_gives_triplets_of_its_own_pictures():
    shots = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    for number in range(20):
        found = filmed([shots], number)
        before, middle, after = (
            int(each[0, 0, 0]) for each in (found.before, found.middle, found.after)
        )
        assert before < middle < after <= before + 4
        assert found.place == pytest.approx((middle - before) / (after - before))


def test_a_crop_is_of_one_place_in_all_three():
    picture = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    triplet = Triplet(picture, picture.copy(), picture.copy(), 0.25)
    rng = np.random.default_rng(1)
    crops = [triplet.crop(rng, 8) for _ in range(30)]
    assert all(
        np.array_equal(c.before, c.middle) and np.array_equal(c.after, c.middle) for c in crops
    )
    assert {c.place for c in crops} == {0.25, 0.75}  # back to front as well


def test_a_step_makes_the_loss_smaller():
    torch.manual_seed(0)
    net, rng = FilmNetwork(SMALL), np.random.default_rng(0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    pictures = batch(crops_of(0, SHORT, (), rng))
    found = []
    for _ in range(30):
        loss, _ = losses(net, *pictures)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.7 * found[0]


def test_training_begins_with_a_dissolve():
    net = begun(FilmNetwork(SMALL))
    before, _, after, places = batch(crops_of(0, SHORT, (), np.random.default_rng(0)))
    with torch.no_grad():
        made = net(before, after, places)
    share = places[:, None, None, None]
    assert torch.allclose(made, (1 - share) * before + share * after, atol=1e-5)


def test_it_goes_on_and_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("training.film.judged.JUDGED", 1)
    monkeypatch.setattr("training.film.learn.report", lambda net, judged: "")
    train_film(tmp_path, FilmTraining(**{**vars(SHORT), "samples": 4}), processes=1)
    train_film(tmp_path, SHORT, processes=1)
    write_film(tmp_path, tmp_path / "film.safetensors", SMALL)
    tensors = load_file(tmp_path / "film.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    FilmNetwork(SMALL).load_state_dict(tensors)


def test_all_ways_are_judged_by_the_same_triplets(monkeypatch):
    monkeypatch.setattr("training.film.judged.JUDGED", 1)
    triplets = [make(number) for make in (changing, panned) for number in range(1)]
    net = FilmNetwork(SMALL)
    dissolve = figures(ways(net)["dissolve"], triplets)
    half = len(dissolve) // 2
    means = sum(dissolve[:half]) / half, sum(dissolve[half:]) / half
    said = report(net, triplets)
    assert f"dissolve {means[0]:.2f} / {means[1]:.2f} dB" in said
    assert "film " in said
