"""The heap of a process that computes on a CPU: what a layer frees, the next one gets.

Left to itself glibc gives freed memory back to the system, which hands it out again page by page,
cleared: a fifth of a storybook row's time. What is larger than 32 MiB, its limit, still goes that
way.
"""

from __future__ import annotations

import ctypes
import os

SETTINGS = {-3: 32 << 20, -1: 1 << 30}
"""M_MMAP_THRESHOLD: bytes that are taken from the heap; M_TRIM_THRESHOLD: what it may keep."""


def keep_freed() -> bool:
    """Let the heap keep what is freed; False where it is not glibc's, or set by the environment."""
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    set_now = [set_option(option, value) for option, value in SETTINGS.items()]
    return all(set_now)
