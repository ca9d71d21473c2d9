"""`render from`: a film and a frame are rendered again by what their own files carry."""

import json
import shutil
import wave

import numpy as np
import pytest
import yaml
from command_line import Place
from PIL import Image, PngImagePlugin
from safetensors.numpy import load_file, save_file

from render.plan.frame_plan import RECIPE_VERSION
from render.video.tags import write_comment

CALL = ("sampling.guidance=3", "compute.dtype=float32")
WALK = [
    {"at": 0, "prompt": {"one": 0.7, "two: #1 'x'": 0.3}, "seed": 1},
    {"at": 1, "prompt": "two ${oc.env:HOME}", "seed": 2, "guidance": 4, "negative": "blurry"},
]


@pytest.fixture(scope="module")
def film(tmp_path_factory, tiny_sd1):
    """A film of five frames in outputs/t, and its place, which tests leave as it is."""
    place = Place(tmp_path_factory.mktemp("film"), tiny_sd1)
    place.timeline("t", WALK)
    assert place.render("+timeline=t", *CALL).code == 0
    return place


@pytest.fixture
def again(film, tmp_path):
    """`render from` in an empty folder, where only the model is as it was; how it ended."""

    def from_(file, *more):
        return Place(tmp_path, film.model).call(
            "from", str(file), f"model.path={film.model}", *more
        )

    return from_


def frames_of(folder):
    return sorted((folder / "frames").glob("*.png"))


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", ["mp4", "gif"])
def test_a_film_alone_gives_the_same_frames(film, again, tmp_path, name):
    assert film.render("+timeline=t", "mode=stitch", f"output={name}", *CALL).code == 0
    folder = film.folder / "outputs" / "t"
    video = shutil.copy(folder / f"t.{name}", tmp_path / f"kept.{name}")
    ended = again(video)
    assert ended.code == 0, ended.err
    assert "the same film, frame by frame" in ended.err
    made = tmp_path / "outputs" / "t"
    pairs = zip(frames_of(folder), frames_of(made), strict=True)
    assert all(one.read_bytes() == other.read_bytes() for one, other in pairs)
    assert (made / f"t.{name}").is_file()
    written = yaml.safe_load((tmp_path / "t.yaml").read_text())
    assert written == {"name": "t", "keyframes": WALK}


def test_a_frame_alone_gives_the_same_frame(film, again, tmp_path):
    frame = frames_of(film.folder / "outputs" / "t")[2]
    ended = again(frame)
    assert ended.code == 0, ended.err
    assert "the same frame" in ended.err
    made = next((tmp_path / "outputs").glob("frame-*"))
    assert [path.read_bytes() for path in frames_of(made)] == [frame.read_bytes()]


def test_a_frame_of_a_smooth_path_is_rendered_again(film, again, tmp_path):
    smooth = ("+timeline=t", "sampling.path=smooth", "sampling.path_parts=4", "name=smooth")
    assert film.render(*smooth).code == 0
    frame = frames_of(film.folder / "outputs" / "smooth")[1]
    ended = again(frame)
    assert ended.code == 0, ended.err
    made = next((tmp_path / "outputs").glob("frame-*"))
    same = [path for path in frames_of(made) if np.array_equal(pixels(path), pixels(frame))]
    assert len(same) == 1


@pytest.mark.parametrize("given", ["folder", "config"])
def test_a_runs_folder_is_rendered_again(film, again, tmp_path, given):
    folder = film.folder / "outputs" / "t"
    ended = again(folder if given == "folder" else folder / "config.yaml")
    assert ended.code == 0, ended.err
    pairs = zip(frames_of(folder), frames_of(tmp_path / "outputs" / "t"), strict=True)
    assert all(one.read_bytes() == other.read_bytes() for one, other in pairs)


def test_overrides_win(film, again, tmp_path):
    video = film.folder / "outputs" / "t" / "t.mp4"
    ended = again(video, "output.fps=2", "output=gif", "name=mine", "mode=plan")
    assert ended.code == 0, ended.err
    assert "not the same film as t.mp4" in ended.err
    plan = json.loads((tmp_path / "outputs" / "mine" / "plan.json").read_text())
    assert plan["count"] == 3


