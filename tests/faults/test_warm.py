"""A fork in place of a process that begins by itself differs from it in nothing that counts."""

import os
import signal
from pathlib import Path

import pytest
from outside import Site

FILM = [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}]
SIGNALS = ("SigBlk", "SigIgn", "Umask", "Threads")
OF_LIBC = 0b11 << 31  # signals 32 and 33, which libc catches for itself once a thread needs it


def seen(site, **env):
    """A run at work, as the system shows it."""
    run = site.start("+timeline=t", "output.fps=1", env=env, seconds=60.0)
    run.until(lambda: "loading" in run.said("err"))
    place = Path(f"/proc/{run.pid}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    environment = set((place / "environ").read_bytes().split(b"\0"))
    found = {
        "status": {name: status[name].strip() for name in SIGNALS},
        "caught": int(status["SigCgt"], 16) & ~OF_LIBC,
        "parent": int(status["PPid"]),
        "leads": (os.getsid(run.pid), os.getpgid(run.pid)) == (run.pid, run.pid),
        "limits": (place / "limits").read_text(),
        "folder": (place / "cwd").readlink(),
        "files": sorted(path.name for path in (place / "fd").iterdir() if int(path.name) < 3),
        "counted": site.processes() == [run.pid],
    }
    forked = not any(name.startswith(b"HOME=" + bytes(site.folder)) for name in environment)
    run.signal(signal.SIGTERM)
    ended = run.wait()
    assert (ended.code, site.processes()) == (143, [])
    return forked, found, (ended.err, ended.out)


def test_a_fork_is_as_a_process_of_its_own(site):
    site.timeline("t", FILM)
    before = os.umask(0o027)
    try:
        forked, quick, said = seen(site)
        other, own, wanted = seen(site, PYTHONHASHSEED="1", name="b")
    finally:
        os.umask(before)
    assert (forked, other) == (True, False)
    assert quick == own
    assert quick["parent"] == os.getpid()
    assert quick["leads"]
    assert quick["counted"]
    assert said == wanted


def test_a_fork_that_is_left_behind_is_found(tmp_path):
    site = Site(tmp_path)
    site.timeline("t", FILM)
    run = site.start("+timeline=t", seconds=60.0)
    run.until(lambda: "loading" in run.said("err"))
    with pytest.raises(AssertionError, match="left behind"):
        site.close(patience=0.0)
    assert run.wait().code == -signal.SIGKILL
