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


@pytest.mark.parametrize("chosen", CHOSEN)
def test_torch_is_loaded_with_patience_unless_another_was_chosen(real, chosen):
    """What OpenMP itself says that it goes by, when torch loads it."""
    given, (policy, rounds) = CHOSEN[chosen]
    root = f"root=patience-{chosen.replace(' ', '-')}"
    small = ["output=frames", "output.fps=1", "output.width=32", "output.height=32"]
    more = {"OMP_DISPLAY_ENV": "VERBOSE", **given}
    ended = real.render("+timeline=film", root, *small, "scheduler.steps=1", model="real", env=more)
    assert ended.code == 0, ended.err
    said = dict(re.findall(r"(OMP_WAIT_POLICY|GOMP_SPINCOUNT) = '(\w+)'", ended.err))
    assert policy in (None, said["OMP_WAIT_POLICY"])
    assert said["GOMP_SPINCOUNT"] == rounds


def test_a_program_that_imports_render_chooses_for_itself():
    program = (
        "import os, render, render.engines.open_model, render.cli.main; print(sorted(os.environ))"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(CHECKOUT)}
    said = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert "WAIT_POLICY" not in said
    assert "SPINCOUNT" not in said