def test_a_run_of_that_name_stays(film, again, tmp_path):
    """The film of somebody else that is called like one that is there."""
    mine = Place(tmp_path, film.model)
    mine.timeline("t", [{"at": 0, "prompt": "mine"}])
    assert mine.render("+timeline=t", "output=frames").code == 0
    before = (tmp_path / "outputs" / "t" / "plan.json").read_bytes()
    for _ in range(2):
        ended = again(film.folder / "outputs" / "t" / "t.mp4", "output=frames")
        assert ended.code == 0, ended.err
        assert "the timeline is t-2.yaml" in ended.err
    assert (tmp_path / "outputs" / "t" / "plan.json").read_bytes() == before
    assert {path.name for path in (tmp_path / "outputs").glob("[!.]*")} == {"t", "t-2"}
    assert yaml.safe_load((tmp_path / "t-2.yaml").read_text())["name"] == "t-2"


@pytest.mark.parametrize("kept", ["a run without its config", "a long config"])
def test_what_is_not_known_to_be_the_same_film_stays(film, again, tmp_path, kept):
    run = tmp_path / "outputs" / "t"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    if kept == "a long config":
        (run / "config.yaml").write_text("timeline: {name: t}\n#" + "x" * 2_000_000)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    ended = again(film.folder / "outputs" / "t" / "t.mp4", "mode=plan")
    assert ended.code == 0, ended.err
    assert "the timeline is t-2.yaml" in ended.err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("plus", ["", "++"])
def test_the_root_that_is_asked_for_counts(film, again, tmp_path, plus):
    (tmp_path / "there" / "t" / "frames").mkdir(parents=True)
    ended = again(film.folder / "outputs" / "t" / "t.mp4", "mode=plan", f"{plus}root=there")
    assert ended.code == 0, ended.err
    assert "the timeline is t-2.yaml" in ended.err


def test_two_films_of_one_timeline_stay_beside_each_other(film, again, tmp_path):
    """They have other settings, and both their films are kept."""
    assert film.render("+timeline=t", "name=other", "sampling.guidance=9", "output=gif").code == 0
    first, second = (film.folder / "outputs" / name for name in ("t/t.mp4", "other/other.gif"))
    assert again(first).code == 0
    before = (tmp_path / "outputs" / "t" / "t.mp4").read_bytes()
    frames = [path.read_bytes() for path in frames_of(tmp_path / "outputs" / "t")]
    for _ in range(2):
        ended = again(second, "output=mp4")
        assert ended.code == 0, ended.err
        assert "the timeline is t-2.yaml" in ended.err
    assert (tmp_path / "outputs" / "t" / "t.mp4").read_bytes() == before
    assert [path.read_bytes() for path in frames_of(tmp_path / "outputs" / "t")] == frames
    assert (tmp_path / "outputs" / "t-2" / "t-2.mp4").is_file()


def test_a_name_of_another_film_is_refused(film, again, tmp_path):
    mine = Place(tmp_path, film.model)
    path = mine.timeline("mine", [{"at": 0, "prompt": "mine"}])
    assert mine.render("+timeline=mine", "output=frames", "name=keep").code == 0
    path.unlink()
    ended = again(film.folder / "outputs" / "t" / "t.mp4", "name=keep")
    assert ended.code == 2
    assert "name: outputs/keep is the run of another film" in ended.err
    assert mine.run_json("keep")["frames"]["planned"] == 1
    assert not (tmp_path / "t.yaml").exists()


def test_a_folder_whose_model_is_another_one_here_is_refused(film, tmp_path):
    """Its config has a path that leads to another model where one calls render."""
    model = shutil.copytree(film.model, tmp_path / "one" / "mod")
    place = Place(tmp_path / "one", model)
    place.timeline("t", [{"at": 0, "prompt": "one"}])
    given = ("model=local", "model.path=mod", "model.steps=1", "output=frames")
    assert place.call("+timeline=t", *given).code == 0
    other = shutil.copytree(film.model, tmp_path / "two" / "mod")
    weights = next((other / "unet").glob("*.safetensors"))
    changed = {name: value + 0.01 for name, value in load_file(weights).items()}
    save_file(changed, weights, {"format": "pt"})
    ended = Place(tmp_path / "two", other).call("from", str(place.folder / "outputs" / "t"))
    assert ended.code == 2
    assert "was made with" in ended.err
    assert not list((tmp_path / "two").glob("*.yaml"))


