"""Films with a smooth path and an even pace, from outside: rows, resume, edits, other rates, and
what the store keeps."""

import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest
import yaml
from command_line import Place
from diffusers import ControlNetModel, UNet2DConditionModel
from pictures import same_pictures
from PIL import Image

import render
from render.store.path_latents import encoded, sha256

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
    half = r"pace  from 1 s: half of the change lies from \d+% to \d+% of the way"
    assert re.search(half, ended.out)


def test_a_measured_pace_can_be_given_as_yaml(rendered, fresh):
    """The same film where nothing is measured; and a pace of one's own is followed."""
    text = (rendered.folder / "outputs" / "even" / "paced.yaml").read_text()
    paced = yaml.safe_load(text)
    assert [each.get("pace") is not None for each in paced["keyframes"]] == [True, True, False]
    (fresh.folder / "paced.yaml").write_text(text)
    ended = fresh.render("+timeline=./paced.yaml", *SMOOTH)
    assert ended.code == 0, ended.err
    assert "measuring" not in ended.out + ended.err
    places = [f["path"]["place"] for f in plan(rendered, "even")["frames"] if "path" in f]
    again = [f["path"]["place"] for f in plan(fresh, paced["name"])["frames"] if "path" in f]
    assert again == pytest.approx(places, abs=1e-5)
    own = {0.25: 0.5, 0.75: 0.8}
    fresh.timeline("own", [{**THREE[0], "pace": own}, *THREE[1:]])
    assert fresh.render("+timeline=own", *SMOOTH, "mode=plan").code == 0
    found = [f["path"]["place"] for f in plan(fresh, "own")["frames"] if "path" in f]
    assert found == pytest.approx([0.5, 0.65, 0.8, 0.25, 0.5, 0.75])


def test_a_paced_timeline_goes_with_its_pace(fresh):
    assert fresh.render("+timeline=film", *EVEN).code == 0
    assert (fresh.folder / "outputs" / "film" / "paced.yaml").exists()
    assert fresh.render("+timeline=film", *SMOOTH).code == 0
    assert not (fresh.folder / "outputs" / "film" / "paced.yaml").exists()


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


@pytest.mark.parametrize("damage", [short, empty])
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
        ("timeline.pace={0.5:0.5,0.7:0.4}", "both rise"),
        ("timeline.pace={0.5:1}", "both rise"),
        ("timeline.pace={half:0.4}", "'half' is no share"),
        ("timeline.pace={}", "a pace is time, even"),
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


def digests(place, name="film"):
    return [frame["digest"] for frame in plan(place, name)["frames"]]


def test_negatives_of_an_end_without_guidance_are_in_the_identity_of_the_path(fresh):
    end = {"at": 1, "prompt": "two", "guidance": 9, "negative": "blurry"}
    for name, negative in (("film", "ugly"), ("other", "a very pretty cat")):
        start = {"at": 0, "prompt": "one", "guidance": 1, "negative": negative}
        fresh.timeline(name, [start, end])
        assert fresh.render(f"+timeline={name}", *SMOOTH).code == 0
    same = [a == b for a, b in zip(digests(fresh), digests(fresh, "other"), strict=True)]
    assert same == [True, False, False, False, True]
    assert fresh.counts("other") == (2, 3)


@pytest.mark.parametrize("mode", ["stitch", "measure"])
def test_frames_of_another_pace_are_not_taken_for_those_of_an_even_one(fresh, mode):
    assert fresh.render("+timeline=film", *SMOOTH).code == 0
    before = fresh.tree()
    ended = fresh.render("+timeline=film", *EVEN, f"mode={mode}")
    assert ended.code in (2, 4)
    assert "the pace of 2 segments is not measured yet" in ended.err
    assert fresh.tree() == before


@pytest.mark.parametrize("before", [("mode=plan", *EVEN), SMOOTH])
def test_a_shard_measures_where_another_plan_was_left(fresh, before):
    assert fresh.render("+timeline=film", *before).code == 0
    for shard in ("0/2", "1/2"):
        ended = fresh.render("+timeline=film", *EVEN, f"shard={shard}")
        assert ended.code == 0, ended.err
    assert len(fresh.pictures("film")) == 9


def with_checksum(path, numbers, shape):
    head = {"render:digest": path.stem, "shape": shape, "sha256": sha256(numbers)}
    path.write_bytes(json.dumps(head).encode() + b"\n" + numbers)


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


WRONG_NODES = {
    "not finite": lambda path: path.write_bytes(
        encoded(path.stem, np.full((5, 4, 8, 8), np.nan, np.float32))
    ),
    "far too large": lambda path: path.write_bytes(
        encoded(path.stem, np.full((5, 4, 8, 8), 1e30, np.float32))
    ),
    "of a larger picture": lambda path: path.write_bytes(
        encoded(path.stem, np.zeros((5, 4, 16, 16), np.float32))
    ),
    "of fewer channels": lambda path: path.write_bytes(
        encoded(path.stem, np.zeros((5, 3, 8, 8), np.float32))
    ),
    "a product that overflows": lambda path: with_checksum(path, b"", [5, 2**62, 4]),
    "many axes": lambda path: with_checksum(path, bytes(5120), [5, 256, *[1] * 100]),
    "larger than any": lambda path: os.truncate(path, (1 << 31) + 5000),
    "a folder": as_folder,
    "a link": as_link,
}


