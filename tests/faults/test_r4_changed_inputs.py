"""R4: changed inputs. Exactly the frames whose meaning changed are rendered, and it is said why."""

import json
import os
import shutil
import signal

import pytest
from films import SPELLED_OTHERWISE
from outside import CHECKOUT
from pictures import same_pictures

KEYFRAMES = [
    {"at": 0, "prompt": "one", "seed": 1},
    {"at": 1, "prompt": "two"},
    {"at": 2, "prompt": "three"},
]
FRAMES = 9
COMMAND = ["+timeline=film", "output.fps=4", "output.width=32", "output.height=32"]
QUICK = {"blocks": 8}


@pytest.fixture(scope="module")
def pristine(film_site):
    """A place with a whole film, and a copy of all that was made."""
    site = film_site(KEYFRAMES, *COMMAND)
    assert site.rounds.render(**QUICK).code == 0
    assert site.counts("film") == (0, FRAMES, 0)
    site.whole = site.pictures("film")
    site.root.rename(site.here / "copy")
    return site


@pytest.fixture
def film(pristine):
    """The whole film as it was rendered."""
    for made in (pristine.root, pristine.here / "moved"):
        shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(pristine.here / "copy", pristine.root)
    pristine.timeline("film", KEYFRAMES)
    return pristine


def changed(site):
    """The frames whose pictures are others than before."""
    pairs = zip(site.whole, site.pictures("film"), strict=True)
    return [index for index, (old, new) in enumerate(pairs) if (old != new).any()]


@pytest.mark.parametrize(
    ("place", "frames"), [(0, range(4)), (1, range(1, 8)), (2, range(5, 9))], ids=["0", "1", "2"]
)
def test_an_edited_prompt_renders_the_frames_it_has_weight_in(film, place, frames):
    edited = [dict(keyframe) for keyframe in KEYFRAMES]
    edited[place]["prompt"] = "another"
    ended = film.rounds.render({"timeline.keyframes": edited}, **QUICK)
    assert film.counts("film") == (FRAMES - len(frames), len(frames), 0)
    first = ", ".join(map(str, frames[:4]))
    assert f"{len(frames)} changed: prompts (frames {first}" in ended.err
    assert changed(film) == list(frames)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [("seed", 2, "seeds"), ("guidance", 3.0, "guidance"), ("negative", "blurry", "negatives")],
)
def test_what_else_a_keyframe_says_is_named_when_it_changes(film, key, value, named):
    edited = [*KEYFRAMES[:2], KEYFRAMES[2] | {key: value}]
    ended = film.rounds.render({"timeline.keyframes": edited}, **QUICK)
    assert f"4 changed: {named} (frames 5, 6, 7, 8)" in ended.err
    assert film.counts("film") == (5, 4, 0)


@pytest.mark.parametrize(
    "change",
    [{"output.quality": 30}, {"output.format": "gif"}, {"compute.batch": 1}],
    ids=lambda change: next(iter(change)),
)
def test_how_it_is_made_renders_no_frame_again(film, change):
    assert film.rounds.render(change, **QUICK).code == 0
    assert film.counts("film") == (FRAMES, 0, 0)
    assert not changed(film)


def test_another_rate_renders_only_the_frames_between(film):
    assert film.rounds.render({"output.fps": 8}, **QUICK).code == 0
    assert film.counts("film") == (FRAMES, FRAMES - 1, 0)
    assert same_pictures(film.pictures("film")[::2], film.whole)


def test_comments_spelling_and_the_order_of_keys_render_no_frame_again(film):
    film.timeline("film", SPELLED_OTHERWISE)
    plan = (film.run_folder("film") / "plan.json").read_bytes()
    assert film.render(*COMMAND).code == 0
    assert film.counts("film") == (FRAMES, 0, 0)
    assert (film.run_folder("film") / "plan.json").read_bytes() == plan


def touch(site):
    for path in site.root.rglob("*"):
        os.utime(path, (1, 1))


def copy(site):
    """Every file another one, as after `cp -r` onto another disk: no hard links, new times."""
    shutil.copytree(site.root, site.here / "moved", copy_function=shutil.copyfile)
    shutil.rmtree(site.root)
    (site.here / "moved").rename(site.root)


