"""`mode=measure` from outside, and the figures that every run reports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from command_line import CHECKOUT, Ended, Place
from PIL import Image

import render
from render.run import measuring

EXIT_CODE_OF_MISTAKES = 2


def frames_at(folder, weights):
    """Pictures that blend two textures by these weights."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(3)
    first, last = draw.integers(40, 216, (2, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    for number, weight in enumerate(weights):
        mixed = np.round((1 - weight) * first + weight * last)
        Image.fromarray(np.uint8(mixed)).save(folder / f"{number}.png")
    return folder


def measured(place, *more, name="t"):
    """The `measure` of the run.json of a render."""
    ended = place.render("+timeline=t", *more)
    assert ended.code == 0, ended.err
    return place.run_json(name)["measure"], ended


def forget(place):
    """Take the measurement out of run.json."""
    path = place.folder / "outputs" / "t" / "run.json"
    record = json.loads(path.read_text())
    del record["measure"]
    path.write_text(json.dumps(record, indent=2))


# --- an input --------------------------------------------------------------------------------


def test_a_folder_of_frames_needs_no_timeline(place):
    weights = np.linspace(0.1, 0.6, 25)
    weights[10] += 0.15
    weights[18:] += 0.15
    frames_at(place.folder / "shot", weights)
    ended = place.call("mode=measure", "input=shot", "output.fps=25", "report=plain")
    assert ended.code == 0, ended.err
    lines = [line.split(maxsplit=1) for line in ended.out.splitlines()]
    assert lines[0] == ["shot", "25 frames in 0.96 s"]
    assert [label for label, _ in lines] == [
        *("shot", "pace", "segment", "flash", "jump", "json", "png", "svg"),
    ]
    assert lines[3][1] == "0.40 s (frame 10)"
    assert lines[4][1].startswith("0.72 s (frame 18, ")
    assert "1 flash, 1 jump" in lines[1][1]
    data = json.loads((place.folder / "shot.measure.json").read_text())
    assert (data["flashes"], data["snaps"], data["keyframes"]) == ([10], [18], [0, 24])
    assert data["by"].startswith("render ")
    assert len(data["steps"]) == len(data["times"]) - 1 == 24
    with Image.open(place.folder / "shot.measure.png") as plot:
        assert plot.size == (1200, 420)
    assert (place.folder / "shot.measure.svg").read_text().startswith("<svg")
    assert sorted(path.name for path in place.folder.iterdir() if path.is_file()) == [
        *("shot.measure.json", "shot.measure.png", "shot.measure.svg"),
    ]


def test_a_folder_with_as_long_a_name_as_there_is_can_be_measured(place):
    name = "ö" * 127  # 254 bytes
    frames_at(place.folder / name, np.linspace(0.1, 0.6, 5))
    ended = place.call("mode=measure", f"input={name}", "report=plain")
    assert ended.code == 0, ended.err
    files = sorted(path.name for path in place.folder.iterdir() if path.is_file())
    assert [path.rpartition(".")[2] for path in files] == ["json", "png", "svg"]
    assert all(path.startswith("ö" * 100) for path in files)


def test_keyframes_are_named_in_seconds_or_frames(place):
    frames_at(place.folder / "shot", np.linspace(0, 1, 25))
    ended = place.call("mode=measure", "input=shot", 'measure.keyframes=[0.5,"18f"]', "report=json")
    event = json.loads(ended.out.splitlines()[-1])
    assert event["event"] == "measured"
    assert event["figures"]["keyframes"] == [0, 6, 18, 24]
    assert [segment["first"] for segment in event["figures"]["segments"]] == [0, 6, 18]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mode=measure"], "what else to measure: input="),
        (["mode=measure", "input=nowhere"], "input: nowhere is not there"),
        (["input=shot"], "no timeline; an input takes mode=measure"),
        (["mode=measure", "input=one"], "input: one has one frame"),
        (["mode=measure", "input=none"], "input: none has no pictures"),
        (
            ["mode=measure", "input=shot", "measure.keyframes=[9]"],
            "measure.keyframes.0: lies after",
        ),
        (["mode=measure", "input=shot", "measure.keyframes=[9f]"], "measure.keyframes.0: lies"),
        (["mode=measure", "input=shot", "measure.keyframes=soon"], "a list of times belongs here"),
        (["mode=measure", "input=shot", "measure.keyframes=[soon]"], "is not a time"),
        (["mode=measure", "input=shot", "output.fps=fast"], "output.fps"),
        (["mode=measure", "input=shot", "+timeline=t"], "input: is measured without a timeline"),
        (["+timeline=t", "measure.keyframes=[1]"], "the timeline has its own keyframes"),
        (["+timeline=t", "mode=measure"], "5 of 5 frames are not there; render them first"),
    ],
)
def test_mistakes_are_a_line_each_and_nothing_is_written(place, arguments, said):
    frames_at(place.folder / "shot", np.linspace(0, 1, 5))
    frames_at(place.folder / "one", [0.5])
    (place.folder / "none").mkdir()
    before = place.tree()
    timeline = any(argument.startswith("+timeline") for argument in arguments)
    ended = place.render(*arguments) if timeline else place.call(*arguments)
    assert ended.code == EXIT_CODE_OF_MISTAKES
    assert said in ended.err
    assert ended.err.count("render: ") == 1
    assert {path for path in place.tree().keys() - before.keys() if "outputs" not in path} == set()


