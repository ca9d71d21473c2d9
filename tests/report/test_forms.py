"""The forms of a report: JSON lines, silence, and text whose form is chosen."""

import ast
import dataclasses
import json
import re
import typing
from pathlib import Path

import pytest
from command_line import CHECKOUT

from render.report import events
from render.report.json_lines import name_of

FIELDS = {name_of(kind): kind for kind in typing.get_args(events.Event)}
UNSHOWN = {"phase_ended"}


def lines_of(ended):
    return [json.loads(line) for line in ended.out.splitlines()]


def documented():
    """Fields of each event, as docs/python.md has them."""
    page = (CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8")
    table = page.partition("| event | when | fields |")[2]
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| [^|]+ \| ([^|]+) \|$", table, re.M)
    return {
        name: set(re.findall(r"`(\w+)`", fields))
        for names, fields in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def test_the_page_has_each_event_with_its_fields():
    own = {
        name: {field.name for field in dataclasses.fields(kind)} - {"due"}
        for name, kind in FIELDS.items()
        if name not in UNSHOWN
    }
    assert documented() == own


def test_the_page_has_each_number_of_a_plan():
    page = (CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+)`", page.partition("`summary` has")[2])
    assert sorted(listed) == sorted(field.name for field in dataclasses.fields(events.PlanSummary))


def test_a_render_as_json_lines(place):
    ended = place.render("t", "report=json")
    assert (ended.code, ended.err) == (0, "")
    said = lines_of(ended)
    for line in said:
        assert {*line} - {"event"} == documented()[line["event"]]
    kinds = [line["event"] for line in said]
    assert kinds[0] == "work_planned"
    assert said[0]["summary"]["new"] == 5
    assert kinds.count("frame_rendered") == 5
    assert kinds[-4:] == ["video_made", "sheet_made", "measured", "finished"]
    assert (said[-1]["rendered"], said[-1]["video"]) == (5, "outputs/t/t.mp4")
    rendered = [line for line in said if line["event"] == "frame_rendered"]
    assert sorted(line["time_s"] for line in rendered) == [0, 0.25, 0.5, 0.75, 1]
    assert all((place.folder / line["path"]).is_file() for line in rendered)
    again = lines_of(place.render("t", "report=json"))
    assert [line["kept"] for line in again if line["event"] == "video_made"] == [True]
    log = (place.folder / "outputs" / "t" / "render.log").read_text()
    assert "5 frames: 5 to render" in log


def test_a_plan_a_prune_and_an_error_as_json_lines(place):
    (plan,) = lines_of(place.render("t", "report=json", "mode=plan"))
    assert (plan["event"], plan["name"], plan["summary"]["frames"]) == ("plan_shown", "t", 5)
    ended = place.render("t", "report=json", "mode=stitch")
    assert ended.code == 4
    (line,) = lines_of(ended)
    assert (line["event"], line["exit_code"]) == ("ended", 4)
    assert ended.err == f"render: {line['error']}\n"
    unused = lines_of(place.render("t", "report=json", "mode=prune", "prune=no"))
    assert [line["event"] for line in unused] == ["unused_frames"]
    assert unused[0]["count"] == 0


def test_an_unforeseen_error_is_an_event_like_any_other(place, monkeypatch):
    monkeypatch.setattr("render.run.modes.summarise", lambda *_: {}["gone"])
    ended = place.render("t", "report=json")
    (line,) = lines_of(ended)
    assert (line["event"], line["exit_code"], ended.code) == ("ended", 1, 1)
    assert ended.err == f"render: {line['error']}\n"


def test_a_sweeps_lines_name_their_job(place):
    sweep = ["-m", "+timeline=t", "report=json", "mode=plan", "sampling.guidance=3,4"]
    said = lines_of(place.render(*sweep))
    assert [line["job"] for line in said] == ["1/2 guidance=3", "2/2 guidance=4"]


def test_silence(place):
    ended = place.render("t", "report=none")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert "5 frames: 5 to render" in (place.folder / "outputs" / "t" / "render.log").read_text()
    ended = place.render("t", "report=none", "mode=stitch", "timeline.keyframes.0.seed=9")
    assert ended.code == 4
    assert ended.err.startswith("render: ")


@pytest.mark.parametrize(("form", "coloured"), [("rich", True), ("plain", False), ("auto", False)])
def test_a_form_that_is_asked_for(place, form, coloured, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ended = place.render("t", f"report={form}", "mode=plan")
    assert ended.code == 0
    assert ("\x1b[" in ended.out) is coloured


def test_a_form_that_there_is_not(place):
    ended = place.render("t", "report=loud")
    assert ended.code == 2
    assert "report" in ended.err


SPEAKING = {"print", "input"}
STREAMS = {"stdout", "stderr", "stdin", "__stdout__", "__stderr__"}


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((CHECKOUT / "render").rglob("*.py"))
        if path.relative_to(CHECKOUT / "render").parts[0] not in ("report", "cli")
    ],
    ids=lambda path: path.relative_to(CHECKOUT / "render").as_posix(),
)
def test_only_the_report_and_the_command_speak(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
    assert not [f.id for f in called if isinstance(f, ast.Name) and f.id in SPEAKING]
    assert not [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in STREAMS
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
    ]
