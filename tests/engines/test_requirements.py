"""Engines: refused at plan time with a way out, no part of the identity, and the same pictures."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from compiling import Compiled
from diffusers import EulerDiscreteScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from films import composed
from tiny_models import SIDE

from render.config.model_group import ModelConfig
from render.config.schema import ComputeConfig
from render.diffusion import batch_size
from render.engines import openvino_networks, requirements
from render.engines.compiled_networks import cast_for_decoding
from render.engines.open_model import open_diffusion
from render.engines.openvino_conversion import Network, kept, quantised_by
from render.engines.openvino_int8 import PROMPTS, STEPS, chosen_by, recorded_calls
from render.engines.openvino_networks import how_to_compute, the_core
from render.engines.protocol import Computation
from render.engines.requirements import (
    cache_folder,
    mistakes_in_additions,
    mistakes_with_compiler,
    mistakes_with_openvino,
)
from render.errors import ConfigError
from render.kernels.cpu_chunked_attention import ChunkedAttention
from render.kernels.cuda_graphs import Graphed
from render.models.families import FAMILIES
from render.models.model_source import ModelSource
from render.plan.conditioning import RowText
from render.plan.frame_plan import Recipe
from render.run.resolve import open_film
from render.timeline.spec import FrameSpec


@pytest.fixture
def film(tiny_sd1, tmp_path, monkeypatch):
    """The film of the tiny model with such keys of `compute`, where every package is installed."""
    monkeypatch.setattr(requirements, "find_spec", lambda name: name)

    def film(**compute):
        changes = {f"compute.{key}": value for key, value in compute.items()}
        return open_film(composed(tiny_sd1, tmp_path / "out", changes), "", str)

    return film


def lines_of(mistakes):
    return [str(mistake) for mistake in mistakes]


# --- what a plan says ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["compiled", "openvino"])
def test_an_engine_is_no_part_of_the_identity(film, engine):
    assert film(engine=engine).plan.digest == film().plan.digest


def test_a_package_that_is_not_there_is_reported_with_the_way_out(place, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    ended = place.render("+timeline=t", "mode=plan", "compute=openvino")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    expected = "render: compute.engine: openvino needs a package that is not here"
    assert line == f"{expected}: pip install openvino"


def test_8_bits_are_of_another_identity_with_each_engine(film, monkeypatch):
    monkeypatch.setattr("render.run.memory_checks.find_spec", lambda name: name)
    models = [
        film(quantised="int8", engine=engine).plan.recipe.model for engine in ("torch", "openvino")
    ]
    plain = film().plan.recipe.model
    assert models == [f"{plain} quantised:int8", f"{plain} quantised:int8:openvino"]


def test_8_bits_with_openvino_need_nncf(film, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == "nncf" else name)
    with pytest.raises(ConfigError) as error:
        film(engine="openvino", quantised="int8")
    expected = "compute.quantised: int8 with openvino needs nncf, which is not here"
    assert str(error.value) == f"{expected}: pip install nncf"


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_openvino_is_for_the_cpu(film, device):
    (line,) = lines_of(mistakes_with_openvino(device, film().model))
    expected = f"compute.engine: openvino computes on the CPU, but this run is on {device}"
    assert line == f"{expected}; use compute=openvino or compute.engine=torch"


def test_openvino_is_for_u_nets(film):
    model = replace(film().model, family=FAMILIES["FluxPipeline"])
    (line,) = lines_of(mistakes_with_openvino("cpu", model))
    expected = "compute.engine: openvino computes U-Nets, but FluxPipeline has a transformer"
    assert line == f"{expected}; use compute.engine=torch"


@pytest.mark.parametrize("engine", ["compiled", "openvino"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loras", [{"path": "paint.safetensors"}]),
        ("controlnet", {"path": "edges", "image": "a.png"}),
    ],
)
def test_what_changes_a_network_later_is_refused(engine, key, value):
    written = ModelConfig.model_validate(
        {"name": "tiny", "path": "model", "steps": 4, "guidance": 7.5, key: value}
    )
    (line,) = lines_of(mistakes_in_additions(f"{engine} computes", written))
    assert line.startswith(f"model.{key}: {engine} ")
    assert "use compute.engine=torch" in line


@pytest.mark.parametrize(
    ("engine", "key", "value"),
    [
        ("compiled", "quantised", "int8"),
        ("compiled", "vae_tiling", True),
        ("openvino", "vae_tiling", True),
    ],
)
def test_what_takes_networks_apart_is_refused(film, monkeypatch, engine, key, value):
    monkeypatch.setattr("render.run.memory_checks.find_spec", lambda name: name)
    with pytest.raises(ConfigError) as error:
        film(engine=engine, **{key: value})
    expected = f"compute.{key}: {engine} computes whole networks in place"
    assert str(error.value) == f"{expected}; use compute.engine=torch with it"


@pytest.mark.parametrize("engine", ["compiled", "openvino"])
def test_deep_features_apart_are_refused(tiny_sd1, tmp_path, monkeypatch, engine):
    monkeypatch.setattr(requirements, "find_spec", lambda name: name)
    changes = {"compute.engine": engine, "sampling.deep_cache": 2}
    with pytest.raises(ConfigError) as error:
        open_film(composed(tiny_sd1, tmp_path / "out", changes), "", str)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"sampling.deep_cache: {engine} computes whole networks")
    assert line.endswith("; use sampling.deep_cache=1, or use compute.engine=torch")


@pytest.mark.parametrize(("device", "language"), [("cpu", "C++"), ("cuda:1", "C")])
def test_a_compiler_that_is_not_there_is_reported(monkeypatch, device, language):
    monkeypatch.setattr(requirements, "find_spec", lambda name: name)
    monkeypatch.setattr(requirements.shutil, "which", lambda name: None)
    (line,) = lines_of(mistakes_with_compiler(device))
    assert line.startswith(f"compute.engine: compiled needs a {language} compiler on a ")
    assert line.endswith("or use compute.engine=torch")


def test_headers_that_are_not_there_are_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(requirements.shutil, "which", lambda name: name)
    monkeypatch.setattr(requirements.sysconfig, "get_path", lambda name: str(tmp_path))
    (line,) = lines_of(mistakes_with_compiler("cpu"))
    assert "Python.h is not here; install python3-dev, or use compute.engine=torch" in line


def test_compiled_needs_triton_on_a_gpu_and_is_not_for_apples(monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    monkeypatch.setattr(requirements.shutil, "which", lambda name: name)
    assert "pip install triton" in lines_of(mistakes_with_compiler("cuda"))[0]
    assert "but this run is on mps" in lines_of(mistakes_with_compiler("mps"))[0]


@pytest.mark.parametrize(
    ("asked", "folder"), [("/var/c", "/var/c/render"), ("", "/h/.cache/render"), ("c", None)]
)
def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, asked, folder):
    monkeypatch.setenv("XDG_CACHE_HOME", asked)
    monkeypatch.setenv("HOME", "/h")
    assert cache_folder() == Path(folder or "/h/.cache/render")  # a relative one is to be ignored


# --- pictures ------------------------------------------------------------------------------------


def opened(folder, side=SIDE, said=None, dtype="float32", with_engine=None, **compute):
    recipe = Recipe(f"tiny {folder}", "model", {}, 2, side, side, dtype, "noise")
    source = ModelSource(folder, None, None, None, None)
    config = ComputeConfig.model_validate(compute)
    notices = said if said is not None else []
    return open_diffusion(
        source, recipe, "cpu", compute=config, on_notice=notices.append, engine=with_engine
    )


def spec(place):
    """Frames of two rows, of three and of four."""
    texts = ["a castle", "a forest", "a lake"][: place + 1]
    prompts = tuple((text, 1 / len(texts)) for text in texts)
    return FrameSpec(prompts, (("", 1.0),), ((1, 1.0),), 3.0)


def pictures(diffusion, *batches):
    """Of frames by their places, a batch at a time."""
    return np.stack(
        [
            picture.astype(int)
            for batch in batches
            for picture in diffusion.render([spec(place) for place in batch], lambda *_: None).all()
        ]
    )


CONVERTING = ["converting the decoder", "converting the denoiser"]


@pytest.fixture(scope="module")
def kept_here(tmp_path_factory):
    """A cache of this file's own."""
    pytest.importorskip("openvino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_openvino_paints_what_torch_paints_and_converts_once(
    tiny_sd1, family_folder, kept_here, monkeypatch, name
):
    folder, side = (tiny_sd1, SIDE) if name == "sd1" else (family_folder(name), 16)
    torchs = pictures(opened(folder, side), [0, 1, 2])
    first, second = [], []
    diffusion = opened(folder, side, first, engine="openvino")
    assert np.abs(pictures(diffusion, [0, 1, 2]) - torchs).max() <= 1
    assert [line.partition(" for ")[0] for line in first] == CONVERTING
    again = opened(folder, side, second, engine="openvino")
    again.expect([spec(place) for place in [0, 1, 2]])  # lets the text encoders go, too
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)  # calls of two rows, three and four
    assert np.abs(pictures(again, [0, 1, 2]) - torchs).max() <= 1
    assert second == []