def test_another_sound_is_said(film, again, tmp_path):
    for folder, level in ((film.folder, b"\0\1"), (tmp_path, b"\0\2")):
        with wave.open(str(folder / "song.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(level * 8000)
    given = ("+timeline=t", "name=song", f"output.audio={film.folder}/song.wav", *CALL)
    assert film.render(*given).code == 0
    ended = again(film.folder / "outputs" / "song" / "song.mp4")
    assert ended.code == 0, ended.err
    assert "the same film, frame by frame" in ended.err
    assert "song.wav is another sound than that of song.mp4" in ended.err


def test_a_timeline_of_that_name_stays(film, again, tmp_path):
    video = film.folder / "outputs" / "t" / "t.mp4"
    (tmp_path / "t.yaml").write_text("mine")
    for _ in range(2):
        ended = again(video, "mode=plan")
        assert "the timeline is t-2.yaml" in ended.err
    assert (tmp_path / "t.yaml").read_text() == "mine"
    assert not (tmp_path / "t-3.yaml").exists()


def test_another_model_is_refused_unless_it_is_asked_for(film, tmp_path):
    video = film.folder / "outputs" / "t" / "t.mp4"
    other = shutil.copytree(film.model, tmp_path / "other")
    weights = next((other / "unet").glob("*.safetensors"))
    changed = {name: value + 0.01 for name, value in load_file(weights).items()}
    save_file(changed, weights, {"format": "pt"})
    elsewhere = Place(tmp_path / "place", film.model)
    elsewhere.folder.mkdir()
    shutil.copytree(other, elsewhere.folder / film.model.name)
    ended = elsewhere.call("from", str(video))
    assert ended.code == 2
    assert "model: t.mp4 was made with" in ended.err
    assert "model=local to render it with this one" in ended.err
    assert list(elsewhere.folder.glob("*.yaml")) == []
    ended = elsewhere.call("from", str(video), f"model.path={other}", "mode=plan")
    assert ended.code == 0, ended.err
    assert "another model than that of t.mp4: its pictures will differ" in ended.err


def test_what_is_missing_is_said(film, again, tmp_path):
    video = film.folder / "outputs" / "t" / "t.mp4"
    elsewhere = Place(tmp_path, film.model)
    ended = elsewhere.call("from", str(video))
    assert ended.code == 2
    assert "model.path" in ended.err
    assert "Traceback" not in ended.err
    assert list(elsewhere.folder.iterdir()) == []


def carrying(folder, comment):
    """A picture whose comment this is."""
    path = folder / "film.gif"
    Image.new("RGB", (8, 8)).save(path)
    write_comment(path, comment)
    return path


TIMELINE = {"name": "x", "keyframes": [{"at": 0, "prompt": "a"}]}


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        (json.dumps({"config": {"timeline": TIMELINE, "output": {"audio": "/a/b.wav"}}}), "b.wav"),
        (json.dumps({"config": {"timeline": TIMELINE, "model": {"path": "../x"}}}), "../x"),
        (json.dumps({"config": {"timeline": {"name": "x", "keyframes": {"a": "\ud800"}}}}), "no"),
        ("hello", "carries a recipe that is no JSON"),
        ("[" * 100_000, "carries a recipe that"),
        ('{"config": {"a": 1}}', "carries a comment that is no recipe of render"),
        ("[1]", "carries a comment that is no recipe of render"),
        (json.dumps({"config": {"timeline": TIMELINE, "hydra": {"x": 1}}}), "has the key 'hydra'"),
        (json.dumps({"config": {"timeline": {"_target_": "os.system"}}}), "has no meaning here"),
        (json.dumps({"config": {"timeline": {**TIMELINE, "defaults": []}}}), "has no meaning"),
        (json.dumps({"config": {"timeline": TIMELINE, "model": {"_target_": "x"}}}), "_target_"),
        (json.dumps({"config": {"timeline": TIMELINE, "output": "x"}}), "output"),
        (json.dumps({"config": {"timeline": TIMELINE, "name": "../../x"}}), "gif: carries a name"),
        (json.dumps({"config": {"timeline": TIMELINE, "root": "/tmp/x"}}), "'root'"),
        (json.dumps({"config": {"timeline": {"keyframes": "x"}}}), "keyframes"),
        ('{"config": {"timeline": {"keyframes": [{"at": 1e400}]}}}', "which is no number"),
    ],
)
def test_a_hostile_recipe_is_refused(place, comment, said):
    ended = place.call("from", str(carrying(place.folder, comment)))
    assert ended.code == 2, ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert "bug in render" not in ended.err
    assert sorted(path.name for path in place.folder.iterdir()) == ["configs", "film.gif"]


