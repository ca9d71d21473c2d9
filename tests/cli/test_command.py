"""The command line from outside: what it refuses, what it shows, and its four modes."""

import gc
import json
import os
import re
import shutil

import numpy as np
import pytest
from pictures import same_pictures
from PIL import Image

import render.run.modes
import render.store.store
from render.cli.main import OUTCOMES
from render.run import resolve

PROMPT = "timeline.keyframes.0.prompt"
QUOTING = 'prompt="a town, by night (old)"'
WRONG = {
    "unknown key": (["+timeline=t", "output.fbs=3"], "output.fbs: unknown key; did you mean 'fps'"),
    "unknown group's key": (["+timeline=t", "sede=3"], "sede: unknown key"),
    "wrong type": (["+timeline=t", "output.quality=high"], "output.quality: 'high'"),
    "unknown timeline": (
        ["+timeline=nosuch"],
        "no timeline 'nosuch'; known: broken, city",
    ),
    "no timeline": ([], "no timeline; say which: render +timeline=NAME (broken, city"),
    "empty timeline": (["+timeline="], "known: broken, city"),
    "two timelines": (["+timeline=t", "timeline=city"], "timeline: is chosen twice"),
    "null timeline": (["+timeline=null"], "config: "),
    "a path for a timeline": (["+timeline=../t"], "no timeline '../t'; known"),
    "broken YAML": (["+timeline=broken"], "render: configs/timeline/broken.yaml:3: broken"),
    "unknown model": (["+timeline=t", "model=sd99"], "no model 'sd99'; known: chroma, "),
    "no such folder": (["+timeline=t", "model.path=nowhere"], "nowhere is no diffusers folder"),
    "comma in a prompt": (["+timeline=t", f"{PROMPT}=a, b"], QUOTING),
    "bracket in a prompt": (["+timeline=t", f"{PROMPT}=a (b"], QUOTING),
    "quote in a prompt": (["+timeline=t", f'{PROMPT}=a "b'], QUOTING),
    "several timelines": (["+timeline=t,city"], "which needs -m"),
    "no override": (["+timeline=t", "t"], "t: is no name=value"),
    "no timeline of that name": (["nosuch"], "timeline: no timeline 'nosuch'; known: broken, city"),
    "name above": (["+timeline=t", "name=../x"], "name: '../x' can't name a folder"),
    "name of a root": (["+timeline=t", "name=/abs"], "name: '/abs' can't name a folder"),
    "name like an option": (["+timeline=t", "name=-x"], "name: '-x' can't name a folder"),
    "name with NUL": (["+timeline=t", 'name="a\0b"'], "can't name a folder"),
    "name with a newline": (["+timeline=t", 'name="a\nb"'], "can't name a folder"),
    "long name": (["+timeline=t", f"name={'a' * 300}"], "100 characters at most"),
    "Hydra's folder": (["+timeline=t", "hydra.run.dir=../x"], "use root=FOLDER"),
    "Hydra's folder, added": (["+timeline=t", "++hydra.run.dir=../x"], "use root=FOLDER"),
    "Hydra's sweep": (["-m", "+timeline=t", "hydra.sweep.dir=../x"], "use root=FOLDER"),
    "change of folder": (["+timeline=t", "hydra.job.chdir=true"], "use root=FOLDER"),
    "Hydra's output": (["+timeline=t", "hydra.output_subdir=x"], "use root=FOLDER"),
    "unknown launcher": (["+timeline=t", "hydra/launcher=joblibb"], "joblibb"),
    "unknown config": (["+timeline=t", "--config-name", "nosuch"], "primary config 'nosuch'"),
    "unknown folder": (["+timeline=t", "--config-dir", "nosuch"], "nosuch' not found"),
    "unknown option": (["+timeline=t", "--forse"], "--forse: no such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_a_line_with_exit_code_2_and_writes_nothing(place, case):
    place.timeline("broken", "name: broken\nkeyframes: [{at: 0, prompt: a}\n")
    arguments, record = WRONG[case]
    before = place.tree()
    ended = place.render(*arguments)
    lines = ended.err.splitlines()
    assert ended.code == 2
    assert record in ended.err
    assert ended.out == ""
    assert all(line.startswith("render: ") for line in lines)
    assert len(lines) <= 2
    assert place.tree() == before
    assert {path.name for path in place.folder.parent.iterdir()} >= {place.folder.name}
    assert not (place.folder.parent / "x").exists()


def test_all_mistakes_are_reported_at_once(place):
    place.timeline("bad", "keyframes:\n  - {at: 0, prompt: no}\n  - {at: -1, prompt: a, sede: 1}\n")
    ended = place.render("+timeline=bad", "output.width=63", "scheduler=lms", "scheduler.step=3")
    for record in (
        "bad.yaml:2: unquoted yes/no",
        "bad.yaml:3: -1 is negative",
        "bad.yaml:3: unknown key; did you mean 'seed'",
        "output.width: 63 is no multiple of 8",
        "scheduler.step: LMSDiscreteScheduler has no such option",
    ):
        assert record in ended.err


def test_help_lists_every_choice(place):
    ended = place.call("--help")
    assert ended.code == 0
    assert "timeline   city, city_seeds, city_two, everything, seasons, t" in ended.out
    assert "75 another run holds the folder" in ended.out


def test_hydras_own_options_work(place):
    shown = place.render("--cfg", "job", "--resolve", "+timeline=t")
    assert shown.code == 0
    assert "name: t\n" in shown.out
    assert place.render("+timeline=t", "--info", "searchpath").code == 0
    assert place.call("--version").out == f"render {render.__version__}\n"


def test_completion_knows_the_timelines(place, monkeypatch):
    line = "render +timeline=ci"
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    ended = place.call("--shell-completion", "query=bash")
    assert ended.out.split() == ["+timeline=city", "+timeline=city_seeds", "+timeline=city_two"]


def test_a_config_folder_of_the_command_line_adds_names(place):
    extra = place.folder / "extra" / "timeline"
    extra.mkdir(parents=True)
    (extra / "mine.yaml").write_text("name: mine\nkeyframes: [{at: 0, prompt: a}]\n")
    ended = place.render("--config-dir", "extra", "+timeline=mine", "mode=plan")
    assert (ended.code, ended.err) == (0, "")
    assert "1 frame" in ended.out


def test_a_timeline_needs_no_plus_and_options_may_stand_anywhere(place):
    for arguments in (["timeline=t"], ["++timeline=t"], ["timeline=t", "-m"]):
        ended = place.call(*arguments, *place.arguments("mode=plan"))
        assert ended.code == 0
        assert "5 frames" in ended.out


def test_a_plan_renders_nothing_and_says_what_it_would_do(place):
    ended = place.render("+timeline=t", "mode=plan")
    assert ended.code == 0
    assert "new  5" in ended.out
    assert not (place.folder / "outputs" / ".store").exists()
    first = (place.folder / "outputs" / "t" / "plan.json").read_bytes()
    place.render("mode=plan", "+timeline=t", "compute.batch=1")
    assert (place.folder / "outputs" / "t" / "plan.json").read_bytes() == first
    place.render("+timeline=t")
    edited = place.render("+timeline=t", "mode=plan", "timeline.keyframes.1.prompt=three")
    assert "there  1" in edited.out
    assert "changed  4" in edited.out
    assert "4 changed: prompts (frames 1, 2, 3, 4)" in edited.out


@pytest.mark.parametrize(
    ("given", "blend"),
    [
        ((), "noise"),
        (("model.blend=embedding",), "embedding"),
        (("model.blend=embedding", "sampling.blend=noise"), "noise"),
        (("sampling.blend=embedding",), "embedding"),
    ],
)
def test_a_plan_says_which_blend_is_used(place, given, blend):
    ended = place.render("+timeline=t", "mode=plan", *given)
    assert ended.code == 0, ended.err
    assert f" rows to compute, {blend} blend\n" in ended.out
    plan = json.loads((place.folder / "outputs" / "t" / "plan.json").read_text())
    assert plan["recipe"]["blend"] == blend


def test_a_blend_that_a_model_names_wrongly_is_refused(place):
    ended = place.render("+timeline=t", "mode=plan", "model.blend=noize")
    assert ended.code == 2
    assert ended.err.startswith("render: model.blend: 'noize' is not known; did you mean 'noise'")


def test_a_run_leaves_what_the_contract_names(place):
    ended = place.render("+timeline=t")
    folder = place.folder / "outputs" / "t"
    names = {path.name for path in folder.iterdir()}
    assert ended.code == 0
    assert names >= {
        *("frames", "t.mp4", "plan.json", "run.json", "config.yaml", "render.log", "sheet.png")
    }
    shown = sorted(path.name for path in (folder / "frames").iterdir())
    assert shown == [f"frame_{index:06d}.png" for index in range(5)]
    record = place.run_json("t")
    assert record["frames"] == {"planned": 5, "kept": 0, "rendered": 5, "failed": 0}
    assert record["rows"] > 0
    assert record["device"] == "cpu"
    assert set(record["seconds"]) >= {
        *("check", "load", "render", "write", "encode", "sheet", "total")
    }
    assert set(record["versions"]) >= {"render", "torch", "diffusers", "python"}
    assert {path.name for path in place.folder.iterdir()} == {"configs", "outputs"}


def test_progress_counts_texts_before_the_first_frame_and_of_frames_that_are_stored(
    place, monkeypatch
):
    monkeypatch.setattr("render.report.progress.LONGEST_S", 0.0)
    record = place.render("+timeline=t", "compute.batch=2").err
    assert "render 0/5: 1 of 3 texts encoded" in record
    assert record.index("2 of 3 texts encoded") < record.index("render 5/5")
    assert record.count("render 5/5") == 1


def test_a_keyframes_frame_is_the_plain_picture_of_its_prompt(place):
    walk = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 0.5, "prompt": "two", "seed": 2}]
    place.timeline("walk", [*walk, {"at": 1, "prompt": {"one": 0.5, "two": 0.5}}])
    place.timeline("alone", [{"at": 0, "prompt": "two", "seed": 2}])
    place.render("+timeline=walk")
    place.render("+timeline=alone", "root=other", "output=frames")
    assert np.array_equal(place.pictures("walk")[2], place.pictures("alone", "other")[0])
    assert not np.array_equal(place.pictures("walk")[0], place.pictures("walk")[2])