def test_openvino_computes_what_large_frames_rows_share_once(tiny_sd1, kept_here, monkeypatch):
    torchs, said = pictures(opened(tiny_sd1), [0, 1, 2]), []
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1)  # as for large frames
    monkeypatch.setattr(openvino_networks, "has_tiles", lambda vae: True)  # torch decodes those
    diffusion = opened(tiny_sd1, said=said, engine="openvino")
    assert [line.partition(" for ")[0] for line in said] == CONVERTING[1:]  # another one is kept
    assert "forward" not in vars(diffusion.pipeline.vae.decoder)
    compute = diffusion.denoiser.plan.compute
    given = diffusion.stock.recorded_call(RowText("a castle"), 2)
    unlike = torch.randn_like(given["sample"])  # of two rows, as no frame has them
    one, other = compute(**given | {"sample": unlike})[0]
    assert torch.equal(one, other)  # by the first row's latents
    assert np.abs(pictures(diffusion, [0, 1, 2]) - torchs).max() <= 1


@pytest.mark.parametrize(
    ("side", "dtype", "quantised", "by_torch"),
    [
        (64, "float32", "none", True),
        (64, "bfloat16", "none", True),
        (64, "float16", "none", False),
        (64, "float32", "int8", False),
        (16, "float32", "none", False),
    ],
)
def test_with_openvino_torch_decodes_large_pictures(
    tiny_sd1, monkeypatch, side, dtype, quantised, by_torch
):
    decoding, tiled = [], []
    large = side * side >= batch_size.LATENTS_ON_CPU
    monkeypatch.setattr(batch_size, "LATENTS_ON_CPU", 1 if large else 64 * 64)
    monkeypatch.setattr(openvino_networks, "has_tiles", lambda vae: True)
    for name, called in (
        ("convert_denoiser", lambda *_: Computation(lambda **_: None)),
        ("convert_decoder", lambda *_: decoding.append(True)),
        ("use_tiles", lambda nets, vae, *_: tiled.append(vae)),
    ):
        monkeypatch.setattr(openvino_networks, name, called)
    diffusion = opened(tiny_sd1, dtype=dtype, engine="openvino", quantised=quantised)
    assert decoding == [True] * (not by_torch)
    assert tiled == [diffusion.pipeline.vae] * by_torch


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_openvino_reads_weights_of_16_bits(tiny_sd1, kept_here, dtype):
    torchs = pictures(opened(tiny_sd1), [0, 1, 2])
    ours = pictures(opened(tiny_sd1, dtype=dtype, engine="openvino"), [0, 1, 2])
    assert np.corrcoef(ours.ravel(), torchs.ravel())[0, 1] > 0.95


