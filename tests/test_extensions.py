"""Entry points of other packages are found by their group."""

import sys

from render.extensions import registered


def test_another_packages_entry_points_are_found_and_loaded_when_asked(tmp_path, monkeypatch):
    (tmp_path / "shipped.py").write_text("class Fast: ...\n")
    dist = tmp_path / "shipped-1.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped\nVersion: 1\n")
    (dist / "entry_points.txt").write_text("[render.toys]\nfast = shipped:Fast\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = registered("render.toys")
    assert list(found) == ["fast"]
    assert "shipped" not in sys.modules
    assert found["fast"].load().__name__ == "Fast"
    assert registered("render.others") == {}
