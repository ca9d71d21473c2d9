"""`render` with faults that are asked for: python stand_in.py ARGUMENTS, STAND_IN='{"nan": […]}'.

The program is the real one from the command line to ffmpeg; only the denoiser is another, which
paints a picture out of the digest of a frame's spec, quickly, without torch, and fails when it is
asked to. File calls can be written down, and the k-th of them can fail.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import signal
import stat
import sys
import time
import types
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from delays import be_impatient, wait_before
from file_calls import FileCalls


@dataclass
class Faults:
    """The faults to inject. Frames are named by a prompt that has weight in them."""

    model: str = "stand-in"
    """`real`: the model that the config names, with torch."""
    batch: int = 4
    seconds: float = 0.0
    """That a frame takes."""
    blocks: int = 1
    """Side of a picture's squares of one colour; large ones are quick to write and to encode."""
    oom_above: int | None = None
    """More frames than that at a time are out of memory; 0: even one is."""
    nan: list[str] = field(default_factory=list)
    transient: dict[str, int] = field(default_factory=dict)
    """How many tries fail before one goes well."""
    broken: dict[str, str] = field(default_factory=dict)
    """A RuntimeError with this message, at every try; the prompt `*` means all frames."""
    killed: list[str] = field(default_factory=list)
    """The process gets a SIGKILL in the middle of these frames."""
    greedy: list[str] = field(default_factory=list)
    """These frames take memory until there is none left."""
    waits: list[str] = field(default_factory=list)
    """Functions of ours, by their dotted names, that wait long before they do their work."""
    go: str = ""
    """A file; once it is there nothing waits any more."""
    patience: float | None = None
    """Seconds without progress after which ffmpeg counts as hung."""
    calls: str | None = None
    """A file that the file calls are written to, a line each (file_calls.py)."""
    under: str = "."
    """The folder whose files count."""
    call_seconds: float = 0.0
    """That every file call takes longer, so that a kill may fall between any two."""
    fail_call: int | None = None
    """The number, from 1, of the file call that fails …"""
    fail_how: str = "EIO"
    """… with this error, or `KILL`: the process ends there; a write leaves half of its bytes."""
    clock: bool = False
    """Let the time of day jump by years, there and back, whenever someone asks for it."""
    no_sync: list[str] = field(default_factory=list)
    """`folders`, `files`, or both: those that the disk can't sync."""
    rounds: bool = False
    """Compose the config once, then render many times over (rounds.py)."""
    warm: bool = False
    """Be forked for each command (warm.py)."""


def texts_of(spec) -> set[str]:
    return {text for text, weight in spec.prompts if weight > 0}


def picture(spec, width: int, height: int, blocks: int = 1) -> np.ndarray:
    """The picture in place of a rendered one, uint8 (height, width, 3)."""
    from render.store.frame_png import spec_json

    return noise(json.loads(spec_json(spec)), width, height, blocks)


