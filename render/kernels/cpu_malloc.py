"""The heap of a process that computes on a CPU: what a layer frees, the next one gets.

Left to itself glibc gives freed memory back to the system, which hands it out again page by page,
cleared: a fifth of a storybook row's time, and of a large picture's decoding.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

SETTINGS = {-4: 0, -1: 1 << 30}
"""M_MMAP_MAX: blocks that are taken from elsewhere; M_TRIM_THRESHOLD: bytes that it may keep."""


def keep_freed() -> bool:
    """Let the heap keep what is freed; False where it is not glibc's, or set by the environment."""
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    set_option = of_glibc("mallopt")
    if set_option is None:
        return False
    set_now = [set_option(option, value) for option, value in SETTINGS.items()]
    return all(set_now)


def give_back() -> None:
    """Give the system what is free by now, after something large that will not come again."""
    trim = of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None if that is not glibc."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):
        return None
    return found
