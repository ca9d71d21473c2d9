"""Films with a smooth path and an even pace, from outside: rows, resume, edits, other rates, and
what the store keeps."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
from command_line import Place
from pictures import same_pictures

import render
from render.files.ownership import FRAME_MARK
from render.store import path_latents

THREE = [
    {"at": 0, "prompt": "one", "seed": 1},
    {"at": 1, "prompt": "two"},
    {"at": 2, "prompt": "three"},
]
SMOOTH = ("sampling.path=smooth", "sampling.path_parts=4", "output=frames")
EVEN = (*SMOOTH, "timeline.pace=even")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, tiny_sd1):
    """A smooth film of nine frames, and the same with an even pace."""
    place = Place(tmp_path_factory.mktemp("smooth"), tiny_sd1)
    place.timeline("film", THREE)
    place.timeline("even", THREE)
    ended = place.render("+timeline=film", *SMOOTH)
    assert ended.code == 0, ended.err
    ended = place.render("+timeline=even", *EVEN)
    assert ended.code == 0, ended.err
    return place


@pytest.fixture
def fresh(place):
    place.timeline("film", THREE)
    return place


def rows(place, name="film"):
    return place.run_json(name)["rows"]


def plan(place, name="film"):
    return json.loads((place.folder / "outputs" / name / "plan.json").read_text())


def nodes(place):
    return sorted(path.stem for path in (place.folder / "outputs" / ".store").glob("??/*.latents"))


def test_keyframes_are_those_of_the_plain_film(rendered, fresh):
    assert fresh.render("+timeline=film", "output=frames").code == 0
    plain, smooth = fresh.pictures("film"), rendered.pictures("film")
    for place in (0, 4, 8):
        assert same_pictures([plain[place]], [smooth[place]])
    assert not same_pictures([plain[2]], [smooth[2]])
    digests = [frame["digest"] for frame in plan(fresh)["frames"]]
    of_smooth = [frame["digest"] for frame in plan(rendered)["frames"]]
    assert [a == b for a, b in zip(digests, of_smooth, strict=True)] == [
        place in (0, 4, 8) for place in range(9)
    ]


def test_another_rate_and_another_easing_denoise_nothing(rendered):
    ended = rendered.render("+timeline=film", *SMOOTH, "output.fps=8", "name=faster")
    assert ended.code == 0, ended.err
    assert (rows(rendered, "faster"), sum(rendered.counts("faster"))) == (0, 17)
    eased = [{**THREE[0], "ease": "smooth"}, *THREE[1:]]
    rendered.timeline("eased", eased)
    assert rendered.render("+timeline=eased", *SMOOTH).code == 0
    assert rows(rendered, "eased") == 0


def test_the_plan_says_that_frames_are_only_decoded(rendered):
    ended = rendered.render("+timeline=film", *SMOOTH, "output.fps=16", "mode=plan", "name=film")
    assert "denoiser  0 rows" in ended.out
    assert "only decoded" in ended.out
    assert "about" not in ended.out


def test_rows_of_probes_count(rendered, fresh):
    assert fresh.render("+timeline=film", *SMOOTH).code == 0
    of_smooth = rows(fresh)
    fresh.timeline("even", THREE)
    assert fresh.render("+timeline=even", *EVEN, "root=elsewhere").code == 0
    assert fresh.run_json("even", "elsewhere")["rows"] == of_smooth


def test_a_frame_says_where_it_is_on_which_path(rendered):
    for frame in plan(rendered, "even")["frames"]:
        if frame["index"] in (0, 4, 8):
            assert "path" not in frame
        else:
            assert 0 < frame["path"]["place"] < 1
            assert frame["path"]["digest"] in nodes(rendered)


def test_the_plan_counts_rows_and_says_what_is_not_measured(fresh):
    ended = fresh.render("+timeline=film", *EVEN, "mode=plan")
    assert "the pace of 2 segments is not measured yet" in ended.out + ended.err
    assert fresh.render("+timeline=film", *EVEN).code == 0
    ended = fresh.render("+timeline=film", *EVEN, "mode=plan")
    assert "not measured" not in ended.out + ended.err
    assert "plan.next.json" not in ended.out + ended.err


def test_an_edit_measures_and_denoises_its_segment_alone(rendered):
    rendered.timeline("edited", [*THREE[:2], {"at": 2, "prompt": "four"}])
    before = set(nodes(rendered))
    ended = rendered.render("+timeline=edited", *EVEN)
    assert ended.code == 0, ended.err
    assert "measuring the pace of 1 segment\n" in ended.out + ended.err
    assert len(set(nodes(rendered)) - before) == 1
    assert rendered.counts("edited")[0] >= 5
    rendered.timeline("edited", THREE)
    assert rendered.render("+timeline=edited", *EVEN).code == 0
    assert rendered.counts("edited") == (9, 0)


@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_a_killed_film_of_even_pace_ends_as_the_uninterrupted_one(fresh, rendered, seconds):
    fresh.timeline("even", THREE)
    process = fresh.start("+timeline=even", *EVEN, "compute.batch=1")
    store = fresh.folder / "outputs" / ".store"
    while process.poll() is None and not list(store.glob("??/*.png")):
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert fresh.render("+timeline=even", *EVEN, "compute.batch=1").code == 0
    assert same_pictures(fresh.pictures("even"), rendered.pictures("even"))
    assert plan(fresh, "even") == plan(rendered, "even")


@pytest.fixture
def copied(rendered, tmp_path):
    """A copy of the films of this file, for tests that damage them."""
    shutil.copytree(rendered.folder, tmp_path / "copy", symlinks=True)
    return Place(tmp_path / "copy", rendered.model)


def short(numbers):
    return numbers[:-4]


def empty(numbers):
    return b""


def not_finite(numbers):
    """Right in all but its numbers."""
    digest = json.loads(numbers.partition(b"\n")[0])[FRAME_MARK]
    return path_latents.encoded(digest, np.full((5, 4, 8, 8), np.nan, np.float32))


def of_another_size(numbers):
    digest = json.loads(numbers.partition(b"\n")[0])[FRAME_MARK]
    return path_latents.encoded(digest, np.zeros((5, 4, 2, 2), np.float32))


@pytest.mark.parametrize("damage", [short, empty, not_finite, of_another_size])
def test_lost_maps_and_damaged_nodes_are_made_again_and_are_the_same(copied, damage):
    store = copied.folder / "outputs" / ".store"
    before = copied.pictures("even")
    (store / "paces.json").unlink()
    for latents in store.glob("??/*.latents"):
        latents.write_bytes(damage(latents.read_bytes()))
    for folder in (store, copied.folder / "outputs" / "even" / "frames"):
        for frame in folder.rglob("*.png"):
            frame.unlink()
    ended = copied.render("+timeline=even", *EVEN)
    assert ended.code == 0, ended.err
    assert same_pictures(copied.pictures("even"), before)
    assert rows(copied, "even") > 0


def test_prune_keeps_the_nodes_of_a_plan_and_removes_others(fresh):
    assert fresh.render("+timeline=film", *SMOOTH).code == 0
    used = nodes(fresh)
    fresh.timeline("film", [THREE[0], {"at": 1, "prompt": "five"}])
    assert fresh.render("+timeline=film", *SMOOTH).code == 0
    after = set(nodes(fresh)) - set(used)
    assert len(after) == 1
    assert fresh.render("+timeline=film", *SMOOTH, "mode=prune", "prune=yes").code == 0
    assert nodes(fresh) == sorted(after)


def test_shards_share_paths_out_and_make_the_film(fresh, rendered):
    for shard in ("0/2", "1/2"):
        ended = fresh.render("+timeline=film", *SMOOTH, f"shard={shard}")
        assert ended.code == 0, ended.err
        assert rows(fresh) > 0
    assert same_pictures(fresh.pictures("film"), rendered.pictures("film"))


def test_a_shard_without_a_path_has_nothing_to_do(fresh):
    assert fresh.render("+timeline=film", *SMOOTH, "shard=3/4").code == 0
    assert fresh.counts("film") == (0, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sampling.path_parts=4", "changes nothing on a plain path"),
        ("sampling.path=curved", "plain"),
        ("timeline.pace=slow", "even"),
    ],
)
def test_mistakes(fresh, given, said):
    ended = fresh.render("+timeline=film", given)
    assert ended.code == 2
    assert said in ended.err


def test_anchors_beside_a_smooth_path_are_a_mistake(fresh):
    ended = fresh.render("+timeline=film", *SMOOTH, "sampling.anchors=4")
    assert ended.code == 2
    assert "sampling.path_parts" in ended.err


def test_a_plain_path_has_an_even_pace_too(fresh):
    ended = fresh.render("+timeline=film", "output=frames", "timeline.pace=even")
    assert ended.code == 0, ended.err
    assert nodes(fresh) == []
    assert fresh.counts("film")[1] > 0
    assert fresh.render("+timeline=film", "output=frames", "timeline.pace=even").code == 0
    assert fresh.counts("film") == (9, 0)


def test_segments_that_stay_plain_are_named_and_measured_as_plain_ones(fresh):
    walk = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "one", "seed": 2}]
    fresh.timeline("walk", walk)
    noisy = ("scheduler=euler_a", *EVEN)
    ended = fresh.render("+timeline=walk", *noisy)
    assert ended.code == 0, ended.err
    assert "no smooth path in 1 segment (from 0 s)" in ended.out + ended.err
    assert nodes(fresh) == []


def test_holds_and_segments_without_frames_are_not_measured(fresh):
    held = [{**THREE[0], "ease": "hold"}, {"at": 1, "prompt": "two"}, {"at": 1.25, "prompt": "six"}]
    fresh.timeline("held", held)
    ended = fresh.render("+timeline=held", *EVEN, "output.fps=4")
    assert ended.code == 0, ended.err
    assert "measur" not in (ended.out + ended.err).replace("measure ", "")
    assert nodes(fresh) == []


def test_a_film_in_python_is_encoded_after_its_pace_was_measured(fresh, monkeypatch):
    monkeypatch.chdir(fresh.folder)
    film = render.load(THREE, *fresh.arguments(*SMOOTH, "output=gif", "timeline.pace=even"))
    frames = list(film.render())
    assert film.plan().facts.kept == len(frames) == 9
    assert [frame.digest for frame in film.plan().frames] == [frame.digest for frame in frames]
    assert film.encode().is_file()
