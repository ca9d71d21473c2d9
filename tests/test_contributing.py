"""CONTRIBUTING.md: the code map names files and functions that are there, and its examples run."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from render.config.schema import TimelineConfig
from render.config.timeline_file import read_document

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
NAMED = re.compile(r"`((?:\w+/)*\w+\.py)`(?:\s+\(`(\w+)`\))?")
TOP = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", re.M)


def path_of(named):
    """A file by its name from the root of the repository, or from `render/`."""
    return next((p for p in (CHECKOUT / named, CHECKOUT / "render" / named) if p.exists()), None)


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_file_and_function_that_is_named_is_there():
    named = NAMED.findall(PAGE)
    assert len(named) > 20
    assert [file for file, _ in named if path_of(file) is None] == []
    assert [(f, name) for f, name in named if name and name not in functions_of(path_of(f))] == []


def test_the_map_has_every_package():
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = {
        part.strip()
        for layer in contracts["contracts"][0]["layers"]
        for part in layer.replace("|", ":").split(":")
    }
    mapped = {name for cells in TOP.findall(PAGE) for name in re.findall(r"\w+", cells)}
    assert mapped >= layers - {"__main__"}


def test_every_part_that_the_pyproject_names_is_made_by_an_example():
    project = tomllib.loads(re.search(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)[1])
    groups = project["project"]["entry-points"].values()
    parts = {value.partition(":")[2] for group in groups for value in group.values()} - {""}
    made = [compile(example, "example", "exec").co_names for example in FENCED.findall(PAGE)]
    assert parts <= {name for names in made for name in names}
    assert "*.yaml" in project["tool"]["setuptools"]["package-data"]["*"]


@pytest.mark.parametrize("example", FENCED.findall(PAGE), ids=lambda text: text.splitlines()[0])
def test_every_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "example", "exec"), {"__name__": "example"})
    for written in tmp_path.glob("*.yaml"):
        assert TimelineConfig.model_validate(read_document(written).content).keyframes
