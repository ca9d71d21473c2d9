"""The painter and its captions: the same picture for a seed, and no attribute left unsaid."""

import re

import numpy as np
import pytest

from training.storybook import captions
from training.storybook.captions import caption
from training.storybook.dataset import example
from training.storybook.painter import paint
from training.storybook.scene import BIOMES, PLACES, TIMES, WATERS, Scene, sample_scene
from training.storybook.sheets import sheet

TOWN = re.compile("town|village|house|hamlet|cottage")
CASTLE = re.compile("castle|fortress|palace")
CITY = re.compile("city|skyscraper|tower|skyline|buildings|metropolis")


def examples(count: int) -> list[tuple[Scene, str]]:
    rng = np.random.default_rng(5)
    scenes = [sample_scene(rng) for _ in range(count)]
    return [(scene, caption(scene, rng)) for scene in scenes]


def says(wordings: tuple[str, ...], text: str) -> bool:
    """Whether a wording, without its article, stands in the caption, maybe around nonsense."""
    bare = [re.sub("^(a|an|the) ", "", wording) for wording in wordings]
    return any(re.search(rf"\b{each.replace(' ', '( [^ ]+)? ')}\b", text) for each in bare)


@pytest.mark.parametrize("place", PLACES)
def test_a_scene_paints_the_same_picture_every_time(place):
    scene = Scene(place, "sunset", "autumn", "river", True, seed=3)
    assert np.array_equal(paint(scene), paint(scene))


@pytest.mark.parametrize("size", [64, 128, 192])
def test_a_picture_has_the_size_asked_for(size):
    assert paint(Scene("castle"), size).shape == (size, size, 3)


def test_size_changes_the_pixels_but_not_the_picture():
    small = paint(Scene("town", seed=8), 64).astype(float)
    large = paint(Scene("town", seed=8), 128).astype(float)
    halved = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(halved - small).mean() < 4


def test_seeds_move_things():
    assert np.abs(paint(Scene("castle", seed=1)) - paint(Scene("castle", seed=2)).astype(int)).any()


@pytest.mark.parametrize(
    "scene",
    [Scene(time=t) for t in TIMES[1:]]
    + [Scene(biome=b) for b in BIOMES[1:]]
    + [Scene(water=w) for w in WATERS[1:]]
    + [Scene(place=p) for p in PLACES[1:]]
    + [Scene(forest=True)],
)
def test_every_attribute_shows(scene):
    difference = np.abs(paint(scene).astype(int) - paint(Scene()))
    assert difference.mean() > 2  # grey levels


def test_night_is_dark_and_day_is_bright():
    for place in PLACES:
        assert paint(Scene(place, "night")).mean() < 0.6 * paint(Scene(place, "day")).mean()


def test_a_cityscape_leaves_no_room_for_land():
    drawn = [sample_scene(np.random.default_rng(seed)) for seed in range(300)]
    scapes = [scene for scene in drawn if scene.place == "cityscape"]
    assert len(scapes) > 20
    assert all((s.biome, s.water, s.forest) == ("green", "none", False) for s in scapes)


def test_a_caption_says_all_that_differs_from_the_default():
    for scene, text in examples(300):
        low = text.lower()
        if scene.time != "day":
            assert says((*captions.TIME[scene.time], *captions.TIME_TAG[scene.time]), low), text
        if scene.biome != "green":
            words = (*captions.BIOME[scene.biome], *captions.BIOME_ADJECTIVE[scene.biome])
            assert says(words, low), text
        if scene.water != "none":
            assert says(captions.WATER[scene.water], low), text
        if scene.forest:
            assert says(captions.FOREST, low), text


def test_a_caption_says_the_place_and_no_other():
    for scene, text in examples(300):
        low = text.lower()
        assert bool(TOWN.search(low)) == ("town" in scene.place), text
        assert bool(CASTLE.search(low)) == ("castle" in scene.place), text
        assert bool(CITY.search(low)) == ("city" in scene.place), text


def test_a_caption_says_nothing_that_is_not_shown():
    for scene, text in examples(300):
        low = text.lower()
        for water in ("river", "lake"):
            if scene.water != water:
                assert not says(captions.WATER[water], low), text
        for time in ("dawn", "sunset", "night"):
            if scene.time != time:
                assert not says(captions.TIME[time], low), text


def test_example_is_the_same_every_time_and_differs_from_the_next():
    assert example(7) == example(7)
    assert example(7)[0] != example(8)[0]


def test_the_five_prompts_of_the_film_are_wordings_of_the_grammar():
    rng = np.random.default_rng(0)
    plain = {p: {caption(Scene(p), rng).rstrip(".!") for _ in range(2000)} for p in PLACES}
    places = ("none", "town", "town_castle", "city", "cityscape")
    for prompt, place in zip(captions.PROMPTS, places, strict=True):
        assert prompt in plain[place]


def test_a_sheet_keeps_every_picture():
    pictures = [np.full((4, 4, 3), i, np.uint8) for i in range(5)]
    page = sheet(pictures, 3)
    assert page.shape == (12, 18, 3)
    assert [page[0, 0, 0], page[0, 6, 0], page[6, 6, 0]] == [0, 1, 4]
