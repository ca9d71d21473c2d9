"""Entry points of other packages are found by their group."""

import sys

import pytest
from pydantic import ValidationError

from render.config.output_group import OutputConfig
from render.errors import ConfigError
from render.extensions import Registry, registered


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
