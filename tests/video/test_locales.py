"""A locale that is not UTF-8 ends no run, and what a file says of itself is UTF-8 all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
STAND_IN = CHECKOUT / "tests" / "faults" / "stand_in.py"
NOT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PROMPT = "Schloß \N{CASTLE} été 日本 \N{EUROPEAN CASTLE}"
SMALL = ("output.fps=2", "output.width=64", "output.height=64")


def call(folder, *arguments):
    """`render` with the stand-in for a model."""
    environment = {**os.environ, **NOT_UTF8, "PYTHONPATH": str(CHECKOUT), "STAND_IN": "{}"}
    command = [sys.executable, STAND_IN, "+timeline=t", *SMALL, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)


def metadata(video):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", video, "-f", "ffmetadata", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")


@pytest.fixture(params=[b"plain", "Schloß".encode(), "Schloß".encode("latin-1")])
def place(request, tmp_path):
    """A folder, its name in whatever bytes, with a timeline of every kind of letter."""
    folder = tmp_path / os.fsdecode(request.param)
    timeline = folder / "configs" / "timeline" / "t.yaml"
    timeline.parent.mkdir(parents=True)
    text = f'keyframes: [{{at: 0, prompt: "{PROMPT}"}}, {{at: 1, prompt: two}}]\n'
    timeline.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("output", ["mp4", "gif"])
def test_a_film_is_finished_and_its_tags_are_utf8(place, output):
    ended = call(place, f"output={output}")
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr
    folder = place / "outputs" / "t"
    video = folder / f"t.{output}"
    assert video.is_file()
    if output != "gif":
        assert PROMPT in metadata(video)
    for name in ("plan.json", "config.yaml", "run.json", "render.log"):
        (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("asked", [["mode=plan"], ["--cfg", "job"], ["--help"]], ids=" ".join)
def test_what_is_said_never_ends_a_command(place, asked):
    ended = call(place, *asked)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == b""
    assert ended.stdout


def test_a_mistake_with_such_letters_is_said(place):
    ended = call(place, "output.fbs=1", "timeline.keyframes.0.ease=größer")
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.startswith(b"render: ")


TYPED = "Schloß, 日本 \N{CASTLE}"


def test_arguments_are_read_as_the_utf8_that_they_are(place):
    ended = call(place, "mode=plan", f'timeline.keyframes.1.prompt="{TYPED}"', "root=größe")
    assert ended.returncode == 0, ended.stderr
    found = [file for file in place.rglob("plan.json") if "größe" in str(file.relative_to(place))]
    plan = json.loads(found[0].read_text(encoding="utf-8"))
    assert plan["frames"][-1]["prompts"] == [[TYPED, 1.0]]


def test_a_timeline_with_such_a_name_is_found(place):
    text = (place / "configs" / "timeline" / "t.yaml").read_bytes()
    (place / "übung.yaml").write_bytes(text)
    ended = subprocess.run(
        [sys.executable, STAND_IN, "übung.yaml", *SMALL, "mode=plan"],
        cwd=place,
        env={**os.environ, **NOT_UTF8, "PYTHONPATH": str(CHECKOUT), "STAND_IN": "{}"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("argument", [b"sampling.negative=Schlo\xdf", b"root=gr\xf6\xdfe"])
def test_an_argument_that_is_no_utf8_is_refused_as_such(place, argument):
    ended = call(place, "mode=plan", argument)
    assert ended.returncode == 2
    assert b"UTF-8" in ended.stderr
    assert not (place / "outputs").exists()
