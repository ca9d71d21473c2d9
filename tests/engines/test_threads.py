"""Threads to compute with: cores by affinity, topology and quota, or what a person says."""

import subprocess
import sys

import pytest
import torch
from command_line import Place
from films import composed

from render.config.parse import parse
from render.engines.threads import allowed_processors, threads_for, usable_cores
from render.errors import ConfigError

TOP = "sys/fs/cgroup"
V1 = {"proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n"}
V2 = {"proc/self/cgroup": "0::/slice/job\n"}


def machine(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def siblings(*lists):
    return {
        f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list": f"{given}\n"
        for number, given in enumerate(lists)
    }


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 4),
        (siblings("0-1", "0-1", "2-3", "2-3"), 2),
        (siblings("0,64", "1,65", "2,66", "3,67"), 4),
        (V2 | {f"{TOP}/slice/job/cpu.max": "150000 100000\n"}, 2),
        (V2 | {f"{TOP}/slice/job/cpu.max": "max 100000\n"}, 4),
        (V2 | {f"{TOP}/slice/cpu.max": "300000 100000\n"}, 3),
        (V2 | {f"{TOP}/cpu.max": "10000 100000\n"}, 1),
        (V2 | {f"{TOP}/slice/job/cpu.max": "nonsense"}, 4),
        (V1 | {f"{TOP}/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
               f"{TOP}/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 1),
        (V1 | {f"{TOP}/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
               f"{TOP}/cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2),
        (V1 | {f"{TOP}/cpu,cpuacct/job/cpu.cfs_quota_us": "-1\n",
               f"{TOP}/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 4),
    ],
    ids=["nothing known", "hyperthreads", "half of them allowed", "quota rounded up", "no quota",
         "quota of a group above", "less than one", "nonsense", "version 1", "version 1 in a "
         "container", "version 1 without"],
)  # fmt: skip
def test_cores_are_counted_as_the_kernel_says(tmp_path, files, cores):
    assert usable_cores(range(4), machine(tmp_path, files)) == cores


def test_a_process_that_may_use_one_processor_has_one_core(tmp_path):
    assert usable_cores({3}, machine(tmp_path, siblings("0", "1", "2", "3"))) == 1
    assert usable_cores(set(), tmp_path) == 1


def test_auto_are_the_cores_unless_openmp_has_a_number(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_for("auto") == usable_cores(allowed_processors())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_for("auto") is None
    assert threads_for(2) == 2


@pytest.mark.parametrize("written", [0, -1, 1025, 1.5, "many", True, None])
def test_what_is_no_number_of_threads_is_refused(tmp_path, written):
    given = r"^compute\.threads: a whole number from 1 to 1024 or auto, not [^\n]*$"
    with pytest.raises(ConfigError, match=given):
        parse(composed(tmp_path, tmp_path, {"compute.threads": written}))


@pytest.mark.parametrize(("written", "threads"), [("auto", 1), (2, 2)])
def test_a_run_computes_with_the_threads_of_its_config(place: Place, written, threads):
    """In a process of its own: the tests around it stay on one."""
    call = ("+timeline=t", f"compute.threads={written}", "output=frames", "scheduler.steps=1")
    running = place.start(*call, then=lambda: print("threads", torch.get_num_threads()))
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    assert f"threads {threads}\n" in out


def test_the_tests_themselves_compute_with_one_thread():
    given = "import os; print(os.environ['OMP_NUM_THREADS'])"
    done = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1
    assert torch.get_num_threads() == 1
