"""The house of the code: torch waits until a picture is rendered, and each library has its rooms.

Which package may import which is held by import-linter (pyproject.toml, `make lint`).
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "render"
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
HEAVY = {"torch", "diffusers", "transformers"}
ROOMS_WITH_TORCH = {"kernels", "diffusion", "engines"}
ALONE = {
    "hydra": {
        "cli/compose",
        "cli/compose_errors",
        "cli/main",
        "cli/recipe_source",
        "cli/sweep_size",
    },
    "omegaconf": {"cli/compose", "cli/compose_errors", "cli/main", "cli/recipe_source"},
    "subprocess": {"video/ffmpeg"},
    "pydantic": {
        "config/changing",
        "config/fields",
        "config/model_group",
        "config/named_values",
        "config/output_group",
        "config/schema",
        "config/parse",
    },
    "rich": {"report/terminal", "text"},
    "tokenizers": {"models/token_limits"},
    "compel": {"models/prompt_weights"},
    "openvino": {"engines/openvino_conversion"},
    "nncf": {"engines/openvino_int8"},
}


def called(path):
    """A file's name within the package: `plan/digest`."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imports_of(path):
    """(what a file imports, whether it does so when it is itself imported)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) or is_for_types(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        for found in imported(node):
            yield found, node not in later


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def room_of(path):
    """The package that a file is in, or "" at the top."""
    return called(path).rpartition("/")[0]


@pytest.mark.parametrize(
    "path", [p for p in FILES if room_of(p) not in ROOMS_WITH_TORCH], ids=called
)
def test_torch_stays_out_of_all_other_rooms(path):
    at_once = [found for found, now in imports_of(path) if now]
    assert not {found.partition(".")[0] for found in at_once} & HEAVY
    parts = [found.split(".") for found in at_once if found.startswith("render.")]
    into = {part[1] for part in parts} & ROOMS_WITH_TORCH
    # engines.requirements, engines.threads and kernels.cpu_malloc are read without torch.
    assert into <= {"engines", "kernels"}


@pytest.mark.parametrize("library", ALONE)
def test_a_library_stays_in_its_place(library):
    using = {
        called(path)
        for path in FILES
        if any(found.partition(".")[0] == library for found, _ in imports_of(path))
    }
    assert using == ALONE[library]


PROBE = """
import sys
sys.argv = ["render", *sys.argv[1:]]
from render.cli.main import main
code = main()
heavy = {"torch", "diffusers", "transformers", "scipy"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy else code)
"""


def probe(folder, *arguments):
    """Exit code and stderr of a command in a fresh process that prints its imports."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert "imported:" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["+timeline=t", "output.fbs=3"], 2), (["+timeline=t", "mode=plan"], 0)],
)
def test_torch_is_not_imported_by(place, arguments, code):
    assert probe(place.folder, *place.arguments(*arguments))[0] == code


def test_a_run_that_has_everything_imports_no_torch(place):
    place.render("+timeline=t")
    code, errors = probe(place.folder, *place.arguments("+timeline=t"))
    assert code == 0
    assert "5 frames: all are there" in errors
    assert place.counts("t") == (5, 0)
