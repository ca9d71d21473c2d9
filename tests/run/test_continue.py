"""The same command continues: after a kill, a signal, a failure, an edit, at another rate."""

import json
import os
import pkgutil
import re
import shutil
import signal
import time
from functools import partial

import numpy as np
import pytest
from command_line import Place
from films import SPELLED_OTHERWISE
from pictures import same_pictures

from render import storybook
from render.models.identity import folder_identity
from render.models.model_configs import read_index
from render.plan.frame_plan import RECIPE_VERSION, Recipe
from render.run.work import Work
from render.video import contact_sheet

LONG = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 6, "prompt": "two", "seed": 2}]
FRAMES = 25
THREE = [
    {"at": 0, "prompt": "one", "seed": 1},
    {"at": 1, "prompt": "two"},
    {"at": 2, "prompt": "three"},
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, tiny_sd1):
    place = Place(tmp_path_factory.mktemp("whole"), tiny_sd1)
    place.timeline("long", LONG)
    assert place.render("+timeline=long", "output=frames").code == 0
    return place.pictures("long")


@pytest.fixture
def rendered(place):
    """A film of nine frames."""
    place.timeline("film", THREE)
    assert place.render("+timeline=film").code == 0
    assert place.counts("film") == (0, 9)
    return place


def frames_there(place):
    return len(list((place.folder / "outputs" / "long" / "frames").glob("*.png")))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_after_a_kill_only_the_missing_frames_are_rendered(place, uninterrupted, number, code):
    place.timeline("long", LONG)
    process = place.start("+timeline=long", "compute.batch=1")
    while process.poll() is None and frames_there(place) < 3:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    there = frames_there(place)
    assert process.returncode == code
    assert 3 <= there < FRAMES
    if number != signal.SIGKILL:
        assert said.splitlines()[-1] == "render: interrupted; the same command continues from here"
        assert "Traceback" not in said
        assert place.counts("long") == (0, there)
        assert not place.temps()
    assert place.render("+timeline=long").code == 0
    kept, rendered = place.counts("long")
    assert there <= kept <= there + 1  # a frame may be stored and not yet shown
    assert kept + rendered == FRAMES
    assert not place.temps()
    assert same_pictures(place.pictures("long"), uninterrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "stage", ["render.run.frame_writer.FrameWriter.keep", "render.run.video_step.contact_sheet"]
)
def test_a_signal_ends_a_run_in_good_order(place, monkeypatch, stage, number, code):
    real = pkgutil.resolve_name(stage)

    def interrupted(*arguments):
        os.kill(os.getpid(), number)
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(stage, interrupted)
        ended = place.render("+timeline=t", "compute.batch=1")
    assert ended.code == code
    assert ended.err.splitlines()[-1] == "render: interrupted; the same command continues from here"
    log = (place.folder / "outputs" / "t" / "render.log").read_text()
    assert log.splitlines()[-1].endswith(" ended: interrupted")
    assert not place.temps()
    kept = place.run_json("t")["frames"]["rendered"]
    assert kept == len(list((place.folder / "outputs" / ".store").glob("??/*.png")))
    assert kept == 5 if "sheet" in stage else kept >= 1  # what was rendered is stored all the same
    assert place.render("+timeline=t").code == 0
    assert place.counts("t") == (kept, 5 - kept)


def test_a_long_films_sheet_shows_its_keyframes(rendered, monkeypatch):
    places = []
    real = contact_sheet.chosen
    monkeypatch.setattr(contact_sheet, "MOST_FRAMES", 5)
    monkeypatch.setattr(
        contact_sheet, "chosen", lambda *given: places.append(real(*given)) or places[-1]
    )
    film = ["+timeline=film", "timeline.keyframes.1.at=0.75"]
    assert rendered.render(*film).code == 0
    assert len(places[0]) == 5
    assert {0, 3, 8} <= set(places[0])


def test_a_second_run_renders_and_encodes_nothing(rendered):
    folder = rendered.folder / "outputs" / "film"
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.suffix in (".png", ".mp4")}
    ended = rendered.render("+timeline=film")
    assert rendered.counts("film") == (9, 0)
    assert set(rendered.run_json("film")["seconds"]) == {"check", "link", "total"}
    assert rendered.run_json("film")["rows"] == 0
    assert "film.mp4 (as it was)" in ended.out
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_video_that_was_changed_or_removed_is_made_again(rendered):
    video = rendered.folder / "outputs" / "film" / "film.mp4"
    video.unlink()
    assert "as it was" not in rendered.render("+timeline=film").out
    whole = video.stat().st_size
    video.write_bytes(video.read_bytes()[:100])
    rendered.render("+timeline=film")
    assert video.stat().st_size == whole
    assert rendered.counts("film") == (9, 0)