def test_files_of_others_are_set_aside_and_older_measurements_replaced(place):
    frames_at(place.folder / "shot", np.linspace(0, 1, 5))
    for suffix in ("json", "png", "svg"):
        (place.folder / f"shot.measure.{suffix}").write_text("mine")
    ended = place.call("mode=measure", "input=shot")
    assert ended.err.count("is not ours; it is now shot.measure.") == 3
    kept = [path for path in place.folder.iterdir() if path.suffix == ".set-aside-1"]
    assert [path.read_text() for path in kept] == ["mine"] * 3
    again = place.call("mode=measure", "input=shot")
    assert again.code == 0
    assert "not ours" not in again.err
    assert len(list(place.folder.glob("*.set-aside-*"))) == 3


def test_equal_frames_give_equal_files(place):
    frames_at(place.folder / "shot", np.linspace(0, 1, 9) ** 2)
    contents = []
    for _ in range(2):
        place.call("mode=measure", "input=shot")
        contents.append([p.read_bytes() for p in sorted(place.folder.glob("shot.measure.*"))])
    assert contents[0] == contents[1]


def test_several_inputs_are_a_sweep(place):
    for name in ("a", "b"):
        frames_at(place.folder / name, np.linspace(0, 1, 5))
    ended = place.call("-m", "mode=measure", "input=a,b")
    assert ended.code == 0, ended.err
    assert (place.folder / "a.measure.json").exists()
    assert (place.folder / "b.measure.json").exists()


def test_no_measurement_imports_torch(place):
    frames_at(place.folder / "shot", np.linspace(0, 1, 5))
    code = (
        "import sys; from render.cli.main import main; sys.argv = ['render', 'mode=measure', "
        "'input=shot']; code = main(); import render; render.measure('shot'); "
        "print(code, sorted({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place.folder,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


# --- a film of render ------------------------------------------------------------------------


@dataclass
class RenderedPlace(Place):
    """A folder with a rendered film: `first` is its measurement, `ended` how the render ended."""

    first: dict
    ended: Ended


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, tiny_sd1):
    """The film, rendered once for all tests."""
    place = Place(tmp_path_factory.mktemp("rendered"), tiny_sd1)
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}])
    return place.folder, measured(place, "output=frames")


@pytest.fixture
def film(rendered, tmp_path, tiny_sd1, monkeypatch):
    """A rendered film, in the current folder."""
    folder = shutil.copytree(rendered[0], tmp_path / "film")
    monkeypatch.chdir(folder)
    return RenderedPlace(folder, tiny_sd1, *rendered[1])


def test_a_run_reports_its_figures(film):
    assert film.first["version"] == 1
    assert film.first["frames"] == 5
    assert film.first["keyframes"] == [0, 4]
    assert len(film.first["steps"]) == 4
    rows = dict(line.split(maxsplit=1) for line in film.ended.out.splitlines())
    assert rows["pace"].startswith(f"Gini {film.first['gini']:.2f}, largest step")
    log = (film.folder / "outputs" / "t" / "render.log").read_text()
    assert f" pace {rows['pace']}" in log
    assert film.run_json("t")["seconds"]["measure"] >= 0


def test_a_film_that_was_measured_is_not_read_again(film, monkeypatch):
    monkeypatch.setattr(measuring, "read_files", None)
    again, ended = measured(film, "output=frames")
    assert film.counts("t") == (5, 0)
    assert again == film.first
    assert ended.out.splitlines()[0] == film.ended.out.splitlines()[0]


def test_frames_that_were_kept_count_as_well(film):
    forget(film)
    again, ended = measured(film, "output=frames")
    assert film.counts("t") == (5, 0)
    assert again == film.first
    assert "pace" in ended.out


def test_other_frames_are_measured_again(film):
    film.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "three"}])
    again, _ = measured(film, "output=frames")
    assert film.counts("t") == (1, 4)
    assert again["steps"] != film.first["steps"]


def test_a_measurement_that_is_none_is_made_again(film):
    path = film.folder / "outputs" / "t" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "measure": {**film.first, "flashes": [99]}}, indent=2))
    assert measured(film, "output=frames")[0] == film.first