def noise(spec: dict, width: int, height: int, blocks: int = 1) -> np.ndarray:
    """Noise out of the digest of a spec, which may come out of a frame's PNG."""
    anyhow = {
        key: sorted(v, key=json.dumps) if isinstance(v, list | tuple) else v
        for key, v in spec.items()
    }
    digest = hashlib.sha256(json.dumps(anyhow, sort_keys=True).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8]))
    small = generator.integers(0, 256, (height // blocks, width // blocks, 3), dtype=np.uint8)
    return small.repeat(blocks, 0).repeat(blocks, 1)


class StandIn:
    """A `Diffusion` without a model."""

    def __init__(self, recipe, batch: int | None, faults: Faults) -> None:
        self.recipe, self.faults = recipe, faults
        self.batch = batch or faults.batch
        self.rows = self.padded_rows = 0
        self.tried: Counter[str] = Counter()

    def set_batch(self, frames: int) -> None:
        self.batch = frames

    def expect(self, specs, on_text=None, last=True, nodes=None) -> None:
        pass

    def turn_to(self, recipe, images=None) -> None:
        self.recipe = recipe

    def close(self) -> None:
        pass

    def render(self, specs, on_step):
        from render.diffusion.pending_images import Arriving
        from render.errors import OutOfMemory

        faults = self.faults
        if faults.oom_above is not None and len(specs) > faults.oom_above:
            raise OutOfMemory(f"out of memory with {len(specs)} frames at a time")
        texts = set().union(*map(texts_of, specs))
        for step in range(4):
            time.sleep(faults.seconds * len(specs) / 4)
            if step == 2 and texts.intersection(faults.killed):
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 2 and texts.intersection(faults.greedy):
                take_memory()
            on_step(step + 1, 4)
        for text in sorted(texts & faults.transient.keys()):
            self.tried[text] += 1
            if self.tried[text] <= faults.transient[text]:
                raise RuntimeError(f"a passing error, try {self.tried[text]}")
        for text in sorted((texts | {"*"}) & faults.broken.keys()):
            raise RuntimeError(faults.broken[text])
        self.rows += 3 * 4 * len(specs)
        size = self.recipe.width, self.recipe.height
        pictures = [picture(spec, *size, faults.blocks) for spec in specs]
        return Arriving(pictures, [not texts_of(spec) & set(faults.nan) for spec in specs])


def take_memory() -> None:
    """All that can be had, a megabyte at a time, each of them written to."""
    taken = []
    while True:
        taken.append(b"x" * (1 << 20))


def without_a_model(faults: Faults) -> types.ModuleType:
    """A module in place of `render.engines.open_model`; torch is never imported."""
    import render.diffusion.pending_images  # noqa: F401  now: a signal amid an import can be swallowed by Python

    module = types.ModuleType("render.engines.open_model")

    def open_diffusion(source, recipe, device, batch=None, **more):
        return StandIn(recipe, batch, faults)

    module.open_diffusion = open_diffusion
    return module


def without_settings() -> types.ModuleType:
    """A module in place of `render.engines.process_settings`, which would import torch."""
    module = types.ModuleType("render.engines.process_settings")
    module.applied = lambda compute, device: contextlib.nullcontext()
    return module


def without_sync(kinds: list[str]) -> None:
    """Let fsync of such things be an invalid argument, as on some disks of a network."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "folders" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "files"
        if kind in kinds:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    os.fsync = fsync


def with_jumping_clock() -> None:
    """A time of day that is another year's at each look, in turn before and after the true one."""
    import datetime

    import render.files.lock
    import render.report.run_log

    looks = itertools.count(1)
    real = time.time

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls.fromtimestamp(time.time(), zone)

    def jumped() -> float:
        number = next(looks)
        return max(real() + (-1) ** number * number * 86_400 * 400, 1.0)

    time.time, time.time_ns = jumped, lambda: int(jumped() * 1e9)
    for module in (render.files.lock, render.report.run_log):
        module.datetime = Jumping


def prepare(faults: Faults) -> None:
    """Put the faults that are asked for in place."""
    for dotted in faults.waits:
        wait_before(dotted, faults.go)
    if faults.no_sync:
        without_sync(faults.no_sync)
    if faults.clock:
        with_jumping_clock()
    if faults.patience:
        be_impatient(faults.patience)
    if faults.model != "real":
        sys.modules["render.engines.open_model"] = without_a_model(faults)
        sys.modules["render.engines.process_settings"] = without_settings()
    if faults.calls or faults.fail_call or faults.call_seconds:
        FileCalls(
            faults.under,
            faults.fail_call,
            faults.fail_how,
            faults.calls or "",
            faults.call_seconds,
        ).watch()


def asked() -> Faults:
    return Faults(**json.loads(os.environ.get("STAND_IN", "{}")))


if __name__ == "__main__":
    from render.cli.main import main

    faults = asked()
    if faults.warm:
        import warm

        warm.serve()
        faults = asked()
    if faults.rounds:
        from rounds import serve

        serve(faults)
    else:
        prepare(faults)
    sys.exit(main())
