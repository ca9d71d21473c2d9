"""A disk of few bytes over a site's `outputs`, in a mount namespace of its own: nothing to unmount.

A process holds the namespace; `render` is called inside of it, and what it wrote is read through
that process's view of the file system.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path


def holder(over: Path, kilobytes: int) -> subprocess.Popen:
    """A process in whose view a tmpfs lies over a folder; ends when its stdin does."""
    mount = 'mount -t tmpfs -o "size=$1k,mode=777" tmpfs "$0" && echo mounted && exec cat'
    kind = ["-m"] if os.geteuid() == 0 else ["-m", "-r"]
    return subprocess.Popen(
        ["unshare", *kind, "sh", "-c", mount, str(over), str(kilobytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def reason_for_none() -> str:
    """Why there can be no small disk here; nothing if there can."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return "a small disk takes unshare and nsenter"
    with holder(Path("/mnt"), 100) as process:
        _, said = process.communicate()
    return f"a small disk can't be mounted: {said.decode().strip()}" if process.returncode else ""


@contextmanager
def small_disk(site, kilobytes: int):
    """Let the site's `outputs` be a disk of so many kilobytes; gives its path from here."""
    over = site.here / "outputs"
    over.mkdir(exist_ok=True)
    with holder(over, kilobytes) as process:
        assert process.stdout.readline() == b"mounted\n", process.stderr.read()
        users = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        there = ["sh", "-c", 'cd "$0" && exec "$@"', str(site.here)]
        site.prefix = ["nsenter", "-t", str(process.pid), "-m", *users, *there]
        site.root = Path(f"/proc/{process.pid}/root{over}")
        try:
            yield site.root
        finally:
            site.prefix, site.root = [], over
            process.stdin.close()
