"""The place that every fault test calls `render` in."""

import os

import pytest
from commands import Commands
from outside import CHECKOUT, Site
from traps import trap_torch


@pytest.fixture
def site(tmp_path):
    """Afterwards no process may be left and nothing outside of the site's folder changed."""
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture(scope="session")
def calls(tmp_path_factory):
    """A place for many commands without torch: importing it drops a canary and fails."""
    site = Site(tmp_path_factory.mktemp("site"))
    trap = trap_torch(site)
    commands = Commands(site, {"PYTHONPATH": f"{trap}{os.pathsep}{CHECKOUT}"})
    yield commands
    commands.close()
    site.close()
