"""The package: configs travel in the wheel, and the user's own come before them."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel, built without a network and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    done = subprocess.run(build, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_holds_every_config_and_neither_tests_nor_trainings(unpacked):
    ours = {p.relative_to(CHECKOUT / "configs") for p in (CHECKOUT / "configs").rglob("*.yaml")}
    theirs = unpacked / "render" / "_configs"
    assert {p.relative_to(theirs) for p in theirs.rglob("*.yaml")} == ours
    assert not (unpacked / "tests").exists()
    assert not (unpacked / "training").exists()
    held = {path.name for path in (unpacked / "render" / "storybook").iterdir()}
    assert held == {"__init__.py", "weights"}
    (entry,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "render = render.cli.main:main" in entry.read_text()
    assert list(unpacked.glob("*.dist-info/licenses/LICENSE"))


def test_the_wheel_works_from_any_folder(unpacked, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "render", "--cfg", "job", "--resolve", "+timeline=city"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    composed = yaml.safe_load(done.stdout)
    assert composed["timeline"]["keyframes"][0]["prompt"] == "A fantasy landscape"
    assert composed["model"]["path"] == str(unpacked / "render" / "storybook" / "weights")
    assert not list(tmp_path.iterdir())


FIVE_LINES = re.search(
    r"```python\n(.*?)```", (CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL
)[1]
AROUND = """
shown = []
show = shown.append
{lines}
import sys
assert render.__file__.startswith({installed!r})
print(len(shown), *{{image.size for image in shown}})
"""


def test_the_five_lines_of_python_run_from_the_wheel_as_they_stand(unpacked, tmp_path):
    timeline = tmp_path / "configs" / "timeline" / "city.yaml"
    timeline.parent.mkdir(parents=True)
    timeline.write_text("keyframes: [{at: 0, prompt: a castle}, {at: 2f, prompt: a town}]\n")
    program = AROUND.format(lines=FIVE_LINES, installed=str(unpacked))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    summary, last = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert summary.split() == ["city", "3", "frames"]
    assert last == "3 (256, 256)"
    assert done.stderr == ""
    assert (tmp_path / "city.mp4").stat().st_size > 1000
    assert (unpacked / "render" / "py.typed").is_file()


def composed(place, *arguments):
    ended = place.call("--cfg", "job", "+timeline=city", *arguments)
    assert ended.code == 0, ended.err
    return yaml.safe_load(ended.out)


def prompt(place):
    return composed(place)["timeline"]["keyframes"][0]["prompt"]


def test_the_users_own_configs_come_before_the_named_and_the_bundled(place, monkeypatch):
    assert prompt(place) == "A fantasy landscape"
    named = place.folder / "named" / "timeline"
    named.mkdir(parents=True)
    (named / "city.yaml").write_text("keyframes: [{at: 0, prompt: named}]\n")
    monkeypatch.setenv("RENDER_CONFIGS", "named")
    assert prompt(place) == "named"
    place.timeline("city", [{"at": 0, "prompt": "mine"}])
    assert prompt(place) == "mine"


def test_any_group_may_have_a_users_own_choice(place):
    folder = place.folder / "configs" / "output"
    folder.mkdir()
    (folder / "big.yaml").write_text("format: webm\nfps: 30\n")
    assert composed(place, "output=big")["output"] == {"format": "webm", "fps": 30}
    (folder / "mp4.yaml").write_text("format: mp4\nfps: 50\n")
    assert composed(place)["output"] == {"format": "mp4", "fps": 50}


def test_another_programs_config_is_left_alone(place):
    (place.folder / "configs" / "config.yaml").write_text("defaults: [nonsense]\n")
    assert composed(place)["mode"] == "render"
