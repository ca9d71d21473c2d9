"""The heap's use of freed memory, seen by the pages that the system hands out."""

import subprocess
import sys

import pytest

from render.kernels import cpu_malloc

PAGES = """
import resource
from render.kernels.cpu_malloc import keep_freed
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [b"x" * ({size} + k) for k in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
KEEP = {keep}
print(keep_freed() if KEEP else False, pages())
"""


def measured(keep, size=1_000_000, **environment):
    script = PAGES.replace("{keep}", str(keep)).replace("{size}", str(size))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer, pages = done.stdout.split()
    return answer == "True", int(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize("size", [16_000_000, 70_000_000])
def test_freed_memory_is_used_again_without_asking_the_system(size):
    kept, few = measured(True, size)
    _, many = measured(False, size)
    assert kept
    a_round = 4 * size // 4096
    assert few < 2 * a_round
    assert many > 10 * a_round


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_sets_stays(name):
    assert measured(True, **{name: "" if name == "GLIBC_TUNABLES" else "131072"})[0] is False


GIVEN_BACK = """
import os
from render.kernels.cpu_malloc import give_back, keep_freed
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
keep_freed()
large, above = b"x" * 300_000_000, b"y" * 1_000_000
del large
before = held()
give_back()
print(before - held(), len(above))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_is_free_in_the_midst_of_the_heap_is_given_back():
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_BACK], env={}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[0]) > 250_000_000


def test_another_c_library_stays_as_it_is(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(cpu_malloc.ctypes, "CDLL", missing)
    assert cpu_malloc.keep_freed() is False
    cpu_malloc.give_back()
