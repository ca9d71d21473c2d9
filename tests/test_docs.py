"""Every link of the documents leads to a file, and every test that they name exists."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import Place
from PIL import Image
from safetensors.numpy import save_file
from synthetic_sound import drums, write_wave

from render.models.lpips_weights import wanted
from render.models.sister_pipelines import family_of

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
LINKING = [*PAGES, CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "benchmarks" / "RESULTS.md"]
FOR_ALL = [CHECKOUT / "README.md", CHECKOUT / "docs" / "timeline.md"]
"""Pages whose settings every model has."""
LINK = re.compile(r"\]\(([^)#:]+)\)")
FENCED = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)
INDENTED = re.compile(r"(?:^ {4}\S.*\n(?: {8}.*\n)*)+", re.M)
SPAN = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"(?:shard|output|compute)=\S+|[a-z]+\.[a-z_.]+=\S+")
ELSEWHERE = re.compile(
    r"render: model\.revision: the hub can't say what OWNER/NAME at 'COMMIT' is \([^)]+\); pin"
    r"|render: compute\.offload: .* on a CUDA GPU, but this run is on cpu"
    r"|render: compute\.engine: .* needs [\w ]+, which is not here: pip install"
)
"""Errors with which a command may end where it needs the hub, a GPU or another package."""
TARGET = re.compile(r"(?:^|`)make ((?:[a-z]+)(?:-[a-z]+)*)", re.M)
NAMED_TEST = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_every_file_a_page_links_to_is_there(page):
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_test_a_page_names_is_there():
    written = {
        name
        for file in (CHECKOUT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    named = {name for page in PAGES for name in NAMED_TEST.findall(page.read_text())}
    assert len(named) >= 30
    assert named - written == set()


def test_every_make_command_of_a_page_is_one():
    written = re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.M)
    named_targets = {name for page in PAGES for name in TARGET.findall(page.read_text())}
    assert {"city", "test", "help", "bench"} <= named_targets
    assert named_targets - set(written) == set()


def table_of_families():
    """The table of docs/models.md: a model's config to what works in its family."""
    page = (CHECKOUT / "docs" / "models.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    start = next(place for place, row in enumerate(rows) if row[0] == "| family")
    table = {}
    for row in rows[start + 1 :]:
        models = re.findall(r"`(\w+)`", row[1]) if len(row) == 9 else []
        for model in models:
            table[model] = [row[2], *(cell.strip(" |") == "yes" for cell in row[3:])]
    return table


TABLE = table_of_families()


@pytest.mark.parametrize("model", TABLE)
def test_the_table_of_families_says_what_the_plan_refuses(model):
    written = yaml.safe_load((CHECKOUT / "configs" / "model" / f"{model}.yaml").read_text())
    index = {"_class_name": written["family"], "is_distilled": model == "flux2_klein"}
    family = family_of(index, {"guidance_embeds": model != "flux_schnell"})
    guidance = family.guidance
    assert TABLE[model] == [
        "noise, embedding" if family.lined_up else "noise",
        guidance.negatives,
        guidance.negatives or guidance.argument is not None,
        family.weighted is not None,
        family.from_image is not None,
        family.controlnets,
        family.loras,
    ]


def test_every_model_of_the_hub_is_in_the_table():
    configs = {path.stem for path in (CHECKOUT / "configs" / "model").glob("*.yaml")}
    assert set(TABLE) == configs - {"storybook", "local"}


# --- commands ------------------------------------------------------------------------------------


def commands(page):
    """The commands of a page that call `render`, each in words, without comments."""
    text = page.read_text().replace("\\\n", " ")
    blocks = [*FENCED.findall(text), *INDENTED.findall(text), *SPAN.findall(text)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("render ")]


def settings(page):
    """The settings that a page suggests for a command, in words."""
    spans = [span.split() for span in SPAN.findall(page.read_text())]
    return [words for words in spans if words and all(map(SETTING.fullmatch, words))]


def named(pages, of):
    """Everything of these pages, with where it stands for a name."""
    return [
        pytest.param(words, id=f"{page.stem}: {' '.join(words)}")
        for page in pages
        for words in dict.fromkeys(map(tuple, of(page)))
    ]


@pytest.fixture(scope="session")
def written(tmp_path_factory, tiny_sd1):
    """A folder with everything that the pages name: timelines, models, files, pictures."""
    from diffusers import StableDiffusionPipeline
    from single_files import save_single_file

    folder = tmp_path_factory.mktemp("pages")
    place = Place(folder, tiny_sd1)
    readme = (CHECKOUT / "README.md").read_text()
    (folder / "mine.yaml").write_text(re.search(r"^```yaml\n(.*?)^```", readme, re.M | re.S)[1])
    for name in ("my-model", "sd15"):
        shutil.copytree(tiny_sd1, folder / name)
    shutil.copytree(tiny_sd1 / "vae", folder / "sd-vae-ft-mse")
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    save_single_file(pipeline, folder / "dream.safetensors")
    save_file({"emb_params": np.ones((1, 32), np.float32)}, folder / "cat.safetensors")
    layer = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    pair = {"lora_down": np.ones((2, 2048)), "lora_up": np.ones((640, 2))}
    save_file({f"{layer}.{name}.weight": value for name, value in pair.items()},
              folder / "paint.safetensors")  # fmt: skip
    (folder / "canny").mkdir()
    (folder / "canny" / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel"}))
    save_file({"w": np.ones(1)}, folder / "canny" / "diffusion_pytorch_model.safetensors")
    write_wave(folder / "song.mp3", drums(120, 9, 0)[0])  # known by its content
    (folder / "music.yaml").write_text(
        re.search(
            r"^```yaml\n(.*?)^```", (CHECKOUT / "docs" / "music.md").read_text(), re.M | re.S
        )[1]
    )
    (folder / "settings.txt").write_text('{"0": "a castle", "24": "a forest"}')
    save_file({name: np.ones(shape, np.float32) for name, shape in wanted()},
              folder / "lpips.safetensors")  # fmt: skip
    (folder / "their-frames").mkdir()
    for number in (1, 2, 10):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / "their-frames" / f"{number}.png")
    few = ("output.fps=1", "timeline.keyframes.2.at=3", "timeline.keyframes.1.at=1")
    for name in ("city", "city-2", "mine"):
        assert place.render("mine.yaml", f"name={name}", *few).code == 0
    runs = folder / "outputs"
    shutil.copy(runs / "city" / "city.mp4", folder)
    for draft in ("sampling.guidance=8", "sampling.guidance=3,timeline.keyframes.0.seed=2"):
        copy = shutil.copytree(runs / "city-2", runs / "city" / f"{draft},sampling.speed=draft")
        text = (copy / "config.yaml").read_text().replace("name: city-2", "name: city")
        (copy / "config.yaml").write_text(text.replace("speed: exact", "speed: draft"))
    (folder / "edges").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "edges" / "1.png")
    return place


