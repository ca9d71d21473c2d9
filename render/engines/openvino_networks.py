"""Networks computed by OpenVINO in the place of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch

from render.diffusion.text_conditionings import is_state
from render.diffusion.text_encoding import PLACEHOLDER
from render.engines.layer_kernels import attend_in_chunks, lay_out, room_for_tiles
from render.engines.openvino_conversion import Network, Notice, arrays, kept, openvino_alone, places
from render.engines.openvino_int8 import Calls, recorded_calls
from render.engines.protocol import Computation, Opened
from render.kernels.call_arguments import Path as Place
from render.kernels.call_arguments import at, row_axes
from render.kernels.cpu_inplace_resnet import write_in_place
from render.kernels.cpu_winograd import has_tiles, use_tiles
from render.kernels.shared_prefix import compute_first_row
from render.plan.conditioning import RowText
from render.plan.frame_plan import Recipe

PRECISION = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
CAPABILITY = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}
"""OpenVINO's name for a CPU's capability to compute in that dtype."""


def convert_networks(opened: Opened) -> Computation:
    """Let OpenVINO compute the denoiser's rows and the VAE's decoding, unless torch decodes faster;
    weights in torch that are not used again are freed.

    Raises:
        ConfigError: a network can't be converted, or not put in 8 bits.
    """
    lay_out(opened)
    vae, recipe = opened.pipeline.vae, opened.stock.recipe
    one, two = (opened.stock.recorded_call(RowText(PLACEHOLDER), rows) for rows in (1, 2))
    quantised = opened.compute.quantised != "none"

    @cache
    def painted() -> tuple[Calls, Calls]:
        return recorded_calls(opened.pipeline, recipe.height, recipe.width)

    if decodes_in_tiles(opened):
        attend_in_chunks(opened, [vae])
        write_in_place(vae, opened.patches)
        use_tiles([], vae, opened.stock.noise_shape, room_for_tiles(opened), opened.patches)
    else:
        calls = (lambda: painted()[1]) if quantised else None
        convert_decoder(opened, two["sample"].shape[2:], calls)
    return convert_denoiser(opened, one, two, (lambda: painted()[0]) if quantised else None)


def decodes_in_tiles(opened: Opened) -> bool:
    """Whether torch decodes faster than OpenVINO, which gains nothing by tiles (a tenth at 512 x
    512): large pictures in a dtype that a CPU has."""
    large = opened.rows.frames == 1 and opened.compute.quantised == "none"
    return large and opened.stock.recipe.dtype != "float16" and has_tiles(opened.pipeline.vae)


def convert_denoiser(
    opened: Opened,
    one: Mapping[str, Any],
    two: Mapping[str, Any],
    calls: Callable[[], Calls] | None,
) -> Computation:
    """Let OpenVINO compute the denoiser's rows.

    Args:
        one: the denoiser's arguments with one row, and `two` with two.
        calls: arguments by which it is put in 8 bits; None: it stays in its dtype.
    """
    net, stock = opened.denoiser, opened.denoiser.forward
    first_row = opened.rows.guided is None and calls is None
    if first_row:
        compute_first_row(net, opened.patches)
    network = Network("denoiser", net, lambda **given: stock(**given)[0], two, calls, first_row)
    axes = free_axes(one, two, opened.stock.family.state)
    rows = computed(network, axes, opened.stock.recipe, opened.on_notice)
    return Computation(lambda **given: (rows(given),))


def convert_decoder(
    opened: Opened, sides: Sequence[int], calls: Callable[[], Calls] | None
) -> None:
    """Let OpenVINO compute the decoding of latents with such sides."""
    vae, recipe = opened.pipeline.vae, opened.stock.recipe
    upcast = hasattr(opened.pipeline, "upcast_vae") and vae.config.force_upcast
    if recipe.dtype == "float16" and upcast:
        vae.decoder.to(torch.float32)  # as the pipeline does, since it overflows
    decode, dtype = vae.decoder.forward, next(vae.decoder.parameters()).dtype
    latents = torch.zeros(1, vae.config.latent_channels, *sides, dtype=dtype)
    net = Network("decoder", vae.decoder, lambda sample: decode(sample), {"sample": latents}, calls)
    picture = computed(net, {}, recipe, opened.on_notice)
    opened.patches.replace(vae.decoder, "forward", lambda sample: picture({"sample": sample}))


def free_axes(
    one: Mapping[str, Any], two: Mapping[str, Any], state: frozenset[str]
) -> dict[Place, set[int]]:
    """Axes that change from call to call: the rows', and in what stems from texts their length."""
    axes = {path: {axis} for path, axis in row_axes(one, two).items()}
    for path, free in axes.items():
        if not is_state(path, state):
            free |= set(range(at(two, path).ndim - 1))
    return axes


def computed(
    net: Network, free: Mapping[Place, set[int]], recipe: Recipe, on_notice: Notice
) -> Callable[[Mapping[str, Any]], torch.Tensor]:
    """The network by OpenVINO: arguments like the recorded ones to its tensor."""
    core, paths = the_core(), list(places(net.arguments))
    settings = how_to_compute(core, net, on_notice)
    request = core.compile_model(kept(core, net, free, recipe, on_notice), "CPU", settings)
    request = request.create_infer_request()
    free_weights(net.module)

    def compute(given: Mapping[str, Any]) -> torch.Tensor:
        request.infer(arrays(paths, given), share_inputs=True)
        output = torch.from_numpy(request.get_output_tensor(0).data.copy())
        return output.to(at(given, paths[0]).dtype)

    return compute


@cache
def the_core() -> Any:
    """OpenVINO's core; one for the process, that lasts as long.

    The first network that a core computes lays an alternate stack for signals under the thread,
    and the core's end puts back the one it found: when several end out of turn that is freed
    memory, and the next signal is a segmentation fault (OpenVINO 2026.4).
    """
    return openvino_alone().Core()


def free_weights(module: torch.nn.Module) -> None:
    """Free a network's weights. The pipeline still asks where it is and in which dtype, which the
    first parameter answers."""
    dtype = next(module.parameters()).dtype
    module.to("meta")
    nothing = torch.nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
    module.register_parameter("nothing", nothing)


def how_to_compute(core: Any, net: Network, on_notice: Notice) -> dict[str, Any]:
    """OpenVINO's settings: torch's threads, one call at a time, the weights' dtype if the CPU
    computes in it."""
    dtype = net.dtype
    if CAPABILITY[dtype] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        on_notice(f"this CPU does not compute in {dtype}; the {net.name} computes in float32")
        dtype = "float32"
    return {
        "INFERENCE_PRECISION_HINT": PRECISION[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # runs beside each other would share the first cores
    }