def copy_each(site):
    for path in site.frames("film"):
        shutil.copy(path, path.with_suffix(".copy"))
        path.with_suffix(".copy").replace(path)


def remove_store(site):
    shutil.rmtree(site.root / ".store")


def remove_frames(site):
    shutil.rmtree(site.run_folder("film") / "frames")


def exchange(site):
    first, *_, last = site.frames("film")
    first.rename(first.with_suffix(".first"))
    last.rename(first)
    first.with_suffix(".first").rename(last)


def nothing(site):
    pass


@pytest.mark.parametrize(
    "move", [nothing, touch, copy, copy_each, remove_store, remove_frames, exchange]
)
def test_files_that_are_touched_copied_or_moved_are_not_rendered_again(film, move):
    move(film)
    assert film.rounds.render(**QUICK).code == 0
    assert film.counts("film") == (FRAMES, 0, 0)
    assert not changed(film)
    assert len(film.stored()) == FRAMES


def test_a_root_that_was_moved_is_not_rendered_again(film):
    film.root.rename(film.here / "moved")
    assert film.rounds.render({"root": "moved"}, **QUICK).code == 0
    run_json = json.loads((film.here / "moved" / "film" / "run.json").read_text())
    assert run_json["frames"] == {"planned": FRAMES, "kept": FRAMES, "rendered": 0, "failed": 0}
    assert not film.root.exists()


def test_another_file_of_the_model_renders_all_frames_and_says_so(film):
    model = film.here / "model"
    shutil.copytree(CHECKOUT / "render" / "storybook" / "weights", model)
    mine = {"model.path": str(model)}
    film.rounds.render(mine, **QUICK)
    assert film.counts("film") == (FRAMES, 0, 0)  # the same model in another folder
    for path in model.rglob("*"):
        path.touch()
    film.rounds.render(mine, **QUICK)
    assert film.counts("film") == (FRAMES, 0, 0)
    flip_the_last_bit(max(model.rglob("*.safetensors"), key=lambda path: path.stat().st_size))
    ended = film.rounds.render(mine, **QUICK)
    assert "9 changed: model" in ended.err
    assert film.counts("film") == (0, FRAMES, 0)


def flip_the_last_bit(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_another_revision_renders_all_frames_and_says_so(film):
    hub = film.here / "hub"
    for letter in "ab":
        snapshot = hub / "models--an--other" / "snapshots" / (letter * 40)
        shutil.copytree(CHECKOUT / "render" / "storybook" / "weights", snapshot, dirs_exist_ok=True)
    chosen = [*COMMAND, "model=sd15", "model.repository=an/other"]
    old, new = ([*chosen, f"model.revision={letter * 40}"] for letter in "ab")
    own = {"HF_HUB_CACHE": str(hub)}
    assert film.render(*old, env=own, **QUICK).code == 0
    ended = film.render(*new, env=own, **QUICK)
    assert "9 changed: model" in ended.err
    assert film.counts("film") == (0, FRAMES, 0)
    assert film.render(*old, env=own, **QUICK).code == 0
    assert film.counts("film") == (FRAMES, 0, 0)


def test_an_edit_during_the_run_leaves_this_run_as_it_began(film):
    shutil.rmtree(film.root)
    run = film.start(*COMMAND, seconds=0.05, batch=1, **QUICK)
    run.until(lambda: film.frames("film"))
    run.signal(signal.SIGSTOP)
    plan = (film.run_folder("film") / "plan.json").read_bytes()
    film.timeline("film", [{"at": 0, "prompt": "another"}, {"at": 3, "prompt": "yet another"}])
    edited = {"timeline.keyframes": [{"at": 0, "prompt": "another"}], "mode": "plan"}
    asked = film.rounds.render(edited)
    assert asked.code == 0
    assert "plan.json stays that of the frames that are there" in asked.err
    run.signal(signal.SIGCONT)
    assert run.wait().code == 0
    assert film.counts("film") == (0, FRAMES, 0)
    assert (film.run_folder("film") / "plan.json").read_bytes() == plan
    assert same_pictures(film.pictures("film"), film.whole)
    assert film.render(*COMMAND, **QUICK).code == 0
    assert film.counts("film") == (0, 13, 0)
