"""The second painter and its captions: one composition a seed, and scenes that grow evenly."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from training.storybook import captions
from training.storybook.captions import caption
from training.storybook.composition import compose
from training.storybook.examples import example, is_possible
from training.storybook.painter import paint
from training.storybook.scene import (
    AMOUNTS,
    BIOMES,
    NEEDS,
    PLACES,
    THINGS,
    TIMES,
    UNKNOWN,
    WATERS,
    WEATHERS,
    Description,
    Scene,
    classes_of,
    interpolate,
    sample_description,
    scene_of,
)
from training.storybook.sky import _moon_y

SIZE = 96
TOWN = re.compile("town|village|(?<!light)house|hamlet|cottage")
CASTLE = re.compile("castle|fortress|palace")
CITY = re.compile("city|skyscraper|tower|skyline|buildings|metropolis")


def descriptions(count):
    rng = np.random.default_rng(5)
    found = [sample_description(rng) for _ in range(count)]
    return [(described, caption(described, rng)) for described in found]


def says(wordings, text):
    """Whether a wording, without its article, stands in the caption, maybe around nonsense."""
    bare = [re.sub("^(a|an|the) ", "", wording) for wording in wordings]
    return any(re.search(rf"\b{each.replace(' ', '( [^ ]+)? ')}\b", text) for each in bare)


def apart(a, b):
    return np.abs(a.astype(int) - b).mean()


def shrunk(picture):
    side = picture.shape[0] // 32
    return picture.reshape(32, side, 32, side, 3).mean((1, 3))


@pytest.mark.parametrize("place", PLACES)
def test_a_scene_paints_the_same_picture_every_time(place):
    scene = scene_of(Description(place, "sunset", "autumn", "river", True), 3)
    assert np.array_equal(paint(scene, SIZE), paint(scene, SIZE))


def test_size_changes_the_pixels_but_not_the_picture():
    scene = scene_of(Description("town"), 8)
    large = paint(scene, 128).astype(float).reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert apart(paint(scene, 64), large) < 4


@pytest.mark.parametrize(
    "described",
    [Description(time=t) for t in ("dawn", "sunset", "night")]
    + [Description(biome=b) for b in BIOMES[1:]]
    + [Description(water=w) for w in WATERS[1:]]
    + [Description(place=p) for p in PLACES[1:]]
    + [Description(weather=w) for w in WEATHERS[1:]]
    + [Description(forest=True)],
)
def test_every_attribute_shows(described):
    assert apart(paint(scene_of(described, 4), SIZE), paint(Scene(seed=4), SIZE)) > 1.5


@pytest.mark.parametrize("thing", THINGS)
def test_every_small_thing_shows(thing):
    water = NEEDS.get(thing, ("none",))[0]
    for seed in range(4):
        without = Description("town", water=water)
        with_it = replace(without, things=frozenset({thing}))
        difference = np.abs(
            paint(scene_of(with_it, seed), SIZE).astype(int) - paint(scene_of(without, seed), SIZE)
        )
        assert (difference.max(-1) > 24).mean() > 0.004, seed  # of the picture's area


def test_seeds_are_distinguished_at_a_glance():
    for place in PLACES:
        small = [shrunk(paint(scene_of(Description(place), seed), SIZE)) for seed in range(6)]
        gaps = [apart(a, b) for i, a in enumerate(small) for b in small[:i]]
        assert np.mean(gaps) > 8, place


def test_night_is_dark_and_day_is_bright():
    for place in PLACES:
        night, day = (paint(scene_of(Description(place, t), 1), SIZE) for t in ("night", "day"))
        assert night.mean() < 0.6 * day.mean()


def test_there_is_one_moon_by_night_and_none_by_day():
    for seed in range(50):
        plan = compose(seed)
        assert _moon_y(Scene(hour=3.0), plan) < 60
        assert _moon_y(Scene(hour=1.0), plan) > plan.horizon + 20


def test_the_moon_of_every_night_can_be_seen_and_nothing_else_looks_like_one():
    for seed in range(20):
        plan, picture = compose(seed), paint(scene_of(Description("none", "night"), seed), 256)
        bright = (picture[..., 2] > 190) & (picture[..., 0] > 215)
        spots, count = ndimage.label(bright)
        areas = ndimage.sum_labels(bright, spots, range(1, count + 1))
        middles = ndimage.center_of_mass(bright, spots, range(1, count + 1))
        large = [m for m, area in zip(middles, areas, strict=True) if area > 60]
        assert large, seed
        assert all(np.hypot(x - plan.moon_x, y - plan.moon_y) < 14 for y, x in large), seed


def test_a_scene_between_two_is_between_them():
    start, end = scene_of(Description("town"), 5), scene_of(Description("castle", "sunset"), 5)
    assert interpolate(start, end, 0) == start
    assert interpolate(start, end, 1) == end
    middle = interpolate(start, end, 0.25)
    assert (middle.town, middle.castle, middle.hour, middle.seed) == (0.75, 0.25, 1.25, 5)


@pytest.mark.parametrize("way", [("day", "night"), ("dawn", "sunset"), ("night", "dawn")])
def test_the_way_back_is_the_same_way(way):
    start, end = (scene_of(Description(time=time), 0) for time in way)
    for t in (0.25, 0.5, 0.75):
        there, back = interpolate(start, end, t).hour, interpolate(end, start, 1 - t).hour
        assert there == pytest.approx(back)


def test_dusk_lies_between_day_and_night():
    start, end = (scene_of(Description(time=time), 0) for time in ("day", "night"))
    assert interpolate(start, end, 0.5).hour == TIMES.index("sunset")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (Description("none"), Description("town_castle")),
        (Description("town_castle"), Description("city")),
        (Description("city"), Description("cityscape")),
        (Description("castle"), Description("castle", "night")),
        (Description("town", biome="snow"), Description("town", biome="desert")),
        (Description(water="sea"), Description(water="river", weather="rain")),
    ],
)
def test_a_morph_is_a_film_without_jumps(start, end):
    ends = scene_of(start, 9), scene_of(end, 9)
    frames = [shrunk(paint(interpolate(*ends, t), SIZE)) for t in np.linspace(0, 1, 25)]
    steps = [apart(a, b) for a, b in pairwise(frames)]
    assert max(steps) < 0.16 * sum(steps)  # even steps: .04
    assert min(steps) > 0


def test_the_last_of_the_land_goes_before_a_cityscape_is_whole():
    for seed in range(6):
        ends = scene_of(Description("town"), seed), scene_of(Description("cityscape"), seed)
        whole, nearly = (paint(interpolate(*ends, t), SIZE) for t in (1.0, 0.99))
        assert apart(whole, nearly) < 0.5, seed


def test_any_amounts_can_be_painted():
    rng = np.random.default_rng(1)
    for seed in range(12):
        amounts = {name: float(rng.random() * (rng.random() < 0.6)) for name in AMOUNTS}
        scene = replace(Scene(hour=4 * rng.random(), seed=seed), **amounts)
        assert paint(scene, 48).shape == (48, 48, 3)


def test_what_is_sampled_can_be_seen_together():
    for described, _ in descriptions(400):
        assert is_possible(described), described
    examples = [example(i) for i in range(200)]
    assert all(is_possible(e.start) and is_possible(e.end) for e in examples)
    assert 0.35 < np.mean([e.t > 0 for e in examples]) < 0.65


def test_a_cityscape_leaves_no_room_for_land():
    classes = classes_of(Description("cityscape", "night", weather="rain"))
    assert classes[:2] == [PLACES.index("cityscape"), TIMES.index("night")]
    assert classes.count(UNKNOWN) == 3 + len(THINGS) - 1


def test_a_caption_says_all_that_differs_from_the_default():
    for described, text in descriptions(300):
        low = text.lower()
        if described.time != "day":
            words = (*captions.TIME[described.time], *captions.TIME_TAG[described.time])
            assert says(words, low), text
        if described.biome != "green":
            words = (*captions.BIOME[described.biome], *captions.BIOME_ADJECTIVE[described.biome])
            assert says(words, low), text
        if described.weather != "clear":
            words = (*captions.WEATHER[described.weather], *captions.WEATHER_TAG[described.weather])
            assert says(words, low), text
        needs = {NEEDS[thing][0] for thing in described.things if thing in NEEDS}
        if described.water != "none" and needs != {described.water}:
            assert says(captions.WATER[described.water], low), text
        if described.forest:
            assert says(captions.FOREST, low), text
        for thing in described.things:
            assert says(captions.SMALL[thing], low), text


def test_a_caption_says_the_place_and_no_other():
    for described, text in descriptions(300):
        low = text.lower()
        assert bool(TOWN.search(low)) == ("town" in described.place), text
        assert bool(CASTLE.search(low)) == ("castle" in described.place), text
        assert bool(CITY.search(low)) == ("city" in described.place), text


def test_a_caption_says_nothing_that_is_not_shown():
    for described, text in descriptions(300):
        low = text.lower()
        for water in ("river", "lake"):
            if described.water != water:
                assert not says(captions.WATER[water], low), text
        for time in ("dawn", "sunset", "night"):
            if described.time != time:
                assert not says(captions.TIME[time], low), text
        for thing in set(THINGS) - described.things:
            assert not says(captions.SMALL[thing], low), text
        for weather in ("rain", "fog", "rainbow"):
            if described.weather != weather:
                assert not says(captions.WEATHER[weather], low), text


def test_an_example_is_the_same_every_time_and_differs_from_the_next():
    assert example(7) == example(7)
    assert example(7) != example(8)


def test_the_five_prompts_of_the_film_are_wordings_of_the_grammar():
    rng = np.random.default_rng(0)
    plain = {p: {caption(Description(p), rng).rstrip(".!") for _ in range(2500)} for p in PLACES}
    places = ("none", "town", "town_castle", "city", "cityscape")
    for prompt, place in zip(captions.PROMPTS, places, strict=True):
        assert prompt in plain[place]
