"""Device and dtype, decided without torch but as torch would."""

import pytest
import torch

from render.config.model_group import ModelConfig
from render.config.schema import ComputeConfig
from render.errors import ConfigError
from render.run import devices
from render.run.devices import (
    choose_device,
    choose_dtype,
    cuda_devices,
    gains_by_bfloat16,
    torch_build,
)


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many CUDA devices, and perhaps MPS."""

    def having(cuda=0, mps=False):
        monkeypatch.setattr(devices, "cuda_devices", lambda: cuda)
        monkeypatch.setattr(devices, "has_mps", lambda: mps)

    return having


def model(dtype="auto"):
    return ModelConfig(name="tiny", path="model", steps=4, guidance=7.5, dtype=dtype)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (2, True, "cuda")],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(machine, cuda, mps, chosen):
    machine(cuda, mps)
    assert choose_device(ComputeConfig()) == chosen


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda", "cuda:1"])
def test_a_device_that_is_there_is_taken(machine, device):
    machine(2, True)
    assert choose_device(ComputeConfig(device=device)) == device


@pytest.mark.parametrize(("device", "cuda"), [("mps", 2), ("cuda", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_reported(machine, device, cuda):
    machine(cuda)
    with pytest.raises(ConfigError, match=rf"^compute\.device: {device} is asked for, but .*auto$"):
        choose_device(ComputeConfig(device=device))


@pytest.mark.parametrize(
    ("asked", "models", "device", "chosen"),
    [
        ("auto", "auto", "cpu", "float32"),
        ("auto", "auto", "mps", "float32"),
        ("auto", "auto", "cuda:1", "float16"),
        ("auto", "float32", "cuda", "float32"),
        ("bfloat16", "float32", "cpu", "bfloat16"),
        ("float16", "auto", "mps", "float16"),
    ],
)
def test_the_dtype_is_the_askers_then_the_models_then_the_devices(
    monkeypatch, asked, models, device, chosen
):
    monkeypatch.setattr(devices, "gains_by_bfloat16", lambda: False)
    assert choose_dtype(ComputeConfig(dtype=asked), model(models), device) == chosen


class Driver:
    """NVIDIA's, with one card of such a compute capability."""

    def __init__(self, major, status=0):
        self.major, self.status, self.asked = major, status, []

    def cuInit(self, flags):  # noqa: N802
        return self.status

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = 1
        return 0

    def cuDeviceGet(self, handle, index):  # noqa: N802
        handle._obj.value = 40 + index
        return 0

    def cuDeviceGetAttribute(self, value, attribute, handle):  # noqa: N802
        self.asked.append((attribute, handle.value))
        value._obj.value = self.major
        return 0


@pytest.mark.parametrize(
    ("major", "half", "chosen"),
    [
        (7, "bfloat16", "float16"),
        (8, "bfloat16", "bfloat16"),
        (9, "bfloat16", "bfloat16"),
        (7, "float16", "float16"),
        (9, "float16", "float16"),
    ],
)
def test_a_card_without_arithmetic_for_bfloat16_takes_float16(monkeypatch, major, half, chosen):
    driver = Driver(major)
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: driver)
    assert choose_dtype(ComputeConfig(), model(), "cuda:1", half) == chosen
    assert driver.asked == ([(75, 41)] if half == "bfloat16" else [])
    assert choose_dtype(ComputeConfig(dtype="bfloat16"), model(), "cuda", half) == "bfloat16"


def test_devices_are_those_of_a_driver_that_works(monkeypatch):
    monkeypatch.setattr(devices, "torch_build", lambda key: "13.0")
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: Driver(9))
    assert cuda_devices() == 1
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: Driver(9, status=999))
    assert cuda_devices() == 0
    assert choose_dtype(ComputeConfig(), model(), "cuda", "bfloat16") == "bfloat16"


def test_half_precision_is_refused_on_a_cpu():
    with pytest.raises(ConfigError, match=r"^compute\.dtype: .*use float32 or bfloat16"):
        choose_dtype(ComputeConfig(dtype="float16"), model(), "cpu")


def test_openvino_takes_half_precision_on_a_cpu():
    compute = ComputeConfig(dtype="float16", engine="openvino")
    assert choose_dtype(compute, model(), "cpu") == "float16"


def test_what_is_said_of_torch_is_what_torch_says():
    assert torch_build("cuda") == torch.version.cuda
    assert cuda_devices() == torch.cuda.device_count()


@pytest.mark.parametrize(
    ("vendor", "flags", "gains"),
    [
        ("AuthenticAMD", "fma avx512f avx512_bf16", True),
        ("AuthenticAMD", "fma avx2", False),
        ("GenuineIntel", "fma avx512f avx512_bf16", False),
        ("GenuineIntel", "fma avx512_bf16 amx_bf16 amx_tile", True),
        ("GenuineIntel", "xamx_bf16", False),
    ],
)
def test_bfloat16_is_taken_on_a_cpu_that_is_faster_in_it(
    monkeypatch, tmp_path, vendor, flags, gains
):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\nbugs\t: x\n")
    assert gains_by_bfloat16(cpuinfo) is gains
    assert not gains_by_bfloat16(tmp_path / "none")
    monkeypatch.setattr(devices, "gains_by_bfloat16", lambda: gains)
    chosen = choose_dtype(ComputeConfig(), model(), "cpu")
    assert chosen == ("bfloat16" if gains else "float32")
