"""Tensors in a model's file that its loader passes over or takes for another kind. Without torch.

Quantised weights come with scales of their own, an adapter's matrices may lie beside the weights
that they change, and a wrapper of training leaves its name in those of all weights. diffusers and
transformers read the names that they know and say nothing: the picture is then another. Only
headers are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from render.errors import Mistake
from render.models.single_file import shapes_in, types_in

SCALES = re.compile(
    r"[._](?:scale_weight|scale_input|weight_scale(?:_inv|_2)?|input_scale|absmax|quant_map|SCB"
    r"|qweight|qzeros|wscales|comfy_quant)$|\.quant_state\.|^(?:.*\.)?scaled_fp8$"
)
"""Names of what belongs to quantised weights: of ComfyUI's scaled files, bitsandbytes, GPTQ, AWQ
and Nunchaku."""
ADAPTERS = re.compile(r"[._]lora[._]|[._]lora_(?:A|B|down|up)\b|\.base_layer\.|[._](?:hada|lokr)_w")
WRAPPERS = re.compile(
    r"(?:^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
    r"|^(module)\."
)
"""Names that torch.compile, FSDP, checkpointing, DeepSpeed and DataParallel put before those of the
network that they wrap."""
WHOLE_NUMBERS = {"I8", "U8", "I16", "U16", "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0"}
"""Types of a weight that mean nothing without scales."""
PLAIN = "give the plain weights, in float16 or bfloat16 (compute.quantised=int8 makes them smaller)"


def mistakes_in_tensors(files: Iterable[Path], key: str = "") -> Iterator[Mistake]:
    """Why files of weights can't be read as what they mean, a line for each file.

    Args:
        key: of the config that gives the file, for errors; the file's own path if it is left out.
    """
    for file in files:
        if why := tensor_flaw(file):
            yield Mistake(key or str(file), f"{file} {why}" if key else why)


def tensor_flaw(file: Path) -> str | None:
    """Why one file's weights can't be read as what they mean, or None."""
    types = types_in(file, "model")
    scales = sorted(name for name in types if SCALES.search(name))
    if scales:
        return f"holds quantised weights, whose scales would be left out ({scales[0]}); {PLAIN}"
    sides = shapes_in(file, "model")
    coded = [n for n, kind in types.items() if kind in WHOLE_NUMBERS and len(sides[n]) > 1]
    if coded:
        return f"holds quantised weights ({sorted(coded)[0]} is {types[sorted(coded)[0]]}); {PLAIN}"
    if added := sorted(name for name in types if ADAPTERS.search(name)):
        return (
            f"holds an adapter's matrices, which would be left out ({added[0]}); give a LoRA in "
            "model.loras, or merge it into the weights first"
        )
    return wrapper_flaw(types)


def wrapper_flaw(names: Iterable[str]) -> str | None:
    """Why no weight would be found under its name, or None: a wrapper's stands before it."""
    found = next((match for name in sorted(names) if (match := WRAPPERS.search(name))), None)
    if found is None:
        return None
    return (
        "holds weights under the name that a wrapper of training puts before them "
        f"({found.string}), so they would not be found; save it again with "
        f"{(found[1] or found[2]) + '.'!r} taken out of every name"
    )