def test_8_bits_are_other_pixels_of_the_same_picture_and_chosen_once(tiny_sd1, kept_here):
    pytest.importorskip("nncf")
    first, second = [], []
    torchs = pictures(opened(tiny_sd1), [0, 1, 2])
    quantised = {"engine": "openvino", "quantised": "int8"}
    ours = pictures(opened(tiny_sd1, said=first, **quantised), [0, 1, 2])
    likeness = np.corrcoef(ours.ravel(), torchs.ravel())[0, 1]
    assert 0.5 < likeness < 1  # random weights take rounding badly; another picture would be at 0
    assert [line.partition(", once")[0] for line in first] == [
        f"{network} for OpenVINO in 8 bits" for network in CONVERTING
    ]
    again = opened(tiny_sd1, said=second, **quantised)
    assert second == []
    assert np.array_equal(pictures(again, [0, 1, 2]), ours)


def test_the_scales_of_8_bits_do_not_depend_on_the_films_scheduler(tiny_sd1):
    diffusion = opened(tiny_sd1)
    diffusion.denoiser.patches.close()  # the denoiser as the pipeline knows it
    pipeline = diffusion.pipeline
    film = pipeline.scheduler
    calls, latents = recorded_calls(pipeline, SIDE, SIDE)
    assert pipeline.scheduler is film
    assert [len(call["sample"]) for call in latents] == [1] * len(PROMPTS)
    assert len(calls) == len(PROMPTS) * STEPS
    assert {call["sample"].shape[0] for call in calls} == {2}
    assert len({float(call["timestep"]) for call in calls}) == STEPS
    pipeline.scheduler = EulerDiscreteScheduler.from_config(film.config)
    others, _ = recorded_calls(pipeline, SIDE, SIDE)
    same = [torch.equal(a["sample"], b["sample"]) for a, b in zip(calls, others, strict=True)]
    assert all(same)


