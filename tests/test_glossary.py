"""The glossary and the code use one name for one thing."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
GLOSSARY = CHECKOUT / "docs" / "glossary.md"
CELLS = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.M)
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "CHANGELOG.md",
    CHECKOUT / "Makefile",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
    *sorted((CHECKOUT / "configs").rglob("*.yaml")),
    *sorted((CHECKOUT / "benchmarks").glob("*.*")),
    *sorted((CHECKOUT / "training").rglob("*.py")),
    *sorted((CHECKOUT / "render").rglob("*.py")),
]
SYNONYMS = {
    r"\bof\s+ours\b": "render's, or this project's",
    r"lead(s|ing)?\s+away": "unconditional prediction, or unconditional row",
    r"the\s+origin('s)?\b": "the reference loop",
    r"h[au]ngs?\s+on\b": "depends on",
    r"(?<![`\"])\bshortcuts?\b(?![`\"])": "approximation",
    r"\bturns?\s+over\b": "changes abruptly",
    r"\bways?\s+between\s+two\s+(keyframes|prompts|seeds)": "segment",
}
"""Words that were used for a thing of the glossary, each with the name to use."""


def terms():
    """(term, meaning, name in the code) of each row of the glossary."""
    found = CELLS.findall(GLOSSARY.read_text(encoding="utf-8"))
    return [row for row in found if row[0] not in ("term", "---")]


def names_in_the_code():
    """Modules, packages, classes and functions of render: `timeline.easing`, `easing`, `Family`."""
    found = set()
    for path in (CHECKOUT / "render").rglob("*.py"):
        parts = path.relative_to(CHECKOUT / "render").with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found |= {".".join(parts[start:]) for start in range(len(parts))}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(node.name)
    return found


def test_what_the_glossary_names_is_in_the_code():
    named = {name for *_, cell in terms() for name in re.findall(r"`([\w.]+)`", cell)}
    assert len(named) > 30
    assert named - names_in_the_code() == set()


def test_a_term_stands_in_the_glossary_once():
    written = [term for term, *_ in terms()]
    assert len(written) > 40
    assert [term for term in set(written) if written.count(term) > 1] == []


def types():
    """The name of every class and every alias of a type at the top of a module."""
    for path in (CHECKOUT / "render").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                yield node.name
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                yield from [name] if re.fullmatch(r"[A-Z][a-z]+([A-Z][a-z0-9]+)*", name) else []


def test_no_two_types_have_one_name():
    """`Row` was a denoiser's row and a line of results, `Job` a run's work and a sweep's job."""
    counts = Counter(types())
    assert len(counts) > 150
    assert [name for name, count in counts.items() if count > 1] == []
    ending = sorted(name for name in counts if name.endswith(("Row", "Job")))
    assert ending == ["Row", "SweepJob"]


@pytest.mark.parametrize("wrong", SYNONYMS)
def test_a_thing_has_one_name(wrong):
    """Where this fails, the name to use stands in SYNONYMS."""
    found = [
        f"{page.relative_to(CHECKOUT)}: {match.group()!r}: write {SYNONYMS[wrong]!r}"
        for page in PAGES
        for match in re.finditer(wrong, page.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []
