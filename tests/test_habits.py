"""The files around the code agree with it: workflow, hooks, site, changelog, version."""

import re
import tomllib
from pathlib import Path

import yaml

import render

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def loaded(name):
    return yaml.safe_load((CHECKOUT / name).read_text())


def test_the_workflow_runs_the_script_on_every_python_and_system():
    workflow = loaded(".github/workflows/ci.yml")
    test = workflow["jobs"]["test"]
    assert test["strategy"]["matrix"] == {
        "os": ["ubuntu-latest", "macos-latest"],
        "python": ["3.11", "3.12", "3.13", "3.14"],
    }
    assert PROJECT["requires-python"] == ">=3.11"
    assert ".ci/run" in [step.get("run") for step in test["steps"]]
    assert (CHECKOUT / ".ci" / "run").stat().st_mode & 0o100


def test_the_hooks_before_a_commit_are_those_of_make_lint():
    (ours,) = loaded(".pre-commit-config.yaml")["repos"]
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in ours["hooks"]}
    recipe = (CHECKOUT / "Makefile").read_text().partition("\nlint: ")[2].partition("\n\n")[0]
    assert programs == set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe)) == {
        "ruff", "mypy", "lint-imports",
    }  # fmt: skip
    assert {hook["language"] for hook in ours["hooks"]} == {"system"}


def pages_of(nav):
    for entry in nav:
        for target in entry.values():
            yield from [target] if isinstance(target, str) else pages_of(target)


def test_every_page_is_on_the_site():
    docs = CHECKOUT / "docs"
    named = sorted(pages_of(loaded("mkdocs.yml")["nav"]))
    assert named == sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))


def is_in_render(name):
    """Whether `render.a.b` is a module, or `render.a.b.c` a class or function of one."""
    path = CHECKOUT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    module = path.parent.with_suffix(".py")
    pattern = rf"^(class|def) {path.name}\b"
    return module.exists() and re.search(pattern, module.read_text(), re.M) is not None


def test_all_names_whose_docstrings_are_shown_are_there():
    pages = (CHECKOUT / "docs" / "reference").glob("*.md")
    shown = [name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)]
    assert len(shown) >= 8
    assert [name for name in shown if not is_in_render(name)] == []


def test_the_changelog_has_a_section_for_this_version():
    changelog = (CHECKOUT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[?([\w.]+)\]?", changelog, re.M)
    assert sections[0] == "Unreleased"
    assert sections[1] == render.__version__


def test_a_clone_has_the_folder_of_results_and_nothing_in_it():
    assert (CHECKOUT / "outputs" / ".gitkeep").read_bytes() == b""
    ignored = (CHECKOUT / ".gitignore").read_text().splitlines()
    assert ignored.index("/outputs/*") < ignored.index("!/outputs/.gitkeep")