def test_a_network_that_cant_be_put_in_8_bits_is_reported_in_a_line(monkeypatch):
    def failing(*_):
        raise ValueError("no layer to quantise\nand much more")

    monkeypatch.setattr("render.engines.openvino_conversion.in_8_bits", failing)
    net = Network("decoder", torch.nn.Linear(1, 1), torch.nn.Identity(), {})
    with pytest.raises(ConfigError) as error:
        quantised_by([], None, net)
    expected = "compute.quantised: NNCF can't put this decoder in 8 bits (no layer to quantise)"
    assert str(error.value) == f"{expected}; use compute.quantised=none"


def test_scales_that_were_chosen_by_other_betas_are_others():
    assert chosen_by({"use_karras_sigmas": True, "steps_offset": 1}) == chosen_by({})
    assert chosen_by({"beta_start": 0.001}) != chosen_by({})


@pytest.fixture
def doubling(tmp_path, monkeypatch):
    """Converts a network of one layer that doubles; gives its answer to 1 and what was said."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 2.0)
    recipe = Recipe("a layer", "model", {}, 1, 8, 8, "float32", "noise")

    def doubled(call=layer.forward):
        said = []
        net = Network("denoiser", layer, call, {"input": torch.ones(2, 1)})
        model = kept(the_core(), net, {("input",): {0}}, recipe, said.append)
        answer = the_core().compile_model(model, "CPU")([np.ones((5, 1), np.float32)])[0]
        assert answer.tolist() == [[2.0]] * 5
        return said

    return doubled


def test_a_damaged_network_is_converted_again(doubling, tmp_path):
    assert len(doubling()) == 1
    (file,) = (tmp_path / "cache").rglob("network.xml")
    file.write_text(file.read_text()[:100])
    assert len(doubling()) == 1
    assert doubling() == []


def test_a_cache_that_cant_be_written_is_reported_and_no_obstacle(doubling, tmp_path):
    (tmp_path / "cache").write_text("a file")
    _, line = doubling()
    assert "can't be written" in line
    assert line.endswith("; the next run converts again")


def test_what_was_left_of_a_conversion_goes(doubling, tmp_path):
    left = tmp_path / "cache" / "render" / "openvino" / f".x.render-{'0' * 16}.tmp"
    left.mkdir(parents=True)
    doubling()
    assert not left.exists()


TWO_NETWORKS_THEN_A_SIGNAL = """
import os, signal, sys, torch
from render.engines.openvino_conversion import Network
from render.engines.openvino_networks import computed
from render.plan.frame_plan import Recipe

def opened(name):
    layer = torch.nn.Linear(1, 1)
    net = Network(name, layer, layer.forward, {"input": torch.ones(2, 1)})
    recipe = Recipe("a layer", "model", {}, 1, 8, 8, "float32", "noise")
    return computed(net, {}, recipe, lambda _: None)

