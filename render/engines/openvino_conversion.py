"""Networks converted for OpenVINO once, and kept in the user's cache.

A network is converted as a function of the tensors in its arguments, traced with those that the
pipeline itself makes; any number of rows fits, and any length of the texts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import torch

from render.engines.openvino_int8 import Calls, chosen_by, in_8_bits, without_telemetry
from render.engines.registry import KEY
from render.engines.requirements import OTHERWISE, cache_folder
from render.errors import ConfigError, Mistake
from render.files.atomic import folder_replacing, make_folder
from render.files.temporary import sweep_folders
from render.kernels.call_arguments import Path as Place
from render.kernels.call_arguments import at, with_leaves
from render.models.hub_errors import first_line
from render.plan.frame_plan import Recipe

IR_NAME = "network.xml"
CONVERSION = 2  # raised by hand when the same network would be converted otherwise

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Network:
    """A network as it is called: `call` gives one tensor for arguments like these."""

    name: str
    module: torch.nn.Module
    call: Callable[..., torch.Tensor]
    arguments: Mapping[str, Any]
    calls: Callable[[], Calls] | None = None
    """Arguments of calls by which it is put in 8 bits; None: it stays in its dtype."""
    first_row: bool = False
    """Whether the layers before the texts compute the first row of a call for all."""

    @property
    def dtype(self) -> str:
        """Of its weights."""
        return str(next(self.module.parameters()).dtype).removeprefix("torch.")


def kept(
    core: Any, net: Network, free: Mapping[Place, set[int]], recipe: Recipe, on_notice: Notice
) -> Any:
    """The converted network, from the cache or made and put there."""
    folder = cache_folder() / "openvino" / key_of(net, recipe)
    with suppress(RuntimeError):  # is not there, or was damaged
        return core.read_model(folder / IR_NAME)
    how, long = ("", "minutes") if net.calls is None else (" in 8 bits", "half an hour")
    on_notice(
        f"converting the {net.name} for OpenVINO{how}, once; up to {long}. It is kept in {folder}"
    )
    model = converted(net, free)
    if net.calls is not None:
        model = quantised_by(net.calls(), model, net)
    try:
        make_folder(folder.parent)
        sweep_folders(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)
        with folder_replacing(folder) as fresh:
            save(model, fresh / IR_NAME)
        return core.read_model(folder / IR_NAME)  # from the file, as it is mapped into memory
    except (OSError, RuntimeError) as error:
        on_notice(f"{folder} can't be written ({first_line(error)}); the next run converts again")
        return model


def quantised_by(calls: Calls, model: Any, net: Network) -> Any:
    """The converted network in 8 bits.

    Raises:
        ConfigError: NNCF can't.
    """
    paths = list(places(net.arguments))
    inputs = [arrays(paths, given) for given in calls]
    try:
        return in_8_bits(model, net.name, net.module, inputs)
    except Exception as error:  # of NNCF or of OpenVINO, which have no common base
        what = f"NNCF can't put this {net.name} in 8 bits ({first_line(error)[:200]})"
        way_out = "use compute.quantised=none"
        raise ConfigError([Mistake("compute.quantised", f"{what}; {way_out}")]) from error


def key_of(net: Network, recipe: Recipe) -> str:
    """The name of a converted network in the cache: a hash of all that it depends on."""
    entry = {
        "model": recipe.model,
        "network": net.name,
        "arguments": [
            ["/".join(map(str, path)), list(at(net.arguments, path).shape)]
            for path in places(net.arguments)
        ],
        "dtype": net.dtype,
        "conversion": CONVERSION,
        "versions": [openvino_alone().__version__, torch.__version__, diffusers.__version__],
    }
    if net.first_row:
        entry["first_row"] = True
    if net.calls is not None:
        entry["int8"] = [version("nncf"), *chosen_by(recipe.scheduler_options)]
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:32]


def converted(net: Network, free: Mapping[Place, set[int]]) -> Any:
    """The network as an OpenVINO model.

    Raises:
        ConfigError: it can't be converted.
    """
    wrapped = OfTensors(net).eval()
    example = tuple(at(net.arguments, path).float() for path in wrapped.paths)
    try:
        with torch.no_grad(), in_float32(net.module), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trace's, of checks that hold for all rows
            model = openvino_alone().convert_model(wrapped, example_input=example)
        shapes = {
            model.inputs[place]: [
                -1 if axis in free.get(path, ()) else length for axis, length in enumerate(shape)
            ]
            for place, (path, shape) in enumerate(
                zip(wrapped.paths, (tensor.shape for tensor in example), strict=True)
            )
        }
        model.reshape(shapes)
    except Exception as error:  # of the trace or of OpenVINO, which have no common base
        what = f"OpenVINO can't convert this {net.name} ({first_line(error)[:200]}); {OTHERWISE}"
        raise ConfigError([Mistake(KEY, what)]) from error
    return model


def save(model: Any, file: Path) -> None:
    """Write the model with its weights as they are."""
    openvino_alone().save_model(model, file, compress_to_fp16=False)


def places(tree: Any, path: Place = ()) -> Iterator[Place]:
    """Paths of all tensors in nested arguments."""
    if isinstance(tree, torch.Tensor):
        yield path
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    elif isinstance(tree, list | tuple):
        for key, value in enumerate(tree):
            yield from places(value, (*path, key))


class OfTensors(torch.nn.Module):
    """A network in float32 as a function of tensors alone; all else is as it was recorded."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.module = net.module  # whose weights a trace looks for here
        self.call, self.arguments = net.call, net.arguments
        self.paths = list(places(net.arguments))

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        recorded = [at(self.arguments, path) for path in self.paths]
        given = {
            path: tensor if like.is_floating_point() else tensor.to(like.dtype)
            for path, tensor, like in zip(self.paths, tensors, recorded, strict=True)
        }
        return self.call(**with_leaves(self.arguments, given)).float()


@contextmanager
def in_float32(module: torch.nn.Module) -> Iterator[None]:
    """A network in float32 inside of the block: OpenVINO reads weights in bfloat16 wrongly and
    ends with a segmentation fault when it writes large ones (2026.4)."""
    dtype = next(module.parameters()).dtype
    module.float()
    try:
        yield
    finally:
        module.to(dtype)  # what was widened comes back as it was


def arrays(paths: Sequence[Place], given: Mapping[str, Any]) -> dict[int, Any]:
    """The tensors in the arguments as OpenVINO takes them: float32, by the places of its inputs."""
    return {place: at(given, path).float().contiguous().numpy() for place, path in enumerate(paths)}


def openvino_alone() -> Any:
    """The package without its telemetry."""
    with without_telemetry():
        import openvino

    return openvino
