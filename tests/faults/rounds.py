"""`render` many times over, quickly: one process imports everything and composes the config once,
and each call is a fork of it that goes on from there, with changes and faults of its own."""

import contextlib
import copy
import gc
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAND_IN = Path(__file__).with_name("stand_in.py")
DEADLINE_S = 120.0


def serve(faults) -> None:
    """Let the run that Hydra composed be as many runs as stdin asks for, a JSON line each."""
    from stand_in import prepare

    import render.api

    real = render.api.Film

    def rounds(composed, declared, asked_for):
        # What is imported late is imported once, too.
        with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(sys.stderr):
            prepare(faults)
            real(changed(composed, {"root": root}), *declared).run(*asked_for)
        gc.freeze()  # or each fork goes over all of it, and copies it
        for line in sys.stdin:
            asked = json.loads(line)
            child = os.fork()
            if child == 0:
                begin(asked)
                return real(changed(composed, asked["changes"]), *declared).run(*asked_for)
            kill_after(child, asked["kill_after"])
            _, status, usage = os.wait4(child, 0)
            megabytes = usage.ru_maxrss / 1024
            print(json.dumps([os.waitstatus_to_exitcode(status), megabytes]), flush=True)

    class Repeated:
        def __init__(self, composed, *declared):
            self.composed, self.declared = composed, declared
            self.folder = Path(composed["root"], composed["name"])

        def run(self, *asked_for):
            rounds(self.composed, self.declared, asked_for)

    render.api.Film = Repeated


def kill_after(child: int, seconds: float | None) -> None:
    """A SIGKILL after so many seconds, unless it has ended."""
    until = time.monotonic() + (seconds or 0.0)
    while seconds and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until:
            os.kill(child, signal.SIGKILL)
            return
        time.sleep(0.0005)


def begin(asked: dict) -> None:
    """Sets up a fork: where its output goes, and its faults."""
    from stand_in import Faults, prepare

    for number, stream in ((1, "out"), (2, "err")):
        target = os.open(f"{asked['logs']}.{stream}", os.O_WRONLY | os.O_CREAT)
        os.dup2(target, number)
        os.close(target)
    prepare(Faults(**asked["faults"]))


def changed(composed, changes):
    """The composed config with other values at dotted paths."""
    composed = copy.deepcopy(dict(composed))
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        holder = composed
        for part in path:
            holder = holder[part]
        holder[last] = value
    return composed


class Rounds:
    """The process, seen from a test; ended by `close`."""

    def __init__(self, site, *arguments: str, model: str = "stand-in") -> None:
        self.model = model
        self.site, self.said = site, (site.logs / secrets.token_hex(4)).open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(STAND_IN), *arguments],
            cwd=site.here,
            env=site.environment(STAND_IN=json.dumps({"rounds": True, "model": model})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            start_new_session=True,
        )

    def render(self, changes: dict | None = None, kill_after: float | None = None, **faults):
        """One run; the changes are those of the composed config, by dotted path.

        Args:
            kill_after: seconds from its begin to a SIGKILL.
        """
        from outside import Ended

        logs, began = self.site.logs / secrets.token_hex(4), time.monotonic()
        asked = {
            "changes": changes or {},
            "faults": {"model": self.model, **faults},
            "kill_after": kill_after,
            "logs": str(logs),
        }
        for stream in ("out", "err"):
            Path(f"{logs}.{stream}").touch()  # it may be killed before it opens them
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
        answer = self.process.stdout.readline() if ready else ""
        if not answer:
            os.killpg(self.process.pid, signal.SIGKILL)
            said = Path(self.said.name).read_text()
            raise AssertionError(f"no end of the run with {asked}: {said}")
        code, megabytes = json.loads(answer)
        out, err = (Path(f"{logs}.{s}").read_text(errors="replace") for s in ("out", "err"))
        return Ended(code, out, err, time.monotonic() - began, megabytes)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.said.close()
        assert self.process.wait(DEADLINE_S) == 0
