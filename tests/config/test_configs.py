"""Every bundled config composes, is valid, and explains its keys."""

from pathlib import Path

import pytest
import yaml

from render.cli.config_folders import GROUPS
from render.config.parse import parse
from render.models.families import FAMILIES
from render.models.hub_cache import COMMIT
from render.models.scheduler_signatures import mistakes_in_options, signature
from render.run.facts import written_timeline
from render.timeline.interpolation import frame_times, values_at

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
SMALLER = {"sd14": 512, "sd15": 512, "sd21": 768, "sd_turbo": 512, "sdxl_turbo": 512}
NATIVE = {"storybook": 256, "qwen_image": 1328} | SMALLER  # the others: 1024
SAID_ELSEWHERE = {"name", "defaults", "sampling", "hydra", "keyframes", "class"}


def choices(group):
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@pytest.fixture
def compose(place, monkeypatch):
    """The config that a command line composes, validated."""

    def compose(*arguments):
        found = []

        class Film:
            folder = place.folder

            def __init__(self, composed, *_):
                found.append(composed)

            def run(self, *_):
                pass

        monkeypatch.setattr("render.api.Film", Film)
        ended = place.call(*arguments)
        assert (ended.code, ended.err) == (0, "")
        return parse(found[0])

    return compose


def test_the_groups_are_those_of_the_contract():
    assert {p.name for p in CONFIGS.iterdir() if p.is_dir()} == set(GROUPS)
    assert {"storybook", "sd14", "sd15", "sd21", "local"} <= set(choices("model"))
    named = "model lms pndm dpmpp_2m ddim euler euler_a heun unipc lcm flow_euler flow_lcm"
    assert set(named.split()) <= set(choices("scheduler"))
    named = "mp4 webm av1 prores gif webp apng frames"
    assert set(choices("output")) == set(named.split())
    assert set(choices("compute")) == {"auto", "cpu", "cuda", "mps", "little_memory", "openvino"}
    named = "city city_two city_seeds seasons everything"
    assert set(named.split()) <= set(choices("timeline"))


@pytest.mark.parametrize("model", choices("model"))
def test_a_model_is_valid(compose, model):
    path = ["model.path=somewhere"] if model == "local" else []
    config = compose("+timeline=city", f"model={model}", *path).model
    assert config.name == model
    if config.repository:
        assert config.revision == "main" or COMMIT.fullmatch(config.revision)
        family = FAMILIES[config.family]
        assert config.width % family.multiple == config.height % family.multiple == 0
    if model != "local":
        side = NATIVE.get(model, 1024)
        assert (config.width, config.height) == (side, side)


def test_every_family_has_a_config():
    files = [CONFIGS / "model" / f"{model}.yaml" for model in choices("model")]
    named = {yaml.safe_load(file.read_text(encoding="utf-8")).get("family") for file in files}
    assert set(FAMILIES) == named - {None}


@pytest.mark.parametrize("scheduler", choices("scheduler"))
def test_a_scheduler_is_a_class_of_diffusers_with_such_options(compose, scheduler):
    config = compose("+timeline=city", f"scheduler={scheduler}").scheduler
    assert config.name == scheduler
    if scheduler == "model":
        assert config.class_name is None
    else:
        assert signature(config.class_name)
        assert not mistakes_in_options(config.class_name, config.options)


@pytest.mark.parametrize("output", choices("output"))
def test_an_output_is_valid(compose, output):
    assert compose("+timeline=city", f"output={output}").output.format == output


@pytest.mark.parametrize("compute", choices("compute"))
def test_a_compute_is_valid(compose, compute):
    device = compose("+timeline=city", f"compute={compute}").compute.device
    assert device == {"little_memory": "auto", "openvino": "cpu"}.get(compute, compute)


@pytest.mark.parametrize("timeline", choices("timeline"))
def test_a_timeline_is_valid_and_hits_its_keyframes(compose, timeline):
    config = compose(f"+timeline={timeline}")
    film = written_timeline(config, str)
    times = frame_times(film, config.output.fps)
    assert config.name == timeline
    assert {keyframe.time for keyframe in film.keyframes} <= set(times)
    assert all(
        abs(sum(weight for _, weight in values_at(film, time).prompts) - 1) < 1e-9 for time in times
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_config_begins_with_what_it_is(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 10


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_every_key_of_a_group_is_explained(group):
    files = [*(CONFIGS / group).glob("*.yaml")]
    keys = {key for file in files for key in yaml.safe_load(file.read_text(encoding="utf-8"))}
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    commented = {line.partition(":")[0] for line in lines if "#" in line.partition(":")[2]}
    assert keys - commented <= SAID_ELSEWHERE
