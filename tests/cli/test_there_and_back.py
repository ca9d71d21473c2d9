"""`render export` and `render import` behind one another, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from render.cli.exporting import exported
from render.cli.importing import imported_file
from render.exporters.outline import EXPORTERS

pytest.importorskip("opentimelineio")
CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["otio", "labels", "srt", "vtt"])
def test_an_exported_film_can_be_imported(kind: str, tmp_path: Path) -> None:
    there, back = tmp_path / f"there{EXPORTERS[kind].suffix}", tmp_path / "back.yaml"
    (line,) = exported(["city", kind, f"to={there}", f"root={tmp_path}"])
    assert line == f"{there}: {EXPORTERS[kind].called}"
    first, *_, last = imported_file([str(there), f"to={back}"])
    assert first.startswith(f"{back}: ")
    assert last.startswith(f"render it with: render +timeline={back}")
    timeline, ours = (
        yaml.safe_load(file.read_text())["keyframes"]
        for file in (back, CHECKOUT / "configs" / "timeline" / "city.yaml")
    )
    assert [one["prompt"] for one in timeline] == [one["prompt"] for one in ours]
    in_frames = {0: 0, "18f": 1.5, "36f": 3, "54f": 4.5, "72f": 6}
    assert [in_frames.get(one["at"], one["at"]) for one in timeline] == [one["at"] for one in ours]


def test_all_kinds_are_written_beside_the_film(tmp_path: Path) -> None:
    lines = list(exported(["city", "all", f"root={tmp_path}"]))
    files = {f"city{exporter.suffix}" for exporter in EXPORTERS.values()}
    assert {path.name for path in (tmp_path / "city").iterdir()} >= files
    assert len(lines) == len(files) == len(EXPORTERS)


DEFORUM = """{"prompts": {"0": "a castle", "6": "a wood"}, "animation_mode": "2D", "seed": 1,
"max_frames": 12, "fps": %d, "W": 64, "H": 64}"""


def test_a_file_of_another_tool_brings_its_settings(place):
    (place.folder / "one.txt").write_text(DEFORUM % 8)
    assert place.call("one.txt", "mode=plan", f"model.path={place.model}", "model=local").code == 0
    plan = json.loads((place.folder / "outputs" / "one" / "plan.json").read_text())
    assert (plan["rate"], plan["recipe"]["width"], plan["count"]) == ("8", 64, 12)
    given = ("mode=plan", f"model.path={place.model}", "model=local", "root=again")
    assert place.call("one.txt", *given, "output=gif").code == 0
    plan = json.loads((place.folder / "again" / "one" / "plan.json").read_text())
    assert plan["rate"] == "8"
    assert place.call("one.txt", *given, "output.fps=4").code == 0
    plan = json.loads((place.folder / "again" / "one" / "plan.json").read_text())
    assert plan["rate"] == "4"


def test_a_sweep_over_such_a_file_and_one_over_several(place):
    (place.folder / "one.txt").write_text(DEFORUM % 8)
    (place.folder / "two.txt").write_text(DEFORUM % 4)
    given = ("mode=plan", f"model.path={place.model}", "model=local", "root=o")
    ended = place.call("-m", "+timeline=one.txt", "sampling.seed=1,2", *given)
    assert ended.code == 0, ended.err
    plans = sorted((place.folder / "o" / "one").glob("*/plan.json"))
    assert [json.loads(plan.read_text())["rate"] for plan in plans] == ["8", "8"]
    ended = place.call("-m", "+timeline=one.txt,two.txt", *given)
    assert ended.code == 2
    assert "brings settings of its own" in ended.err


@pytest.mark.parametrize("to", ["", "folder", "g.yaml"])
def test_an_export_writes_over_nothing(place, to):
    (place.folder / "folder").mkdir()
    (place.folder / "g.yaml").write_text("keyframes: [{at: 0, prompt: a}, {at: 1, prompt: b}]\n")
    before = place.tree()
    ended = place.call("export", "g.yaml", "csv", f"to={to}")
    assert ended.code == 2
    assert ended.err.startswith("render: to: ")
    assert {path: place.tree()[path] for path in before} == before


def test_values_that_are_fixed_by_an_export_are_named(place):
    (place.folder / "g.yaml").write_text(
        "keyframes: [{at: 0, prompt: a, guidance: 2 + t}, {at: 1}]\n"
    )
    ended = place.call("export", "g.yaml", "srt")
    assert ended.code == 0, ended.err
    assert "written as they are at each keyframe" in ended.out
    assert place.call("export", "g.yaml", "srt").code == 0
    srt = place.folder / "outputs" / "g" / "g.srt"
    srt.write_text("mine")
    ended = place.call("export", "g.yaml", "srt")
    assert "which is now" in ended.out
    assert [path.read_text() for path in srt.parent.iterdir() if path != srt] == ["mine"]