@pytest.mark.parametrize("where", ["file", "command line"])
def test_an_interpolation_in_a_text_is_literal(place, monkeypatch, where):
    monkeypatch.setenv("CANARY", "yellow-feathers")
    text = "${oc.env:CANARY}"
    place.timeline("spy", [{"at": 0, "prompt": text if where == "file" else "a"}])
    typed = [] if where == "file" else [f"{PROMPT}={text}", f"sampling.negative={text}"]
    ended = place.render("+timeline=spy", *typed)
    assert ended.code == 0
    files = [path for path in (place.folder / "outputs").rglob("*") if path.is_file()]
    assert not [path for path in files if b"yellow-feathers" in path.read_bytes()]
    assert "yellow-feathers" not in ended.out + ended.err
    frame = place.folder / "outputs" / "spy" / "frames" / "frame_000000.png"
    with Image.open(frame) as picture:
        assert text in picture.info["render:spec"]
    assert text in (place.folder / "outputs" / "spy" / "plan.json").read_text()


def test_stitch_makes_another_video_from_the_frames_that_are_there(place):
    place.render("+timeline=t")
    mp4 = (place.folder / "outputs" / "t" / "t.mp4").stat().st_mtime_ns
    ended = place.render("+timeline=t", "mode=stitch", "output=gif")
    assert ended.code == 0
    with Image.open(place.folder / "outputs" / "t" / "t.gif") as film:
        assert film.n_frames == 5
    assert (place.folder / "outputs" / "t" / "t.mp4").stat().st_mtime_ns == mp4
    assert place.counts("t") == (5, 0)
    assert "as it was" in place.render("+timeline=t").out


