"""`render export` and `render import` behind one another, as people call them."""

from __future__ import annotations

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
