"""`render` with faults that are asked for: python stand_in.py ARGUMENTS, STAND_IN='{"nan": […]}'.

The program is the real one from the command line to ffmpeg; only the denoiser is another, which
paints a picture out of the digest of a frame's spec, quickly, without torch, and fails when told
to. File calls can be written down, and the k-th of them can fail.
"""

import errno
import hashlib
import json
import os
import signal
import sys
import time
import types
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

FILE_CALLS = ("open", "write", "pwrite", "fsync", "replace", "rename", "link", "unlink", "mkdir")


@dataclass
class Faults:
    """What goes wrong. Frames are named by a prompt that has weight in them."""

    model: str = "stand-in"
    """`real`: the model that the config names, with torch."""
    batch: int = 4
    seconds: float = 0.0
    """That a frame takes."""
    oom_above: int | None = None
    """More frames than that at a time are out of memory; 0: even one is."""
    nan: list[str] = field(default_factory=list)
    transient: dict[str, int] = field(default_factory=dict)
    """How many tries fail before one goes well."""
    broken: dict[str, str] = field(default_factory=dict)
    """A RuntimeError with this message, at every try; the prompt `*` means all frames."""
    killed: list[str] = field(default_factory=list)
    """The process gets a SIGKILL in the middle of these frames."""
    calls: str | None = None
    """A file for the names of the file calls inside of the folder the command is called in."""
    fail_call: int | None = None
    """The number, from 1, of the file call that fails …"""
    fail_how: str = "EIO"
    """… with this error, or `KILL`: the process ends there; a write leaves half of its bytes."""


def asked() -> Faults:
    """The faults in the environment."""
    return Faults(**json.loads(os.environ.get("STAND_IN", "{}")))


def texts_of(spec) -> set[str]:
    return {text for text, weight in spec.prompts if weight > 0}


def picture(spec, width: int, height: int) -> np.ndarray:
    """Noise out of the spec's digest, uint8 (height, width, 3)."""
    digest = hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8]))
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


class StandIn:
    """A `Diffusion` without a model."""

    def __init__(self, recipe, batch: int | None, faults: Faults) -> None:
        self.recipe, self.faults = recipe, faults
        self.batch = batch or faults.batch
        self.rows = self.padded_rows = 0
        self.tried: Counter[str] = Counter()

    def set_batch(self, frames: int) -> None:
        self.batch = frames

    def close(self) -> None:
        pass

    def render(self, specs, on_step):
        from render.errors import NonFiniteFrames, OutOfMemory

        faults = self.faults
        if faults.oom_above is not None and len(specs) > faults.oom_above:
            raise OutOfMemory(f"out of memory with {len(specs)} frames at a time")
        texts = set().union(*map(texts_of, specs))
        for step in range(4):
            time.sleep(faults.seconds * len(specs) / 4)
            if step == 2 and texts.intersection(faults.killed):
                os.kill(os.getpid(), signal.SIGKILL)
            on_step(step + 1, 4)
        for text in sorted(texts & faults.transient.keys()):
            self.tried[text] += 1
            if self.tried[text] <= faults.transient[text]:
                raise RuntimeError(f"a passing error, try {self.tried[text]}")
        for text in sorted((texts | {"*"}) & faults.broken.keys()):
            raise RuntimeError(faults.broken[text])
        self.rows += 3 * 4 * len(specs)
        size = self.recipe.width, self.recipe.height
        pictures = {place: picture(spec, *size) for place, spec in enumerate(specs)}
        bad = [p for p, spec in enumerate(specs) if texts_of(spec).intersection(faults.nan)]
        if bad:
            good = {p: pixels for p, pixels in pictures.items() if p not in bad}
            raise NonFiniteFrames(tuple(bad), good)
        return list(pictures.values())


def without_a_model(faults: Faults) -> None:
    """Let `render.diffusion` be the stand-in; torch is never imported."""
    module = types.ModuleType("render.diffusion")

    def open_diffusion(source, recipe, device, batch=None, on_text=None):
        return StandIn(recipe, batch, faults)

    module.open_diffusion = open_diffusion
    sys.modules["render.diffusion"] = module


class FileCalls:
    """Counts the file calls under a folder, writes them down, and lets one fail."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder, self.faults, self.count = str(folder), faults, 0
        self.real = {name: getattr(os, name) for name in FILE_CALLS}
        self.names: dict[int, str] = {}
        self.log = open(faults.calls, "a") if faults.calls else None  # noqa: SIM115

    def watch(self) -> None:
        for name in FILE_CALLS:
            setattr(os, name, self.counted(name))

    def place(self, target) -> str | None:
        """A path under the folder, of a path or of a descriptor opened there."""
        if isinstance(target, int):
            return self.names.get(target)
        path = os.path.abspath(os.fsdecode(target))
        return path.removeprefix(self.folder + os.sep) if path.startswith(self.folder) else None

    def counted(self, name: str):
        def call(*arguments, **options):
            where = self.place(arguments[0])
            if where is not None:
                self.notice(name, where, arguments)
            result = self.real[name](*arguments, **options)
            if name == "open":
                self.names.pop(result, None)
                if where is not None:
                    self.names[result] = where
            return result

        return call

    def notice(self, name: str, where: str, arguments) -> None:
        self.count += 1
        onto = self.place(arguments[1]) if name in ("replace", "rename", "link") else None
        if self.log:
            line = [self.count, name, where, onto] + ([arguments[1]] if name == "open" else [])
            self.log.write(json.dumps(line) + "\n")
            self.log.flush()
        if self.count == self.faults.fail_call:
            self.fail(name, where, arguments)

    def fail(self, name: str, where: str, arguments) -> None:
        if name in ("write", "pwrite"):
            self.real[name](arguments[0], arguments[1][: len(arguments[1]) // 2], *arguments[2:])
        if self.faults.fail_how == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.faults.fail_how)
        raise OSError(number, os.strerror(number), where)


def prepare() -> None:
    """Put the faults that are asked for in place."""
    faults = asked()
    if faults.model != "real":
        without_a_model(faults)
    if faults.calls or faults.fail_call:
        FileCalls(Path.cwd(), faults).watch()


if __name__ == "__main__":
    from render.__main__ import main

    prepare()
    sys.exit(main())