def test_a_films_folder_and_its_timeline_give_the_figures_of_its_run(film):
    by_run = film.first
    folder = film.folder / "outputs" / "t"
    for arguments in (["input=outputs/t"], ["input=outputs/t/frames"], ["input=outputs/t/"]):
        assert film.call("mode=measure", *arguments).code == 0
        data = json.loads((folder / "measure.json").read_text())
        (folder / "measure.json").unlink()
        assert {key: data[key] for key in by_run} == by_run
    ended = film.render("+timeline=t", "mode=measure", "output=frames")
    data = json.loads((folder / "measure.json").read_text())
    assert {key: data[key] for key in by_run} == by_run
    assert f"png  {'outputs/t/measure.png'}" in ended.out
    loaded = render.load("t", *film.arguments("output=frames")).measure()
    assert loaded.figures == render.measure("outputs/t").figures
    assert loaded.files == ()


def test_the_plan_marks_keyframes_and_loops(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}], loop=True,
                   duration=2)  # fmt: skip
    found, _ = measured(place, "output=frames")
    plan = json.loads((place.folder / "outputs" / "t" / "plan.json").read_text())
    assert plan["loop"] is True
    assert [frame["index"] for frame in plan["frames"] if "keyframe" in frame] == [0, 4]
    assert [(part["first"], part["last"]) for part in found["segments"]] == [(0, 4), (4, 8)]
    place.call("mode=measure", "input=outputs/t")
    data = json.loads((place.folder / "outputs" / "t" / "measure.json").read_text())
    assert {key: data[key] for key in found} == found


def test_keyframes_of_an_older_plan_are_where_blends_begin_and_end(place):
    keyframes = [{"at": at, "prompt": text} for at, text in ((0, "one"), (0.5, "two"), (1.5, "a"))]
    place.timeline("t", keyframes)
    found, _ = measured(place, "output=frames")
    plan = place.folder / "outputs" / "t" / "plan.json"
    plan.write_text(plan.read_text().replace('"keyframe": true, ', ""))
    assert "keyframe" not in plan.read_text()
    place.call("mode=measure", "input=outputs/t")
    data = json.loads((place.folder / "outputs" / "t" / "measure.json").read_text())
    assert data["keyframes"] == found["keyframes"] == [0, 2, 6]


def test_a_hold_is_a_rest_and_a_cut_that_the_timeline_asks_for(place):
    keyframes = [{"at": 0, "prompt": "one", "ease": "hold"}, {"at": 1, "prompt": "two", "seed": 9}]
    place.timeline("t", keyframes)
    found, ended = measured(place, "output=frames")
    assert (found["cuts"], found["held"]) == ([4], [1, 2, 3])
    assert (found["snaps"], found["doubled"]) == ([], [])
    assert "1.00 s (frame 4): two" in ended.out


def test_a_planted_flash_is_named_with_its_prompts(film, monkeypatch):
    """A stand-in for a model that flickers: a stored frame is read as another picture."""
    order = iter([0.1, 0.15, 0.45, 0.25, 0.3])
    real = measuring.read_files

    def read(paths, at_once, read_pixels):
        for reading in real(paths, at_once, read_pixels):
            yield type(reading)(np.full_like(reading.small, next(order)), 1.0, 1.0)

    monkeypatch.setattr(measuring, "read_files", read)
    forget(film)
    found, ended = measured(film, "output=frames")
    assert found["flashes"] == [2]
    assert "flash  0.50 s (frame 2): one 50%, two 50%" in ended.out


def test_a_film_of_one_frame_is_not_measured(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}])
    ended = place.render("+timeline=t", "output=frames")
    assert ended.code == 0
    assert "pace" not in ended.out
    assert "measure" not in place.run_json("t")
    asked = place.render("+timeline=t", "mode=measure")
    assert asked.code == EXIT_CODE_OF_MISTAKES
    assert "one frame has no steps" in asked.err


def test_a_long_film_is_left_to_a_mode_of_its_own(film, monkeypatch):
    monkeypatch.setattr(measuring, "LEAST_S", 0.0)
    monkeypatch.setattr(measuring, "PART", 0.0)
    monkeypatch.setattr(measuring, "TRIED", 1)
    forget(film)
    ended = film.render("+timeline=t", "output=frames")
    assert ended.code == 0
    assert "mode=measure does it" in ended.err
    assert "measure" not in film.run_json("t")


def test_a_plan_that_is_none_only_warns(film):
    plan = film.folder / "outputs" / "t" / "plan.json"
    for content in ("{", '{"frames": [{}]}'):
        plan.write_text(content)
        ended = film.call("mode=measure", "input=outputs/t")
        assert ended.code == 0, ended.err
        assert "the frames are measured without it" in ended.err


def test_a_folder_without_all_of_its_frames_is_refused(film):
    (film.folder / "outputs" / "t" / "frames" / "frame_000003.png").unlink()
    ended = film.call("mode=measure", "input=outputs/t")
    assert ended.code == EXIT_CODE_OF_MISTAKES
    assert "lacks 1 of its 5 frames; render them first (the first: 3)" in ended.err
