"""Another package adds a blend, an output format, an engine and a family, each with one object
and one config, and the command line renders with them."""

import json
import os
import shutil

import pytest
from command_line import CHECKOUT
from forks import Installed
from PIL import Image

from render.models.families import FAMILIES

SHIPPED = {
    "shipped/__init__.py": "",
    "shipped/configs/__init__.py": "",
    "shipped/blend.py": """
from render.plan.blends import Blend, a_row_for_each

HEAVIEST = Blend(
    a_row_for_each,
    usual_rows=3,
    combine=lambda predictions, weights: predictions[weights.index(max(weights))],
    version=2,
)
""",
    "shipped/format.py": """
from render.video.codecs import MP4
from dataclasses import replace

MKV = replace(MP4, suffix=".mkv", muxer="matroska", audio=(), full_chroma=None)
""",
    "shipped/engine.py": """
from pathlib import Path

from render.engines.protocol import Abilities
from render.engines.torch_eager import TorchEager
from render.errors import Mistake


class Counting(TorchEager):
    def mistakes(self, config, device, model):
        if config.sampling.deep_cache:
            yield Mistake("sampling.deep_cache", "counting counts whole evaluations; leave it out")

    def start(self, opened):
        Path("started.txt").write_text(type(opened.denoiser).__name__)
        return super().start(opened)


class Rounding(TorchEager):
    abilities = Abilities(quantises_as="rounding 2", float16_on_cpus=True)

    def start(self, opened):
        for weight in opened.denoiser.parameters():
            weight.data = (weight.data * 127).round() / 127
        Path("started.txt").write_text(f"{opened.compute.quantised} {opened.denoiser.dtype}")
        return super().start(opened)


class Wrong(TorchEager):
    abilities = "many"
""",
    "shipped/family.py": """
from dataclasses import replace

from render.models.families import FAMILIES
from render.models.family import Reader

ALPHA = replace(
    FAMILIES["PixArtSigmaPipeline"],
    pipeline="PixArtAlphaPipeline",
    readers=(Reader("tokenizer", 120, marks=1),),
    sisters=frozenset({"PixArtAlphaInpaintPipeline"}),
)
""",
    "shipped/configs/compute/counting.yaml": "engine: counting\n",
    "shipped/configs/output/mkv.yaml": "format: mkv\nfps: 4\n",
    "shipped/configs/model/alpha.yaml": "name: alpha\npath: alpha\nsteps: 2\nguidance: 4.5\n",
    "shipped-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: shipped\nVersion: 1\n",
    "shipped-1.dist-info/entry_points.txt": """
[render.blends]
heaviest = shipped.blend:HEAVIEST
[render.engines]
counting = shipped.engine:Counting
rounding = shipped.engine:Rounding
wrong = shipped.engine:Wrong
broken = shipped.engine:NO_SUCH_CLASS
[render.formats]
mkv = shipped.format:MKV
[render.families]
PixArtAlphaPipeline = shipped.family:ALPHA
[render.configs]
gone = shipped.nowhere
shipped = shipped.configs
""",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """`render` in processes that have the package."""
    folder = tmp_path_factory.mktemp("site")
    for name, content in SHIPPED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    path = os.pathsep.join([str(folder), str(CHECKOUT)])
    installed = Installed(path, tmp_path_factory.mktemp("logs"))
    yield installed
    installed.close()


@pytest.fixture
def ran(place, installed):
    """Calls `render` in a process that has the package, in a folder with a timeline."""

    def run(*arguments, tiny=True):
        return installed(place.folder, *(place.arguments() if tiny else ()), *arguments)

    return run


def test_a_blend_and_a_format_of_another_package_make_the_film(place, ran):
    done = ran("+timeline=t", "sampling.blend=heaviest", "output=mkv")
    assert done.returncode == 0, done.stderr
    folder = place.folder / "outputs" / "t"
    assert (folder / "t.mkv").stat().st_size > 0
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["recipe"]["blend"] == "heaviest 2"
    # Half way between its keyframes it is still the heavier prompt's, as no sum of two would be.
    frames = sorted((folder / "frames").iterdir())
    pictures = [Image.open(frame).tobytes() for frame in frames]
    assert pictures[0] == pictures[1]
    assert pictures[3] == pictures[4] != pictures[0]


def test_an_engine_of_another_package_is_asked_and_started(place, ran):
    refused = ran("+timeline=t", "compute=counting", "sampling.deep_cache=2", "mode=plan")
    assert refused.returncode == 2
    assert "sampling.deep_cache: counting counts whole evaluations; leave it out" in refused.stderr
    done = ran("+timeline=t", "compute=counting", "output=frames", "output.fps=1")
    assert done.returncode == 0, done.stderr
    assert (place.folder / "started.txt").read_text() == "UNet2DConditionModel"


def test_an_engine_of_another_package_quantises_and_takes_float16_by_itself(place, ran):
    more = ("compute.engine=rounding", "compute.device=cpu", "compute.quantised=int8")
    planned = ran("+timeline=t", *more, "compute.dtype=float16", "mode=plan")
    assert planned.returncode == 0, planned.stderr
    done = ran("+timeline=t", *more, "output=frames", "output.fps=1")
    assert done.returncode == 0, done.stderr  # torchao would refuse weights so small
    assert (place.folder / "started.txt").read_text() == "int8 torch.float32"
    plan = json.loads((place.folder / "outputs" / "t" / "plan.json").read_text())
    assert plan["recipe"]["model"].endswith(" quantised:int8:rounding 2")


def test_abilities_of_another_kind_are_a_mistake(ran):
    refused = ran("+timeline=t", "compute.engine=wrong", "compute.quantised=int8", "mode=plan")
    assert refused.returncode == 2
    assert "is 'many'; make it an Abilities (engines/protocol.py)" in refused.stderr


def test_a_broken_part_of_another_package_is_a_mistake_where_it_is_chosen(ran):
    refused = ran("+timeline=t", "compute.engine=broken", "mode=plan")
    assert refused.returncode == 2
    assert "render.engines: 'broken' (shipped.engine:NO_SUCH_CLASS of shipped)" in refused.stderr
    assert "mend that package, or uninstall it" in refused.stderr


def test_a_family_of_another_package_is_read_and_rendered(place, ran, family_folder):
    folder = place.folder / "alpha"
    shutil.copytree(family_folder("pixart"), folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "PixArtAlphaPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    small = ("output.width=16", "output.height=16", "model.dtype=float32", "output=frames")
    done = ran("+timeline=t", "model=alpha", *small, "output.fps=1", tiny=False)
    assert done.returncode == 0, done.stderr
    assert len(list((place.folder / "outputs" / "t" / "frames").iterdir())) == 2
    index["_class_name"] = "PixArtAlphaInpaintPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    sister = ran("+timeline=t", "model=alpha", *small, "output.fps=1", tiny=False)
    assert sister.returncode == 0, sister.stderr
    assert place.counts("t") == (0, 2)  # the index is part of the model's identity


def test_our_own_commands_know_nothing_of_them_without_the_package(place):
    assert "PixArtAlphaPipeline" not in FAMILIES
    ended = place.render("+timeline=t", "sampling.blend=heaviest", "output.format=mkv")
    assert ended.code == 2
    assert "sampling.blend: 'heaviest' is not known; known: noise, embedding" in ended.err
    assert "output.format: 'mkv' is not known" in ended.err


def test_an_unknown_name_is_answered_with_those_of_other_packages(ran):
    done = ran("+timeline=t", "sampling.blend=zzz", "output=zzz", "mode=plan")
    assert done.returncode == 2
    assert "known: apng, av1, frames, gif, mkv, mp4, prores, webm, webp" in done.stderr
    done = ran("+timeline=t", "output=mk", "mode=plan")
    assert "output: no output 'mk'; did you mean 'mkv'? Known: apng, av1," in done.stderr
    lost = "'gone' (shipped.nowhere of shipped) under render.configs names no folder with configs"
    assert lost in done.stderr
    assert lost in ran("--help", tiny=False).stdout
    done = ran("+timeline=t", "sampling.blend=zzz", "mode=plan")
    assert "sampling.blend: 'zzz' is not known; known: noise, embedding, heaviest" in done.stderr