def test_one_prompt_edited_renders_only_the_frames_it_has_weight_in(rendered):
    before = rendered.pictures("film")
    edited = [*THREE[:2], {"at": 2, "prompt": "four"}]
    rendered.timeline("film", edited)
    ended = rendered.render("+timeline=film")
    assert "changed: prompts (frames 5, 6, 7, 8)" in ended.err
    assert rendered.counts("film") == (5, 4)
    after = rendered.pictures("film")
    assert same_pictures(before[:5], after[:5])
    assert not any(map(np.array_equal, before[5:], after[5:]))
    rendered.timeline("film", THREE)
    rendered.render("+timeline=film")
    assert rendered.counts("film") == (9, 0)
    assert same_pictures(before, rendered.pictures("film"))


def test_twice_the_rate_reuses_every_frame(rendered):
    before = rendered.pictures("film")
    rendered.render("+timeline=film", "output.fps=8")
    assert rendered.counts("film") == (9, 8)
    assert same_pictures(before, rendered.pictures("film")[::2])


@pytest.mark.parametrize("change", ["output=webp", "output.quality=30", "compute.batch=1"])
def test_how_it_is_made_renders_nothing(rendered, change):
    rendered.render("+timeline=film", change)
    assert rendered.counts("film") == (9, 0)


def test_how_the_timeline_is_spelled_renders_nothing(rendered):
    rendered.timeline("film", SPELLED_OTHERWISE)
    rendered.render("+timeline=film")
    assert rendered.counts("film") == (9, 0)


def test_a_shorter_film_shows_no_frames_behind_its_end(rendered):
    rendered.timeline("film", THREE[:2])
    rendered.render("+timeline=film")
    assert rendered.counts("film") == (5, 0)
    assert len(rendered.pictures("film")) == 5
    rendered.timeline("film", THREE)
    rendered.render("+timeline=film")
    assert rendered.counts("film") == (9, 0)


def test_an_emptied_store_is_filled_from_the_runs_own_frames(rendered):
    for stored in (rendered.folder / "outputs" / ".store").glob("??/*.png"):
        stored.unlink()
    rendered.render("+timeline=film", "output=gif")
    assert rendered.counts("film") == (9, 0)
    assert len(list((rendered.folder / "outputs" / ".store").glob("??/*.png"))) == 9


def test_a_damaged_frame_is_named_and_rendered_again(rendered):
    whole = rendered.pictures("film")
    frame = rendered.folder / "outputs" / "film" / "frames" / "frame_000004.png"
    content = bytearray(frame.read_bytes())
    content[-40] ^= 1
    frame.write_bytes(content)
    ended = rendered.render("+timeline=film")
    assert "corrupt: 1, is damaged" in ended.err
    assert rendered.counts("film") == (8, 1)
    assert same_pictures(rendered.pictures("film"), whole)


def test_a_held_picture_is_rendered_once_and_shown_everywhere(place):
    place.timeline("held", [{"at": 0, "prompt": "one", "ease": "hold"}, {"at": 1, "prompt": "two"}])
    place.render("+timeline=held")
    assert place.counts("held") == (0, 5)
    assert len(list((place.folder / "outputs" / ".store").glob("??/*.png"))) == 2
    pictures = place.pictures("held")
    assert same_pictures(pictures[:4], [pictures[0]] * 4)


def test_frames_that_fail_are_exit_code_3_and_tried_again(place, monkeypatch):
    """The second frame comes out as NaN, once."""
    load = Work.load

    def faulty(work):
        diffusion = load(work)
        render = diffusion.render

        def render_all_but_one(specs, on_step):
            arriving = render(specs, on_step)
            if any(len(spec.prompts) == 2 and spec.prompts[1][1] == 0.25 for spec in specs):
                arriving.finite[1] = False
            return arriving

        diffusion.render = render_all_but_one
        return diffusion

    monkeypatch.setattr(Work, "load", faulty)
    ended = place.render("+timeline=t")
    assert ended.code == 3
    assert "1 frame failed, the first: frame 1: the model gave a picture" in ended.err
    assert not (place.folder / "outputs" / "t" / "t.mp4").exists()
    run_json = place.run_json("t")
    assert run_json["frames"] == {"planned": 5, "kept": 0, "rendered": 4, "failed": 1}
    assert run_json["failures"][0][0] == 1
    monkeypatch.undo()
    assert place.render("+timeline=t").code == 0
    assert place.counts("t") == (4, 1)


