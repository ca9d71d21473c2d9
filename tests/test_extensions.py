"""Entry points of other packages are found by their group."""

import sys

import pytest
from pydantic import ValidationError

from render.config.output_group import OutputConfig
from render.config.schema import ComputeConfig
from render.errors import ConfigError
from render.extensions import Registry, lost_configs, registered, shipped_configs


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


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Installs a package `shipped` for this test: (its code, its entry points)."""

    def install(code, points):
        (tmp_path / "shipped.py").write_text(code)
        dist = tmp_path / "shipped-1.dist-info"
        dist.mkdir()
        (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped\nVersion: 1\n")
        (dist / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "shipped", raising=False)

    return install


def test_other_packages_parts_stand_behind_our_own_which_none_replaces(shipped):
    shipped("SEVEN = 7\n", "[render.toys]\nours = shipped:SEVEN\ntheirs = shipped:SEVEN\n")
    toys = Registry("render.toys", int, {"ours": 1})
    assert dict(toys) == {"ours": 1, "theirs": 7}
    assert "ours" in toys
    assert "others" not in toys
    with pytest.raises(KeyError):
        toys["others"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import there_is_no_such_module\n", "can't be loaded (ModuleNotFoundError"),
        ("TOY = 'seven'\n", "is no int"),
        ("", "can't be loaded (AttributeError"),
    ],
)
def test_a_broken_package_is_named_only_where_its_part_is_chosen(shipped, code, said):
    shipped(code, "[render.toys]\ntheirs = shipped:TOY\n")
    toys = Registry("render.toys", int, {"ours": 1})
    assert list(toys) == ["ours", "theirs"]
    with pytest.raises(ConfigError) as refused:
        toys["theirs"]
    assert str(refused.value).startswith("render.toys: 'theirs' (shipped:TOY of shipped) ")
    assert said in str(refused.value)
    assert str(refused.value).endswith("mend that package, or uninstall it")


def test_a_config_chooses_another_packages_format_and_hears_all_names_of_an_unknown_one(shipped):
    shipped("", "[render.formats]\nsmall = shipped:SMALL\n")
    assert OutputConfig(format="small").format == "small"
    with pytest.raises(ValidationError, match=r"known: mp4, webm.*apng, small, frames"):
        OutputConfig(format="zzzzzzz")


@pytest.mark.parametrize(("name", "slip"), [("compild", True), ("stock", False), ("zzz", False)])
def test_an_unknown_part_is_answered_with_all_names_and_with_how_more_become_known(name, slip):
    with pytest.raises(ValidationError) as refused:
        ComputeConfig(engine=name)
    (line,) = (error["msg"] for error in refused.value.errors())
    assert "nown: torch, compiled, openvino" in line
    assert ("has to be installed, again after a name was added to it" in line) is not slip


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("shipped.nowhere", "no such folder"),
        ("broken", "a module that can't be imported, and no folder"),
        ("broken.configs", "a package that can't be imported"),
        ("empty", "a folder without configs"),
        ("???", "no name of a module"),
    ],
)
def test_configs_that_are_not_there_are_named(shipped, tmp_path, value, why):
    shipped("", f"[render.configs]\ntheirs = {value}\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "empty").mkdir()
    assert shipped_configs() == ([tmp_path / "empty"] if value == "empty" else [])
    (line,) = lost_configs()
    assert line.startswith(f"'theirs' ({value} of shipped) under render.configs names no folder")
    assert line.endswith("mend that package and install it again")
