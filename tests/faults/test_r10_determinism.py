"""R10: one plan, one film, however it is computed: in parts, in any order, in any surroundings."""

import shutil

import pytest
from outside import Site
from rounds import Rounds

KEYFRAMES = [
    {"at": 0, "prompt": {"A snowy castle": 0.5, "Ein Schloß": 0.3, "一座城堡": 0.2}, "seed": 1},
    {"at": 1, "prompt": "A green town", "seed": {2: 0.5, 3: 0.5}, "negative": "blurry"},
    {"at": 2, "prompt": "A city at night", "guidance": 3},
]
FRAMES = 9
COMMAND = ["+timeline=film", "output=frames", "output.fps=4"]
COMMAND += ["output.width=32", "output.height=32"]
IN_PARTS = {
    "batches of one": [{"compute.batch": 1}],
    "batches of four": [{"compute.batch": 4}],
    "shards": [{"shard": "0/3"}, {"shard": "1/3"}, {"shard": "2/3"}],
    "shards, the last one first": [{"shard": "2/3"}, {"shard": "1/3"}, {"shard": "0/3"}],
    "a shard, then the rest": [{"shard": "1/2", "compute.batch": 1}, {}],
    "again": [{}, {}],
}
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # what Python then takes C for
SURROUNDINGS = {
    "C": {"LANG": "C", "LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1", **ASCII},
    "Turkish": {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4294967295"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("same"))
    site.timeline("film", KEYFRAMES)
    yield site
    site.close()


@pytest.fixture(scope="module")
def rounds(place):
    rounds = Rounds(place, *COMMAND)
    yield rounds
    rounds.close()


def film_of(place):
    """plan.json and every frame, byte by byte; then all is removed."""
    folder = place.run_folder("film")
    made = [(folder / "plan.json").read_bytes(), *(p.read_bytes() for p in place.frames("film"))]
    assert len(made) == len(place.stored()) + 1 == FRAMES + 1
    shutil.rmtree(place.root)
    return made


def rendered(place, rounds, parts, **faults):
    for change in parts:
        assert rounds.render(change, **faults).code == 0
    return film_of(place)


@pytest.fixture(scope="module")
def whole(place, rounds):
    return rendered(place, rounds, [{}], blocks=8)


@pytest.mark.parametrize("parts", IN_PARTS.values(), ids=IN_PARTS)
def test_plan_and_frames_are_the_same_bytes_in_whatever_parts_they_are_rendered(
    place, rounds, whole, parts
):
    assert rendered(place, rounds, parts, blocks=8) == whole


def test_plan_and_frames_are_the_same_bytes_after_a_kill(place, rounds, whole):
    killed = rounds.render(killed=["A city at night"], batch=1, blocks=8)
    assert killed.code == -9
    assert 0 < len(place.frames("film")) < FRAMES
    assert rendered(place, rounds, [{}], blocks=8) == whole


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_plan_and_frames_are_the_same_bytes_in_whatever_surroundings(place, whole, surroundings):
    ended = place.render(*COMMAND, env=surroundings, blocks=8)
    assert ended.code == 0, ended.err
    assert film_of(place) == whole


def test_the_real_model_gives_the_same_bytes_whole_and_in_shards_of_other_batches(real):
    whole = rendered(real, real.rounds, [{"compute.batch": 4}])
    parts = [{"shard": "1/2", "compute.batch": 1}, {"shard": "0/2", "compute.batch": 3}]
    assert rendered(real, real.rounds, parts) == whole