def test_stitch_never_renders_and_leaves_an_older_video_alone(place):
    place.render("+timeline=t")
    video = place.folder / "outputs" / "t" / "t.mp4"
    before = video.read_bytes()
    frame = place.folder / "outputs" / "t" / "frames" / "frame_000003.png"
    os.truncate(frame, frame.stat().st_size // 2)  # in the store too: it is one file
    ended = place.render("+timeline=t", "mode=stitch", "output.quality=20")
    assert ended.code == 4
    assert "1 of 5 frames are not there (3: " in ended.err
    assert video.read_bytes() == before
    assert place.render("+timeline=t").code == 0
    assert place.counts("t") == (4, 1)


def test_prune_removes_only_what_no_run_uses(place):
    place.render("+timeline=t")
    place.render("+timeline=t", "name=other", f"{PROMPT}=three", "output=frames")
    stored = set((place.folder / "outputs" / ".store").glob("??/*.png"))
    assert len(stored) == 9  # the last frame is one for both
    assert "unused  0 frames" in place.render("+timeline=t", "mode=prune").out
    shutil.rmtree(place.folder / "outputs" / "other")
    ended = place.render("+timeline=t", "mode=prune")
    assert ended.code == 0
    assert "unused  4 frames" in ended.out
    assert "nothing was removed; prune=yes removes them" in ended.err
    assert set((place.folder / "outputs" / ".store").glob("??/*.png")) == stored
    ended = place.render("+timeline=t", "mode=prune", "prune=yes")
    assert ended.code == 0
    assert "removed  4 frames" in ended.out
    assert len(re.findall(r"  [0-9a-f]{2}/[0-9a-f]{64}\.png: (three|two)", ended.out)) == 4
    left = {path.stem for path in (place.folder / "outputs" / ".store").glob("??/*.png")}
    assert len(left) == 5
    place.render("+timeline=t")
    assert place.counts("t") == (5, 0)


def test_what_is_not_ours_is_left_alone(place):
    place.render("+timeline=t", "root=clean")
    folder = place.folder / "outputs" / "t"
    (folder / "frames").mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(folder / "frames" / "frame_000002.png")
    (folder / "frames" / "frame_000009.png").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    foreign = (folder / "frames" / "frame_000002.png").read_bytes()
    ended = place.render("+timeline=t")
    assert ended.code == 0
    assert "foreign" in ended.err
    assert (folder / "frames" / "frame_000002.png").read_bytes() == foreign
    assert (folder / "frames" / "frame_000009.png").read_text() == "mine"
    assert (folder / "notes.txt").read_text() == "mine"
    videos = [
        place.run_json("t", root)["videos"]["t.mp4"]["digest"] for root in ("outputs", "clean")
    ]
    assert videos[0] == videos[1]
    place.render("+timeline=t")
    assert place.counts("t") == (5, 0)


def test_an_unforeseen_error_is_one_line_and_its_traceback_is_in_the_log(place, monkeypatch):
    def stumble(*_):
        raise LookupError("an odd thing")

    for target, mode in (
        ("render.run.modes.summarise", "render"),
        ("render.run.modes.planned", "plan"),
    ):
        monkeypatch.setattr(target, stumble)
        ended = place.render("+timeline=t", f"mode={mode}", f"name={mode}")
        log = place.folder / "outputs" / mode / "render.log"
        assert ended.code == 1
        assert ended.err.splitlines()[-1] == (
            "render: this is a bug in render (LookupError: an odd thing); the details are in "
            f"{log.relative_to(place.folder)}"
        )
        assert "Traceback" not in ended.err + ended.out
        assert 'raise LookupError("an odd thing")' in log.read_text()


def test_an_unforeseen_error_before_there_is_a_run_is_one_line(place, monkeypatch):
    monkeypatch.setattr("render.api.open_film", lambda *_: {}["gone"])
    ended = place.render("+timeline=t")
    assert ended.code == 1
    assert ended.err.startswith("render: this is a bug in render (KeyError: 'gone'")
    assert len(ended.err.splitlines()) == 1
    assert OUTCOMES[0][1].exit_code == 1


def test_a_root_that_is_no_folder_is_one_line(place):
    (place.folder / "taken").write_text("mine")
    ended = place.render("+timeline=t", "root=taken")
    assert ended.code != 0
    assert "taken" in ended.err.splitlines()[-1]
    assert "bug" not in ended.err
    assert (place.folder / "taken").read_text() == "mine"


def test_a_full_disk_is_exit_code_28_and_what_was_finished_stays(place, monkeypatch):
    write, written = render.store.store.write_whole, []

    def fill_up(target, content):
        if target.parent.parent.name == ".store":
            if len(written) == 2:
                raise OSError(28, "No space left on device", str(target))
            written.append(target)
        write(target, content)

    monkeypatch.setattr(render.store.store, "write_whole", fill_up)
    ended = place.render("+timeline=t", "compute.batch=1")
    assert ended.code == 28
    assert "no room" in ended.err
    assert place.counts("t") == (0, 2)
    monkeypatch.undo()
    assert place.render("+timeline=t").code == 0
    assert place.counts("t") == (2, 3)
    place.render("+timeline=t", "root=whole")
    assert same_pictures(place.pictures("t"), place.pictures("t", "whole"))


def test_a_command_leaves_the_search_for_circles_as_it_was(place, monkeypatch):
    """It is off while a film is planned, which takes a third of the time away."""
    searched, plan = [], resolve.make_plan

    def watched(*given, **named):
        searched.append(gc.isenabled())
        return plan(*given, **named)

    monkeypatch.setattr(resolve, "make_plan", watched)
    assert place.render("+timeline=t", "mode=plan").code == 0
    assert place.render("+timeline=t", "mode=plan", "output.fbs=3").code == 2
    assert searched == [False]
    assert gc.isenabled()
