"""The verdict on a planned frame: whether its picture is there, and if not, why.

One function, `judge`, decides it without side effects. A frame is kept only if its file is whole
and carries the digest that the plan asks for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from render.files.received_json import parsed
from render.plan.frame_plan import PlannedFrame
from render.store.frame_png import Found, inspect, spec_json
from render.store.store import frame_path, same_file, stored_path
from render.text import shortened
from render.timeline.spec import FrameSpec

LONGEST_REASON = 200  # characters; the names in it come out of a file
DECODED = 200  # frames of a film that are decoded when it is looked at, evenly spread


class State(Enum):
    """The state of a planned frame before work starts."""

    KEPT = "kept"
    """The picture is there, whole and proven."""
    NEW = "new"
    """Nothing is there."""
    STALE = "stale"
    """A whole frame that render made is there, but of another spec."""
    CORRUPT = "corrupt"
    """The file that is there is no whole frame."""
    FOREIGN = "foreign"
    """Something we did not write stands under the frame's name; it is left alone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of one frame and why; `stored`: its picture is whole in the store."""

    frame: PlannedFrame
    state: State
    reason: str
    stored: bool
    in_place: bool
    """The file under the frame's name already is that picture."""
    before: str = ""
    """The digest of another whole frame that stands under the frame's name."""


def judge(
    frame: PlannedFrame, store: Path, frames: Path, size: tuple[int, int], decode: bool = True
) -> Verdict:
    """The verdict on a frame; the only place where it is decided.

    Args:
        decode: whether the pixels of what is there are decoded, too.
    """
    stored, shown = stored_path(store, frame.digest), frame_path(frames, frame.index)
    kept = proof(inspect(stored, size, decode), frame.digest)
    if kept is None and same_file(stored, shown):
        return Verdict(frame, State.KEPT, "", True, True)
    here = inspect(shown, size, decode)
    flaw = proof(here, frame.digest)
    elsewhere = "" if kept in (None, MISSING) else f"in the store: {kept}"
    if here is not None and flaw is None:
        return Verdict(frame, State.KEPT, elsewhere, kept is None, True)
    state, reason = misfit(here, flaw, frame, shown)
    before = str(here.digest) if here and state is State.STALE else ""
    if kept is None and state is not State.FOREIGN:
        cause = f"{reason}; taken from the store" if reason else FROM_THE_STORE
        return Verdict(frame, State.KEPT, cause, True, False, before)
    if state is State.NEW and elsewhere:
        state, reason = State.CORRUPT, elsewhere
    return Verdict(frame, state, reason, kept is None, False, before)


def judge_all(
    planned: Sequence[PlannedFrame], store: Path, frames: Path, size: tuple[int, int]
) -> list[Verdict]:
    """`judge` for a whole film. The folders are listed once: a frame under whose names nothing can
    be is new without a file call, which is most of a long film's first plan.

    Of a long film only some frames are decoded, evenly spread; the encoder decodes them all.
    """
    shards, shown = names_in(store), names_in(frames)
    every = -(-len(planned) // DECODED)  # rounded up
    return [
        judge(frame, store, frames, size, frame.index % every == 0)
        if frame.digest[:2] in shards or f"frame_{frame.index:06d}.png" in shown
        else Verdict(frame, State.NEW, "", False, False)
        for frame in planned
    ]


def names_in(folder: Path) -> set[str]:
    """The names in a folder, none if there is no such folder."""
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


MISSING, FROM_THE_STORE = "missing", "from the store"
ANOTHER_PICTURE = "changed: the picture"
"""The beginning of the reason of a frame of another size or mode."""
ANOTHER_RECIPE = "changed: model, scheduler, steps, blend, speed or a LoRA"
"""The reason of a frame whose spec is the same, so that something that all frames share is not."""


def proof(found: Found | None, digest: str) -> str | None:
    """None if the file proves to be the frame with this digest, else what is wrong with it."""
    if found is None:
        return MISSING
    return found.flaw or (None if found.digest == digest else "is another frame")


def misfit(
    here: Found | None, flaw: str | None, frame: PlannedFrame, shown: Path
) -> tuple[State, str]:
    """State and reason of a name under which the wanted frame is not."""
    if here is None:
        return State.NEW, ""
    if here.whole and here.digest:
        flaw = here.flaw and f"{ANOTHER_PICTURE} {here.flaw}"
        return State.STALE, flaw or changed_fields(here.spec, frame.spec)
    if here.whole or not shown.is_file() or shown.is_symlink():
        return State.FOREIGN, "is a picture without our proof" if here.whole else str(flaw)
    return State.CORRUPT, str(flaw)


def changed_fields(written: str | None, wanted: FrameSpec) -> str:
    """Which fields of the spec are others than those the stale frame was rendered from."""
    try:
        before = parsed(written or "")
    except ValueError:
        before = None
    if not isinstance(before, dict):
        return "changed: rendered from another spec"
    after = json.loads(spec_json(wanted))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    listed = shortened(", ".join(names), LONGEST_REASON)
    return f"changed: {listed}" if names else ANOTHER_RECIPE
