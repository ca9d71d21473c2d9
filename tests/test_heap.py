"""What the heap does with freed memory, seen by the pages that the system hands out."""

import subprocess
import sys

import pytest

from render import heap

PAGES = """
import resource
from render.heap import keep_freed
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [b"x" * (16_000_000 + k) for k in range(4)]  # 16 MB each
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
KEEP = {keep}
print(keep_freed() if KEEP else False, pages())
"""


def told(keep, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PAGES.replace("{keep}", str(keep))],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer, pages = done.stdout.split()
    return answer == "True", int(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_used_again_without_asking_the_system():
    kept, few = told(True)
    _, many = told(False)
    assert kept
    a_round = 4 * 16_000_000 // 4096
    assert few < 2 * a_round
    assert many > 10 * a_round


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_sets_stays(name):
    assert told(True, **{name: "" if name == "GLIBC_TUNABLES" else "131072"})[0] is False


def test_another_c_library_stays_as_it_is(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(heap.ctypes, "CDLL", missing)
    assert heap.keep_freed() is False
