"""Docstrings are sentences: they name a thing or say what a function does, in the field's words."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
FOLDERS = ["benchmarks", "render", "tests", "training"]
ELSEWHERE = {"version.py"}
"""Files of other packages that docstrings name."""
TELL = re.compile(r"\.tell\(\)")
"""A file's method."""
FILES = [path for folder in FOLDERS for path in sorted((CHECKOUT / folder).rglob("*.py"))]


def docstrings(path):
    """(line, text) of the docstrings of a file, those below attributes among them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield node.lineno, value.value.strip()


def found(pattern):
    return [
        f"{path.relative_to(CHECKOUT)}:{line}: {text.splitlines()[0]}"
        for path in FILES
        for line, text in docstrings(path)
        if re.search(pattern, text)
    ]


@pytest.mark.parametrize("pattern", [r"\AWhat\b", r"\b([Tt]old|[Tt]ells?)\b"], ids=["What", "told"])
def test_no_docstring_is_a_riddle(pattern):
    """`What …` names nothing; a program returns, prints, reports or names."""
    assert found(pattern) == []


def test_no_word_of_the_code_or_of_its_tests_is_of_telling():
    """Names, messages and comments, too: `message`, `line`, `reports`, `names`."""
    found = [
        f"{path.relative_to(CHECKOUT)}: {word}"
        for path in FILES
        if path != Path(__file__).resolve()
        for word in re.findall(r"[A-Za-z]+", TELL.sub("", path.read_text(encoding="utf-8")))
        if word.lower() in ("tell", "tells", "told", "telling")
    ]
    assert found == []


def test_every_file_that_a_docstring_of_render_names_is_there():
    there = {path.name for path in FILES} | ELSEWHERE
    named = [
        (path.relative_to(CHECKOUT), name)
        for path in (CHECKOUT / "render").rglob("*.py")
        for _, text in docstrings(path)
        for name in re.findall(r"\b[a-z_0-9]+\.py\b", text)
    ]
    assert [(str(path), name) for path, name in named if name not in there] == []


def test_the_docstrings_are_found():
    assert len(found("")) > 1000
