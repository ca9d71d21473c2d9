"""Which device a run uses and in which dtype it computes, decided without importing torch.

The dtype is part of a frame's identity, so a plan has to know it; a plan never imports torch.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import runpy
from contextlib import suppress
from pathlib import Path
from typing import Any

from render.config.model_group import ModelConfig
from render.config.schema import ComputeConfig
from render.engines.registry import abilities_named
from render.errors import ConfigError, Mistake

CUDA_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
CAPABILITY_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
AMPERE = 8


def choose_device(compute: ComputeConfig) -> str:
    """The device asked for, or for `auto` CUDA if it is there, then MPS, then the CPU.

    Raises:
        ConfigError: a device is asked for by name and this machine does not have it.
    """
    if compute.device == "auto":
        return "cuda" if cuda_devices() else "mps" if has_mps() else "cpu"
    place, _, index = compute.device.partition(":")
    if place == "cuda" and cuda_devices() <= int(index or 0):
        raise missing(compute.device, f"{cuda_devices()} CUDA devices are usable from this torch")
    if place == "mps" and not has_mps():
        raise missing(compute.device, "MPS needs macOS on Apple silicon")
    return compute.device


def missing(device: str, why: str) -> ConfigError:
    """The error for a device that is not there."""
    what = f"{device} is asked for, but {why}; use compute=auto"
    return ConfigError([Mistake("compute.device", what)])


def choose_dtype(
    compute: ComputeConfig, model: ModelConfig, device: str, half: str = "float16"
) -> str:
    """`compute.dtype`, else the model's, else `half` on CUDA (float16 on cards that have nothing
    else of 16 bits), bfloat16 on a CPU that is faster in it, and float32 elsewhere.

    Args:
        half: the 16-bit dtype that the model's family was made for.

    Raises:
        ConfigError: float16 on a CPU, where torch has hardly any arithmetic for it, or an engine
            that can't be imported.
    """
    named = compute.dtype if compute.dtype != "auto" else model.dtype
    halved_on_cpu = named == "float16" and device == "cpu"
    if halved_on_cpu and not abilities_named(compute.engine).float16_on_cpus:
        what = "float16 is slow on a CPU; use float32 or bfloat16"
        raise ConfigError([Mistake("compute.dtype", what)])
    if named != "auto":
        return named
    if device == "cpu":
        return "bfloat16" if gains_by_bfloat16() else "float32"
    if not device.startswith("cuda"):
        return "float32"
    return half if half != "bfloat16" or multiplies_bfloat16(device) else "float16"


def gains_by_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bfloat16 faster than float32.

    It does by matrix units (AMX) and on AMD since Zen 4. Intel's AVX512-BF16 alone does not: half
    of float32's speed was measured (benchmarks/RESULTS.md).
    """
    try:
        cpu = cpuinfo.read_text()
    except OSError:
        return False
    flags = set(cpu.partition("\nflags")[2].partition("\n")[0].split())
    return "amx_bf16" in flags or ("AuthenticAMD" in cpu and "avx512_bf16" in flags)


def cuda_devices() -> int:
    """How many CUDA devices the driver has, if the installed torch was built for CUDA."""
    driver = cuda_driver() if torch_build("cuda") is not None else None
    count = ctypes.c_int(0)
    answer = driver is not None and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if answer else 0


def multiplies_bfloat16(device: str) -> bool:
    """Whether a CUDA device has arithmetic for it, as NVIDIA's have since Ampere (compute
    capability 8); also where the driver does not report it."""
    driver, handle, major = cuda_driver(), ctypes.c_int(0), ctypes.c_int(0)
    index = int(device.partition(":")[2] or 0)
    answer = (
        driver is not None
        and driver.cuDeviceGet(ctypes.byref(handle), index) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(major), CAPABILITY_MAJOR, handle) == 0
    )
    return not answer or major.value >= AMPERE


def cuda_driver() -> Any:
    """NVIDIA's driver, ready to be asked; None if there is none."""
    for name in CUDA_LIBRARIES:
        with suppress(OSError):
            driver = ctypes.CDLL(name)
            if driver.cuInit(0) == 0:
                return driver
    return None


def has_mps() -> bool:
    """Apple's GPU: every torch for macOS on arm64 has it."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def torch_build(key: str) -> object:
    """A value of torch/version.py (`cuda`: the CUDA version or None), read as a file of its own."""
    found = importlib.util.find_spec("torch")
    version = Path(found.origin).with_name("version.py") if found and found.origin else None
    return runpy.run_path(str(version)).get(key) if version and version.is_file() else None
