"""A control group that may have so much memory and no more, as a container has."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TREES = (
    ("sys/fs/cgroup", "memory.max", ""),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory"),
)
"""Version 2, then 1: where groups lie, the file of the limit, and the controller of our own."""


@contextmanager
def memory_group(megabytes: int) -> Iterator[list[str]]:
    """Words that, before a command, put it into a group of its own; skips where there can't be
    any."""
    group, limit = made()
    try:
        (group / limit).write_text(str(megabytes << 20))
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        group.rmdir()


def made() -> tuple[Path, str]:
    """A new group below our own, and the name of its limit."""
    ours = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for tree, limit, controller in TREES:
        for _, controllers, path in ours:
            group = Path("/", tree, path.lstrip("/"), f"render-{secrets.token_hex(4)}")
            if controller in controllers.split(",") and group.parent.is_dir():
                try:
                    group.mkdir()
                except OSError:
                    continue
                if os.access(group / limit, os.W_OK):
                    return group, limit
                group.rmdir()
    pytest.skip("no control group with a limit of its own can be made here")
