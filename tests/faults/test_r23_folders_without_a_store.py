"""R23: a film's folder that was copied alone, or whose store someone emptied: its frames are the
only ones, and no edit and no other rate writes over them."""

import shutil

import pytest
from pictures import same_pictures

FILM = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two", "seed": 2}]
FRAMES, TWICE = 5, 9  # at 4 and at 8 frames a second
CALL = ("+timeline=film", "output.fps=4", "output.width=64", "output.height=64", "output=frames")
QUICK = {"blocks": 8}


@pytest.fixture(scope="module")
def place(film_site):
    """A film at both rates."""
    site = film_site(FILM, *CALL)
    assert site.rounds.render({"output.fps": 8}, **QUICK).code == 0
    site.twice = site.pictures("film")
    shutil.copytree(site.run_folder("film"), site.here / "twice")
    shutil.rmtree(site.root)
    assert site.rounds.render(**QUICK).code == 0
    site.whole = site.pictures("film")
    shutil.copytree(site.run_folder("film"), site.here / "once")
    return site


def alone(place, name):
    """The film's folder in a root without a store."""
    shutil.rmtree(place.root)
    shutil.copytree(place.here / name, place.run_folder("film"))
    return place


def run(site, counts, changes=None):
    ended = site.rounds.render(changes, **QUICK)
    assert ended.code == 0, ended.err
    assert site.counts("film") == counts
    assert "set-aside" not in ended.err


def test_an_edit_and_the_way_back_renders_the_edited_frames_alone(place):
    film = alone(place, "once")
    run(film, (0, FRAMES, 0), {"sampling.guidance": 3.0})
    run(film, (FRAMES, 0, 0))
    assert same_pictures(film.pictures("film"), film.whole)


def test_twice_the_rate_reuses_every_frame(place):
    film = alone(place, "once")
    run(film, (FRAMES, TWICE - FRAMES, 0), {"output.fps": 8})
    assert same_pictures(film.pictures("film"), film.twice)


def test_half_the_rate_reuses_every_second_frame_and_the_way_back_the_others(place):
    film = alone(place, "twice")
    run(film, (FRAMES, 0, 0))
    assert same_pictures(film.pictures("film"), film.whole)
    run(film, (TWICE, 0, 0), {"output.fps": 8})
    assert same_pictures(film.pictures("film"), film.twice)


def test_frames_of_another_size_are_kept_as_well(place):
    film = alone(place, "once")
    run(film, (0, FRAMES, 0), {"output.width": 32, "output.height": 32})
    run(film, (FRAMES, 0, 0))
    assert same_pictures(film.pictures("film"), film.whole)


def test_shards_keep_what_stood_in_each_others_places(place):
    film = alone(place, "once")
    for shard in ("0/2", "1/2"):
        changes = {"shard": shard, "sampling.guidance": 3.0}
        assert film.rounds.render(changes, **QUICK).code == 0
    run(film, (FRAMES, 0, 0))


def test_one_shard_takes_back_the_frames_of_all(place):
    """And knows that no frame of another shard is missing."""
    film = alone(place, "once")
    ended = film.rounds.render({"shard": "0/2"}, **QUICK)
    assert ended.code == 0, ended.err
    assert "are missing" not in ended.err + ended.out
    assert len(film.stored()) == FRAMES


def test_a_stitch_writes_over_none_of_them_either(place):
    """Its own frames are in the store, the folder shows others."""
    film = alone(place, "once")
    run(film, (0, FRAMES, 0), {"sampling.guidance": 3.0, "name": "other"})
    changes = {"sampling.guidance": 3.0, "mode": "stitch"}
    assert film.rounds.render(changes, **QUICK).code == 0
    run(film, (FRAMES, 0, 0))


@pytest.mark.parametrize("damage", ["cut", "of another name"])
def test_only_whole_frames_are_taken(place, damage):
    """And a store's whole copy is never exchanged."""
    film = alone(place, "once")
    first, second, *_ = film.frames("film")
    content = first.read_bytes()
    second.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    run(film, (0, FRAMES, 0), {"sampling.guidance": 3.0})
    run(film, (FRAMES - 1, 1, 0))
    assert same_pictures(film.pictures("film"), film.whole)