def test_speeds_keep_what_another_has_rendered(rendered):
    """Of nine frames five are keyframes or anchors; a draft holds each keyframe for a second."""
    draft = ("+timeline=film", "sampling.speed=draft", "name=draft", "output=frames")
    assert rendered.render(*draft).code == 0
    assert rendered.counts("draft") == (9, 0)
    balanced = ("+timeline=film", "sampling.speed=balanced", "name=balanced", "output=frames")
    assert rendered.render(*balanced).code == 0
    assert rendered.counts("balanced") == (5, 4)
    assert rendered.render(*balanced, "root=elsewhere").code == 0
    assert rendered.counts("balanced", "elsewhere") == (0, 9)
    films = [rendered.pictures("balanced", root) for root in ("outputs", "elsewhere")]
    assert same_pictures(*films)
    exact = rendered.pictures("film")
    assert same_pictures(films[1][::2], exact[::2])
    assert not same_pictures(films[1][1::2], exact[1::2])
    assert rendered.render(*balanced, "root=elsewhere", "sampling.speed=exact").code == 0
    assert rendered.counts("balanced", "elsewhere") == (5, 4)


def test_what_is_said_of_another_rate_is_what_a_person_did(rendered):
    """Frames that only have other numbers now did not change."""
    twice = rendered.render("+timeline=film", "output.fps=8", "output=frames")
    assert "film: 17 frames: 9 are there, 8 to render" in twice.err
    assert "changed" not in twice.err
    back = rendered.render("+timeline=film", "output=frames")
    assert "film: 9 frames: all are there" in back.err
    assert "changed" not in back.err
    odd = rendered.render("+timeline=film", "output.fps=5", "output=frames", "mode=plan")
    assert "there  3" in odd.out
    assert "new  8" in odd.out
    assert "changed" not in odd.out
    other = rendered.folder / "outputs" / "film" / "frames" / "frame_000003.png"
    other.unlink()
    shutil.copyfile(other.with_name("frame_000007.png"), other)
    mended = rendered.render("+timeline=film", "output=frames")
    assert "there: 1, changed: prompts; taken from the store (frames 3)" in mended.err


def test_an_edit_says_which_field_and_how_much_is_there(rendered):
    edited = [*THREE[:2], {"at": 2, "prompt": "another"}]
    rendered.timeline("film", edited)
    ended = rendered.render("+timeline=film", "output=frames")
    assert "film: 9 frames: 5 are there, 4 to render (4 changed)" in ended.err
    assert "4 changed: prompts (frames 5, 6, 7, 8)" in ended.err


def test_frames_of_an_earlier_version_of_the_recipe_say_so(place, monkeypatch):
    earlier = partial(Recipe, version=RECIPE_VERSION - 1)
    monkeypatch.setattr("render.plan.build.Recipe", earlier)
    assert place.render("+timeline=t", "output=frames").code == 0
    monkeypatch.undo()
    ended = place.render("+timeline=t", "output=frames", "mode=plan")
    versions = f"{RECIPE_VERSION - 1} to {RECIPE_VERSION}"
    assert f"5 changed: the recipe's version, {versions} (render's CHANGELOG)" in ended.out


def test_frames_of_earlier_weights_of_the_embedded_model_say_so(place, monkeypatch):
    """The command is the same, and so is the model's name; `tiny` stands for the earlier one."""
    given = ["+timeline=t", "output=frames", "output.fps=4", "scheduler.steps=2"]
    assert place.call(*given, f"model.path={place.model}", "sampling.blend=noise").code == 0
    plan = json.loads((place.folder / "outputs" / "t" / "plan.json").read_text())
    monkeypatch.setitem(storybook.EARLIER, plan["recipe"]["model"], "0.1")
    ended = place.call(*given, "mode=plan")
    anew = r"model \(storybook was trained anew after render 0\.1\)"
    assert re.search(rf"5 changed: {anew},.* blend \(frames 0, 1, 2, 3 …\)", ended.out)


def test_the_weights_of_today_are_no_earlier_ones():
    folder = storybook.WEIGHTS
    assert folder_identity(folder, read_index(folder), {}) not in storybook.EARLIER


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["sampling.blend=embedding"], "9 changed: blend (frames 0, 1, 2, 3 …)"),
        (["sampling.deep_cache=2"], "9 changed: deep_cache (frames"),
        (["scheduler.steps=7", "scheduler=ddim"], "9 changed: scheduler, steps (frames"),
        (["output.width=128"], "9 changed: the picture is 64×64, not 128×64 (frames"),
        (["output.width=128"], "(earlier frames of another size on this machine, by their pixels)"),
    ],
)
def test_what_all_frames_share_is_named_by_what_changed(rendered, changed, said):
    ended = rendered.render("+timeline=film", "output=frames", "mode=plan", *changed)
    assert (ended.code, ended.err.count("render:")) == (0, 0)
    assert said in ended.out