def left_with_nodes(place):
    """A film's pictures, and its stored nodes, of which alone it is to be made again."""
    place.timeline("film", THREE[:2])
    assert place.render("+timeline=film", *SMOOTH).code == 0
    film = place.pictures("film")
    for picture in (place.folder / "outputs").rglob("*.png"):
        picture.unlink()
    (latents,) = (place.folder / "outputs" / ".store").glob("??/*.latents")
    return film, latents


@pytest.mark.parametrize("wrong", WRONG_NODES)
def test_wrong_nodes_are_made_again(fresh, wrong):
    film, latents = left_with_nodes(fresh)
    WRONG_NODES[wrong](latents)
    ended = fresh.render("+timeline=film", *SMOOTH)
    assert ended.code == 0, ended.err
    assert rows(fresh) > 0
    assert same_pictures(fresh.pictures("film"), film)
    assert latents.is_file()
    assert not latents.is_symlink()


def test_nodes_that_give_no_finite_pictures_fail_one_run_alone(fresh, monkeypatch):
    film, latents = left_with_nodes(fresh)
    WRONG_NODES["far too large"](latents)
    monkeypatch.setattr("render.store.path_latents.LARGEST", np.inf)
    ended = fresh.render("+timeline=film", *SMOOTH)
    assert ended.code == 3
    assert f"{latents.name} is removed: it gives no finite pictures" in ended.err
    assert fresh.render("+timeline=film", *SMOOTH).code == 0
    assert same_pictures(fresh.pictures("film"), film)


def test_a_program_goes_on_with_the_pace_that_its_render_measured(fresh, monkeypatch):
    monkeypatch.chdir(fresh.folder)
    film = render.load("film", *fresh.arguments(*EVEN))
    frames = list(film.render())
    planned = film.plan()
    assert [frame.digest for frame in frames] == [frame.digest for frame in planned.frames]
    assert planned.facts.warnings == ()
    assert film.encode("film.mp4").is_file()
    assert film.measure().figures.frames == 9


def test_a_keyframe_takes_no_trunk_from_frames_that_start_from_a_picture(fresh):
    Image.new("RGB", (64, 64), "red").save(fresh.folder / "start.png")
    start = {**THREE[0], "image": "start.png", "strength": 0.5}
    fresh.timeline("film", [start, {"at": 1, "prompt": "two", "strength": 1}])
    given = ("+timeline=film", "output=frames", "scheduler=ddim", "model.steps=4")
    assert fresh.render(*given).code == 0
    assert fresh.render(*given, "sampling.trunk=0.5").code == 0
    assert fresh.counts("film") == (5, 0)


def test_a_trunk_of_no_step_costs_none(fresh):
    assert fresh.render("+timeline=film", "output=frames", "model.steps=4").code == 0
    plain, film = rows(fresh), fresh.pictures("film")
    given = ("output=frames", "model.steps=4", "sampling.trunk=0.01")
    assert fresh.render("+timeline=film", *given).code == 0
    assert rows(fresh) == plain
    assert same_pictures(fresh.pictures("film"), film)


def test_a_smooth_film_and_an_even_one_follow_a_picture(fresh):
    unet = UNet2DConditionModel.from_pretrained(fresh.model / "unet")
    ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8,) * 4).save_pretrained(
        fresh.folder / "net"
    )
    (fresh.folder / "edges").mkdir()
    for name in ("edges.png", *(f"edges/{place}.png" for place in range(9))):
        Image.new("RGB", (64, 64), "red").save(fresh.folder / name)
    net = "+model.controlnet.path=net"
    for given in (SMOOTH, EVEN, ("output=frames", "timeline.pace=even")):
        follow = "+model.controlnet.image=edges.png"
        ended = fresh.render("+timeline=film", net, follow, *given)
        assert ended.code == 0, ended.err
    ended = fresh.render("+timeline=film", net, "+model.controlnet.image=edges", *EVEN)
    assert ended.code == 2
    assert "timeline.pace" in ended.err


@pytest.mark.parametrize("given", [("mode=plan",), ()])
def test_a_film_whose_pace_is_not_measured_warns_of_all_else(fresh, given):
    ended = fresh.render("+timeline=film", *EVEN, "output.width=128", "output.height=128", *given)
    assert ended.code == 0, ended.err
    assert "128 × 128 is far from" in ended.out + ended.err


def test_a_film_is_planned_again_only_when_its_pace_was_measured(fresh, monkeypatch):
    monkeypatch.chdir(fresh.folder)
    film = render.load("film", *fresh.arguments(*EVEN))
    before = film.resolved
    assert film.resolved is before
    list(film.render())
    assert film.resolved is film.resolved
    assert not film.resolved.plan.unmeasured


def test_maps_that_can_not_be_kept_cost_only_time(fresh, monkeypatch):
    monkeypatch.chdir(fresh.folder)
    monkeypatch.setattr("render.run.even_pace.remember", lambda store, maps: None)
    film = render.load("film", *fresh.arguments(*EVEN))
    assert len(list(film.render())) == 9
    assert not (fresh.folder / "outputs" / ".store" / "paces.json").exists()
    assert film.encode("film.mp4").is_file()


def test_segments_that_show_their_keyframes_alone_are_not_measured(fresh):
    ended = fresh.render("+timeline=film", *EVEN, "output.fps=4", "sampling.every=4")
    assert ended.code == 0, ended.err
    assert "measuring the pace" not in ended.out + ended.err