first, second = opened("first"), opened("second")
del first
del second
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("telemetry:", sys.modules["openvino.tools.ovc.convert_impl"].tm.__name__, flush=True)
print("left:", "openvino_telemetry" in sys.modules, flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_after_networks_were_let_go_is_handled_and_nobody_was_notified(tmp_path):
    """In a process of its own: a segmentation fault would end this one."""
    pytest.importorskip("openvino")
    asked = [sys.executable, "-c", TWO_NETWORKS_THEN_A_SIGNAL]
    caches = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    ended = subprocess.run(asked, env=caches, check=False, stdout=subprocess.PIPE, text=True)
    assert ended.returncode == 7
    assert "telemetry: openvino.tools.ovc.telemetry_stub\n" in ended.stdout
    assert ended.stdout.endswith("left: False\n")


def test_a_network_that_cant_be_converted_is_reported_in_a_line(doubling):
    def failing(input):  # noqa: A002
        raise RuntimeError("no such operator\nand much more")

    with pytest.raises(ConfigError) as error:
        doubling(failing)
    (line,) = str(error.value).splitlines()
    assert line.startswith("compute.engine: OpenVINO can't convert this denoiser (")
    assert line.endswith("; use compute.engine=torch")


@pytest.mark.parametrize(
    ("capable", "hint"), [(["FP32", "FP16"], "f16"), (["FP32", "BF16"], "f32")]
)
def test_a_dtype_that_the_cpu_does_not_compute_in_is_reported(capable, hint):
    class Core:
        def get_property(self, device, name):
            return capable

    said = []
    net = Network("decoder", torch.nn.Linear(1, 1).half(), torch.nn.Identity(), {})
    assert how_to_compute(Core(), net, said.append)["INFERENCE_PRECISION_HINT"] == hint
    assert len(said) == (hint == "f32")


def test_compiled_paints_what_torch_paints_and_other_batches_compile_nothing_new(tiny_sd1):
    torchs = pictures(opened(tiny_sd1), [0, 1, 2])
    diffusion = opened(tiny_sd1, with_engine=Compiled())
    assert np.abs(pictures(diffusion, [0, 1, 2]) - torchs).max() <= 1
    before = graphs()
    pictures(diffusion, [0], [1, 2], [2, 1, 0])
    assert graphs() == before > 0


def test_on_a_gpu_blocks_are_compiled_and_whole_calls_captured(tiny_sd1):
    """With the CPU in the GPU's place."""
    torchs = pictures(opened(tiny_sd1), [0, 1, 2])
    captured = []
    engine = Compiled("cuda", lambda call: captured.append(Graphed(call, again)) or captured[-1])
    diffusion = opened(tiny_sd1, with_engine=engine)
    assert np.abs(pictures(diffusion, [0, 1, 2]) - torchs).max() <= 1
    before = graphs()
    assert np.abs(pictures(diffusion, [2], [0, 1])[[1, 2, 0]] - torchs).max() <= 1
    assert graphs() == before > 0
    assert [len(each.captured) for each in captured] == [1, 1]  # the U-Net's and the decoder's


def test_a_graph_serves_one_shape_and_its_answer_is_the_callers():
    seen, written = [], torch.zeros(2)

    def call(x, *, scale, more):
        seen.append(tuple(x.shape))
        return (written[: len(x)].copy_(x * scale + more["y"]),)

    graphed = Graphed(call, again)
    ask = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]
    answers = [graphed(x, scale=2, more={"y": torch.tensor(1.0)})[0] for x in ask]
    assert [answer.tolist() for answer in answers] == [[3.0, 5.0], [7.0, 9.0]]
    assert len(graphed.captured) == 1
    graphed(ask[0][:1], scale=2, more={"y": torch.tensor(1.0)})
    graphed(ask[0], scale=3, more={"y": torch.tensor(1.0)})
    assert len(graphed.captured) == 3


def test_graphs_of_other_shapes_make_room_for_one_that_does_not_fit():
    def capture(call):
        if graphed.captured:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return call

    graphed = Graphed(lambda x: x + 1, capture)
    for size in (4, 2):
        assert graphed(torch.zeros(size)).tolist() == [1.0] * size
        assert len(graphed.captured) == 1


@pytest.mark.parametrize(
    ("dtype", "forced", "casts"),
    [("float16", True, True), ("float16", False, False), ("bfloat16", True, False)],
)
def test_a_decoder_that_is_cast_batch_by_batch_is_not_captured(dtype, forced, casts):
    config = SimpleNamespace(force_upcast=forced)
    vae = SimpleNamespace(dtype=getattr(torch, dtype), config=config)
    assert cast_for_decoding(SimpleNamespace(vae=vae, upcast_vae=None)) is casts
    assert cast_for_decoding(SimpleNamespace(vae=vae)) is False


@pytest.mark.slow
def test_of_a_transformer_its_blocks_are_compiled(family_folder):
    torchs = pictures(opened(family_folder("sd3"), 16), [0, 1, 2])
    diffusion = opened(family_folder("sd3"), 16, with_engine=Compiled())
    assert np.abs(pictures(diffusion, [0, 1, 2]) - torchs).max() <= 1
    net = diffusion.pipeline.transformer
    blocks = [each for each in net.modules() if "_compiled_call_impl" in vars(each)]
    assert {type(block).__name__ for block in blocks} == set(net._repeated_blocks)
    assert graphs() > 0


def test_no_loop_over_rows_is_traced_in_16_bits(tiny_sd1):
    def processors(engine):
        pipeline = opened(tiny_sd1, dtype="bfloat16", with_engine=engine).pipeline
        networks = pipeline.unet, pipeline.vae
        return {type(used) for net in networks for used in net.attn_processors.values()}

    assert processors(None) == {ChunkedAttention}
    assert processors(Compiled()) == {AttnProcessor2_0}


def again(call):
    """In place of a capture: the call itself."""
    return call


def graphs():
    """How many graphs torch.compile has made."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]
