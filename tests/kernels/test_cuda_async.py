"""The host runs ahead of a GPU, with a device without memory in the GPU's place."""

import inspect

import diffusers
import pytest
import torch

from render.kernels.cuda_async import instant_on, keep_sizes_there, keep_steps_here, sent
from render.kernels.patches import Patches

META = torch.device("meta")
SCHEDULERS = ["PNDM", "LMSDiscrete", "DDIM", "DPMSolverMultistep", "EulerDiscrete", "LCM"]


class Pipeline:
    """As much of one as is patched."""

    def __init__(self, scheduler="LMSDiscrete"):
        self.scheduler = getattr(diffusers, f"{scheduler}Scheduler")()
        self.asked = []

    def _get_add_time_ids(self, original, crops, target, dtype):
        self.asked.append((original, crops, target))
        return torch.tensor([[*original, *crops, *target]], dtype=dtype)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_time_steps_stay_in_main_memory(scheduler):
    stock, pipeline = Pipeline(scheduler).scheduler, Pipeline(scheduler)
    patches = Patches()
    keep_steps_here(pipeline.scheduler, patches)
    pipeline.scheduler.set_timesteps(10, device=META)
    stock.set_timesteps(10)
    assert pipeline.scheduler.timesteps.device.type == "cpu"
    assert pipeline.scheduler.timesteps.tolist() == stock.timesteps.tolist()
    taken = [inspect.signature(each.set_timesteps) for each in (pipeline.scheduler, stock)]
    assert taken[0] == taken[1]
    patches.close()
    assert "set_timesteps" not in vars(pipeline.scheduler)


def test_sizes_go_to_the_device_once():
    pipeline = Pipeline()
    keep_sizes_there(pipeline, META, Patches())
    sizes = [pipeline._get_add_time_ids((8, 8), (0, 0), (8, 8), dtype=torch.float16) for _ in "ab"]
    assert sizes[0] is sizes[1]
    assert (sizes[0].device, sizes[0].dtype) == (META, torch.float16)
    assert len(pipeline.asked) == 1


def test_a_time_step_goes_to_the_device_once():
    timestep = torch.tensor(981.5)
    there = instant_on(META, timestep)
    assert (there.device, there.dtype, there.ndim) == (META, torch.float32, 0)
    assert instant_on(META, timestep.clone()) is there
    assert instant_on(META, torch.tensor(980.5)) is not there
    assert instant_on(torch.device("cpu"), timestep) is timestep
    assert instant_on(META, 981) == 981
    rows = torch.tensor([981.5, 981.5])
    assert instant_on(META, rows) is rows


def test_what_is_sent_has_the_dtype_asked_for():
    values = torch.tensor([1.0, 1e-5])
    assert torch.equal(sent(values, torch.device("cpu"), torch.float16), values.half())