SPEC = {"prompts": [["a", 1.0]], "negatives": [["", 1.0]], "seeds": [[1, 1.0]], "guidance": 3.0}
RECIPE = {
    **{"model": "x", "scheduler": "model", "scheduler_options": {}, "steps": 2, "width": 64},
    **{"height": 64, "dtype": "float32", "blend": "noise", "version": RECIPE_VERSION},
}


@pytest.mark.parametrize(
    ("spec", "recipe", "said"),
    [
        ({}, {}, "version"),
        ([], RECIPE, "no recipe of render"),
        ({**SPEC, "prompts": [[{"a": 1}, "x"]]}, RECIPE, "not whole"),
        ({**SPEC, "prompts": [["a", "x"]]}, RECIPE, "not whole"),
        ({**SPEC, "seeds": [["a", 1]]}, RECIPE, "not whole"),
        ({**SPEC, "zzz": 1}, RECIPE, "'zzz'"),
        (SPEC, {**RECIPE, "loras": [["/etc/passwd", 1]]}, "'loras'"),
        (SPEC, {**RECIPE, "version": 99}, "another version's recipe (99"),
        (SPEC, {**RECIPE, "height": "x"}, "not whole"),
        (SPEC, {**RECIPE, "height": -8}, "height"),
        (SPEC, {**RECIPE, "blend": "x"}, "not whole"),
        ({**SPEC, "early": [{"weight": 1}]}, RECIPE, "early steps other frames have in common"),
        ({**SPEC, "images": [["d", 1]]}, RECIPE, "began from a picture"),
        ({**SPEC, "negatives": [["a", 0.4], ["b", 0.3], ["c", 0.3]]}, RECIPE, "three negative"),
        (SPEC, RECIPE, "was made with x"),
    ],
)
def test_a_frame_whose_recipe_is_damaged_or_foreign_is_refused(place, spec, recipe, said):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("render:digest", "0" * 64)
    texts.add_itxt("render:spec", json.dumps(spec))
    texts.add_itxt("render:recipe", json.dumps(recipe))
    path = place.folder / "frame.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=texts)
    ended = place.call("from", str(path))
    assert ended.code == 2, ended.err
    assert said in ended.err
    assert "bug in render" not in ended.err
    names = {each.name for each in place.folder.iterdir()} - {"outputs"}  # memory of hashes
    assert names == {"configs", "frame.png"}


@pytest.mark.parametrize("file", ["nothing.mp4", ".", "configs/timeline/t.yaml"])
def test_what_has_no_recipe_is_refused(place, file):
    ended = place.call("from", file)
    assert ended.code == 2
    assert ended.err.startswith("render: ")
    assert "Traceback" not in ended.err


def test_it_needs_a_file(place):
    for arguments in ((), ("output.fps=3",), ("-m",)):
        ended = place.call("from", *arguments)
        assert ended.code == 2
        assert "render from: needs a film, a frame" in ended.err


def test_galleries_read_how_a_frame_was_made(film, again, tmp_path):
    first, last = frames_of(film.folder / "outputs" / "t")[::4]
    with Image.open(last) as image:
        text = image.info["parameters"]
    lines = text.split("\n")
    assert lines[0] == "two ${oc.env:HOME}"
    assert lines[1] == "Negative prompt: blurry"
    assert "Steps: 2, Sampler: " in lines[2]
    assert "CFG scale: 4, Seed: 2, Size: " in lines[2]
    with Image.open(first) as image:
        assert image.info["parameters"].startswith("one :0.7 AND two: #1 'x' :0.3\n")


def test_a_frame_of_an_older_version_says_where_its_recipe_is(film, again, tmp_path):
    frame = frames_of(film.folder / "outputs" / "t")[0]
    with Image.open(frame) as image:
        texts = PngImagePlugin.PngInfo()
        for key in ("render:digest", "render:spec"):
            texts.add_itxt(key, image.info[key])
        image.save(film.folder / "old.png", pnginfo=texts)
    ended = film.call("from", "old.png")
    assert ended.code == 2
    assert "an older render made" in ended.err
