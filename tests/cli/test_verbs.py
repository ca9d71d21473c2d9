"""`render list`, `render show` and `render diff`."""

import json
import os
import re
import shutil
import webbrowser

import pytest
from command_line import Place
from PIL import Image

from render.files.atomic import HOST
from render.run.modes import MODES


@pytest.fixture(scope="module")
def films(tmp_path_factory, tiny_sd1):
    """Two runs of three frames, `a` and `b`, that differ in their last two; tests leave them."""
    place = Place(tmp_path_factory.mktemp("films"), tiny_sd1)
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 0.5, "prompt": "two"}])
    assert place.render("+timeline=t", "name=a").code == 0
    two = "timeline.keyframes.1.prompt=three"
    assert place.render("+timeline=t", "name=b", two, "output=frames", "frames=0-1").code == 0
    for name in ("plan.json", "run.json", ".lock"):
        os.utime(place.folder / "outputs" / "a" / name, (1, 1))
    return place


def test_runs_are_listed_with_what_there_is_of_them(films):
    ended = films.call("list")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert re.fullmatch(r"b  [\d.]+ kB  [\d.]+ s ago +2 of 3 frames", lines[0])
    assert re.fullmatch(r"a  [\d.]+ kB  [\d,]+ days ago +complete", lines[1])
    assert lines[2:] == ["2 runs"]


def test_a_run_at_work_is_listed_as_such(films, tmp_path):
    lock = films.folder / "outputs" / "b" / ".lock"
    before = lock.read_bytes()
    lock.write_text(json.dumps({"pid": os.getpid(), "host": HOST}))
    os.utime(lock, (4e9, 4e9))
    try:
        assert "at work, 2 of 3 frames" in films.call("list").out
        lock.write_text(json.dumps({"pid": 2**22 + 5, "host": HOST}))
        os.utime(lock, (4e9, 4e9))
        assert "at work" not in films.call("list").out
    finally:
        lock.write_bytes(before)


def test_sweeps_are_listed_by_their_overrides(films, tmp_path):
    place = Place(tmp_path, films.model)
    place.timeline("t", [{"at": 0, "prompt": "one"}])
    assert place.render("-m", "+timeline=t", "sampling.guidance=2,3", "output=frames").code == 0
    lines = place.call("list").out.splitlines()
    names = {line.split()[0] for line in lines[:2]}
    folders = {f"t/{path.name}" for path in (tmp_path / "outputs" / "t").glob("*=*")}
    assert names == folders
    assert lines[2:] == ["2 runs"]


def test_a_folder_without_runs_says_so(tmp_path, films):
    ended = films.call("list", f"root={tmp_path}")
    assert (ended.code, ended.out) == (0, f"no runs in {tmp_path}; render city makes one\n")


@pytest.mark.parametrize("content", ["[]", "{", '{\n "name": "x",\n "count": "x",\n', "\0" * 99])
def test_what_is_no_plan_is_no_run(films, tmp_path, content):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "plan.json").write_text(content)
    assert films.call("list", f"root={tmp_path}").out.startswith("no runs in")


@pytest.mark.parametrize(
    ("names", "some"),
    [
        ("timelines", {"city", "t"}),
        ("models", {"storybook", "sd15", "local"}),
        ("schedulers", {"model", "dpmpp_2m"}),
        ("formats", {"mp4", "gif", "frames"}),
        ("easings", {"linear", "smooth", "hold", "ease-in-out", "easeOutBounce"}),
    ],
)
def test_names_of_choices_are_listed(films, names, some):
    ended = films.call("list", names)
    assert ended.code == 0
    assert some <= {*ended.out.split()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "model"), "render list: no list 'model'; did you mean 'models'?"),
        (("list", "models", "x"), "render list: no list 'x'"),
        (("show", "c"), "run: no run 'c' in outputs"),
        (("show", "a", "b"), "render show: takes one run"),
        (("show", "root=nowhere"), "run: no runs in nowhere"),
        (("diff", "a"), "render diff: takes two runs"),
        (("diff", "a", "c"), "run: no run 'c' in outputs"),
        (("import", "a"), "a: can't be read"),
        (("export", "a"), "render export: needs a film and a kind"),
        (("promote", "a"), "a: is no run's folder"),
        (("promote", "outputs/a"), "outputs/a: is no draft"),
        (("promote", "outputs/a", "sampling.speed=draft"), "promote renders the exact film"),
    ],
)
def test_mistakes_are_said(films, arguments, said):
    ended = films.call(*arguments)
    assert ended.code == 2
    assert said in ended.err


@pytest.fixture
def browser(monkeypatch):
    """The addresses that a browser was started with."""
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    return opened


