"""R18: renders beside one another do not wait for each other's cores awake."""

import os
import re
import subprocess
import sys

import pytest
from outside import CHECKOUT

CHOSEN = {
    "nothing": ({}, ("PASSIVE", "20000")),
    "a policy": ({"OMP_WAIT_POLICY": "ACTIVE"}, ("ACTIVE", "30000000000")),
    "rounds": ({"GOMP_SPINCOUNT": "7"}, (None, "7")),
}


COMMAND_THEN_TORCH = """
import sys
from render.cli.main import main
sys.argv = ["render", "--version"]
assert main() == 0 and "torch" not in sys.modules
import torch
"""


def goes_by(said):
    """The settings that OpenMP itself prints when torch loads it."""
    return dict(re.findall(r"(OMP_WAIT_POLICY|GOMP_SPINCOUNT) = '(\w+)'", said))


@pytest.mark.parametrize("chosen", CHOSEN)
def test_torch_is_loaded_with_patience_unless_another_was_chosen(site, chosen):
    given, (policy, rounds) = CHOSEN[chosen]
    environment = site.environment(OMP_DISPLAY_ENV="VERBOSE", **given)
    command = [sys.executable, "-c", COMMAND_THEN_TORCH]
    ended = subprocess.run(
        command, cwd=site.here, env=environment, capture_output=True, text=True, check=True
    )
    said = goes_by(ended.stderr)
    assert policy in (None, said["OMP_WAIT_POLICY"])
    assert said["GOMP_SPINCOUNT"] == rounds


def test_a_film_is_rendered_with_patience(real):
    small = ["output=frames", "output.fps=1", "output.width=32", "output.height=32"]
    more = {"OMP_DISPLAY_ENV": "VERBOSE"}
    command = ["+timeline=film", "root=patience", *small, "scheduler.steps=1"]
    ended = real.render(*command, model="real", env=more)
    assert ended.code == 0, ended.err
    assert goes_by(ended.err) == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}


def test_a_program_that_imports_render_chooses_for_itself():
    program = (
        "import os, render, render.engines.open_model, render.cli.main; print(sorted(os.environ))"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(CHECKOUT)}
    said = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert "WAIT_POLICY" not in said
    assert "SPINCOUNT" not in said
