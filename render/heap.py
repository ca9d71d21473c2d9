"""The heap of a process that computes on a CPU: what a layer frees, the next one gets.

Left to itself glibc gives freed memory back to the system, which hands it out again page by page,
cleared: a fifth of a storybook row's time, and of a large picture's decoding.
"""

from __future__ import annotations

import ctypes
import os

SETTINGS = {-4: 0, -1: 1 << 30}
"""M_MMAP_MAX: blocks that are taken from elsewhere; M_TRIM_THRESHOLD: bytes that it may keep."""


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
