"""S4: what looks like an interpolation in a text is text; no variable's value gets anywhere."""

import json
import subprocess

import imageio_ffmpeg
import pytest
import yaml
from commands import Commands
from PIL import Image

SECRET = "yellow-feathers-4711"
SPIES = [
    "${oc.env:CANARY}",
    "${5}",
    "$${oc.env:CANARY}",
    "\\${oc.env:CANARY}",
    "a ${oc.env:CANARY} and ${oc.env:CANARY,none}",
    "${oc.decode:${oc.env:CANARY}}",
    "${hydra:runtime.cwd}",
    "${timeline.name}",
    "${package:..}",
    "$CANARY ${CANARY} $(echo $CANARY) `echo $CANARY` %CANARY%",
    "???",
]


@pytest.fixture(scope="module")
def place(calls):
    """Commands with the secret in their environment."""
    commands = Commands(calls.site, {"CANARY": SECRET})
    yield commands
    commands.close()


@pytest.fixture(scope="module")
def spied(place):
    """A film of all of them, as prompts, as weighted prompts and as negatives."""
    keyframes = [{"at": at, "prompt": text, "negative": text} for at, text in enumerate(SPIES)]
    keyframes.append({"at": len(SPIES), "prompt": dict.fromkeys(SPIES, 1)})
    place.site.timeline("spied", yaml.safe_dump({"keyframes": keyframes}))
    answer = place("+timeline=spied", "output.fps=1")
    assert answer.code == 0, answer.err
    return answer


def holding(folder, text):
    """Files that hold a text, whatever they are."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if text.encode() in path.read_bytes()]


def test_the_value_is_in_no_file_and_on_no_line(place, spied):
    assert holding(place.site.root, SECRET) == []
    assert SECRET not in spied.out + spied.err


def test_a_value_that_is_written_would_be_found(place, spied):
    leak = place.site.root / "spied" / "leak"
    leak.write_text(f"a {SECRET} b")
    assert holding(place.site.root, SECRET) == [leak]
    leak.unlink()


@pytest.mark.parametrize("text", SPIES)
def test_the_text_is_literal_in_the_plan_the_config_and_the_frame(place, spied, text):
    folder, at = place.site.run_folder("spied"), SPIES.index(text)
    frame = json.loads((folder / "plan.json").read_bytes())["frames"][at]
    assert frame["prompts"] == [[text, 1.0]]
    assert frame["negative"] == text
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["timeline"]["keyframes"][at]["prompt"] == text
    assert text in config["timeline"]["keyframes"][-1]["prompt"]
    with Image.open(place.site.frames("spied")[at]) as image:
        spec = json.loads(image.info["render:spec"])
    assert spec["prompts"] == [[text, 1.0]]
    assert spec["negatives"] == [[text, 1.0]]


def test_the_text_is_literal_in_the_videos_metadata(place, spied):
    video = place.site.run_folder("spied") / "spied.mp4"
    ask = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", f"file:{video}", "-f", "ffmetadata", "-"]
    metadata = subprocess.run(ask, capture_output=True, check=True).stdout.decode()
    assert "${oc.env:CANARY}" in metadata
    assert SECRET not in metadata


@pytest.mark.parametrize("text", SPIES[:3])
def test_a_name_of_a_timeline_is_refused_as_it_is_written(place, text):
    content = yaml.safe_dump({"name": text, "keyframes": [{"at": 0, "prompt": "a"}]})
    place.site.timeline("named", content)
    answer = place("+timeline=named")
    assert answer.code == 2
    assert "can't name a folder" in answer.err
    assert text in answer.err
    assert SECRET not in answer.err


@pytest.mark.parametrize("seed", ["${5}", "${oc.env:CANARY}", "${sampling.seed}"])
def test_a_seed_is_refused_as_it_is_written(place, seed):
    place.site.timeline("seeded", [{"at": 0, "prompt": "a", "seed": seed}])
    answer = place("+timeline=seeded")
    assert answer.code == 2
    assert "a seed is a whole number" in answer.err
    assert seed[:10] in answer.err
    assert SECRET not in answer.err


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("timeline.keyframes.0.prompt", []),
        ("timeline.keyframes.0.negative", []),
        ("sampling.negative", []),
        ("sampling.negative", ["-m"]),
    ],
)
def test_a_text_on_the_command_line_is_literal_too(place, key, more):
    place.site.timeline("typed", [{"at": 0, "prompt": "a", "seed": 1}])
    answer = place("+timeline=typed", f"{key}=${{oc.env:CANARY}}", "output=frames", *more)
    assert answer.code == 0, answer.err
    assert SECRET not in answer.out + answer.err
    assert holding(place.site.root, SECRET) == []
    folder = place.site.run_folder("typed")
    plans = [path.read_text() for path in folder.rglob("plan.json")]
    assert any("${oc.env:CANARY}" in plan for plan in plans)