@pytest.mark.parametrize("name", [("a",), ("outputs/a",), ("outputs/a/a.mp4",)])
def test_the_page_of_a_run_is_shown(films, browser, name):
    ended = films.call("show", *name)
    page = films.folder / "outputs" / "a" / "index.html"
    assert ended.code == 0, ended.err
    assert browser == [page.as_uri()]
    assert ended.out.splitlines() == ["outputs/a/index.html"]
    assert page.is_file()


def test_without_a_name_the_newest_run_is_shown(films, browser):
    assert films.call("show").code == 0
    assert browser == [(films.folder / "outputs" / "b" / "index.html").as_uri()]


def test_a_plan_alone_is_not_the_newest_run_with_a_page(films, browser, tmp_path):
    place = Place(tmp_path, films.model)
    place.timeline("t", [{"at": 0, "prompt": "one"}])
    assert place.render("+timeline=t", "output=frames").code == 0
    assert place.render("+timeline=t", "mode=plan", "name=later").code == 0
    assert place.call("show").code == 0
    assert browser == [(tmp_path / "outputs" / "t" / "index.html").as_uri()]


def test_the_gallery_of_a_sweep_is_shown(films, browser, tmp_path):
    place = Place(tmp_path, films.model)
    place.timeline("t", [{"at": 0, "prompt": "one"}])
    ended = place.render("-m", "+timeline=t", "sampling.guidance=2,3", "output=frames")
    assert "gallery  outputs/t/sweep.html\n   next  render show t:" in ended.out
    assert place.call("show", "t").code == 0
    assert browser == [(tmp_path / "outputs" / "t" / "sweep.html").as_uri()]
    ended = place.call("show", "u")
    assert "no run 'u' in outputs; render list shows" in ended.err


def test_where_there_is_no_browser_the_page_is_named(films, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    ended = films.call("show", "a")
    assert ended.code == 0
    assert ended.out == "outputs/a/index.html: open it in a browser; none could be started here\n"


def test_two_runs_are_compared(films):
    ended = films.call("diff", "a", "b")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert "output.format: mp4 → frames" in lines
    assert "timeline.keyframes.1.prompt: two → three" in lines
    assert "1 of 3 frames are the same picture; others: 1 (0.25 s to 0.25 s)" in lines
    assert "not there in one of them: 2" in lines
    assert lines[-1] == "outputs/a/diff.png"
    with Image.open(films.folder / "outputs" / "a" / "diff.png") as picture:
        assert picture.height > picture.width  # one pair: b has not rendered its third frame
    assert not any(line.startswith(("root", "name", "report", "frames")) for line in lines)


def test_frames_that_are_not_there_are_no_equal_pictures(films, tmp_path):
    copy = tmp_path / "outputs" / "copy"
    shutil.copytree(films.folder / "outputs" / "a", copy)
    (copy / "frames" / "frame_000001.png").unlink()
    (copy / "frames" / "frame_000002.png").unlink()
    (copy / "frames" / "frame_000002.png").write_bytes(b"x")
    ended = films.call("diff", "a", str(copy))
    assert ended.out == "1 of 3 frames are the same picture\nnot there in one of them: 1-2\n"


def test_a_run_is_like_itself(films):
    ended = films.call("diff", "a", "a")
    assert ended.out == "all 3 frames are the same pictures\n"


WAYS = ("dissolve", "flow", "none")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("render sh", {"show"}),
        ("render ci", {"city", "city_seeds", "city_two"}),
        ("render list mo", {"models"}),
        ("render show ", {"a", "b"}),
        ("render promote outputs/", {"outputs/a", "outputs/b"}),
        ("render city mode=", {f"mode={mode}" for mode in MODES}),
        ("render city sampling.path=s", {"sampling.path=smooth"}),
        ("render city page=", {"page=true", "page=false"}),
        ("render city scheduler=dp", {"scheduler=dpmpp_2m"}),
        ("render city output.f", {"output.format=", "output.fps="}),
        ("render city model=sto", {"model=storybook"}),
        ("render city output.inbetween=", {f"output.inbetween={way}" for way in WAYS}),
        ("render city sampling.blend=e", {"sampling.blend=embedding"}),
        ("render export ", {"a", "b"}),
        ("render export a ot", {"otio"}),
    ],
)
def test_a_shell_completes_words(films, monkeypatch, line, found):
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    ended = films.call("-sc", "query=bash")
    assert {*ended.out.split()} == found


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_completion_is_installed(films, shell):
    ended = films.call("-sc", f"install={shell}")
    assert ended.code == 0
    assert "render" in ended.out
