"""A function that waits before it does its work, and an ffmpeg that is not waited for long."""

import functools
import os
import pkgutil
import sys
import time

WAIT_S = 60.0


def wait_before(dotted: str, go: str = "") -> None:
    """Let a function of `render` say on stderr that it is called, and wait before its work: long,
    or until there is a file called `go`."""
    place, _, name = dotted.rpartition(".")
    holder = pkgutil.resolve_name(place)
    real = getattr(holder, name)

    def waiting(*arguments, **options):
        print(f"waiting before {dotted}", file=sys.stderr, flush=True)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until and not os.path.exists(
            go
        ):  # a signal just before a sleep begins does not end it
            time.sleep(0.05)
        return real(*arguments, **options)

    setattr(holder, name, waiting)


def be_impatient(seconds: float) -> None:
    """Let an ffmpeg count as hung after so many seconds without progress, not minutes."""
    import render.run.video_step

    render.run.video_step.encode = functools.partial(render.run.video_step.encode, patience=seconds)