def planned(place, words):
    """The command with mode=plan in place of the mode that is written, so nothing is rendered; one
    with an input or a verb, which renders nothing, as it is."""
    verbs = ("diff", "export", "import", "list", "show")
    if any(word.startswith("input=") for word in words) or words[0] in verbs:
        return place.call(*words)
    return place.call(*[word for word in words if not word.startswith("mode=")], "mode=plan")


def of_the_tiny_model(place, words):
    """The command with the model whose films it is about, whose folder no recipe holds."""
    return [*words, f"model.path={place.model}"]


COMMANDS, SETTINGS = named(PAGES, commands), named(FOR_ALL, settings)


def test_the_pages_hold_what_is_tested():
    assert len(COMMANDS) >= 10
    assert any("token" in word for case in COMMANDS for word in case.values[0])


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_of_a_page_does_what_it_says(written, monkeypatch, words):
    """Or says clearly that it needs the hub, a GPU or another package."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    words = of_the_tiny_model(written, words) if words[0] in ("from", "promote") else words
    ended = planned(written, words)
    if ended.code:
        assert ended.code == 2
        assert [line for line in ended.err.splitlines() if not ELSEWHERE.match(line)] == []
    elif words[0] in ("diff", "export", "import", "list", "show"):
        assert ended.out.strip()
    else:
        assert re.search(r"\bframes?\b", ended.out)


@pytest.mark.parametrize("words", SETTINGS)
def test_every_setting_of_a_page_for_all_is_one(written, words):
    ended = planned(written, ("mine.yaml", "name=set", *words))
    assert (ended.code, ended.err) == (0, "")
