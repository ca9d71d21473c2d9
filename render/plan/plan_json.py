"""plan.json and what stands beside it: the plan of the frames on disk, and the one that was asked.

A run freezes its plan in plan.json. `mode=plan` writes there only where no run has been; beside a
run's plan it writes plan.next.json, which the next run removes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from render.files.atomic import is_there, write_if_changed, write_whole
from render.files.ownership import is_ours, make_way, read_head
from render.files.received_json import parsed
from render.plan.finish import Finish, shown_pictures
from render.plan.frame_plan import FramePlan, PlannedFrame, early_entry, picture_entry

TRACES = (".lock", "frames", "run.json", "render.log")
"""A folder with one of these has seen a run; the first is there before the run's plan is."""


class ShownFilm(NamedTuple):
    """The film that a folder shows, as its plan.json has it."""

    rate: str
    digest: str
    shared: Mapping[str, object] = {}
    """All that the frames share: the recipe's entry and the LoRAs; empty if it is not known."""


def shown_film(folder: Path) -> ShownFilm | None:
    """The film that a folder shows; None if its plan.json does not say."""
    try:
        head = read_head(folder / "plan.json").decode(errors="replace")
    except OSError:
        return None
    found = re.search(r'^ "rate": "([^"]*)",\n "count": \d+,\n "digest": "(\w*)",$', head, re.M)
    return ShownFilm(found[1], found[2], shared_by_frames(head)) if found else None


def shared_by_frames(head: str) -> Mapping[str, object]:
    """The recipe's entry and the LoRAs of a plan.json, by the beginning of its text."""
    opened, end, _ = head.partition(',\n "frames": ')
    try:
        content = parsed(opened + "}") if end else None
    except ValueError:
        content = None
    recipe = content.get("recipe") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(recipe, dict):
        return {}
    return shared_entry(recipe, content.get("loras", {}))


def shared_entry(recipe: Mapping[str, object], loras: object) -> dict[str, object]:
    """All that frames of a film share, by key; the keys of a speed one by one."""
    speed = recipe.get("shortcuts", {})
    plain = {key: value for key, value in recipe.items() if key != "shortcuts"}
    return {**plain, **(speed if isinstance(speed, dict) else {}), "loras": loras}


def freeze(folder: Path, plan: FramePlan, name: str, warn: Callable[[str], None]) -> None:
    """Write the plan by which a run renders; the caller holds the folder."""
    write(folder, plan_files(plan, name), warn)
    drop_next(folder)


def keep_asked(folder: Path, plan: FramePlan, name: str, warn: Callable[[str], None]) -> Path:
    """Write the plan that `mode=plan` was asked for; return where it stands."""
    current, asked = folder / "plan.json", folder / f"{NEXT}.json"
    files = plan_files(plan, name)
    if not any((folder / trace).exists() for trace in TRACES):
        write(folder, files, warn)
        return current
    if all(same(folder / file, content) for file, content in files.items()):
        drop_next(folder)
        return current
    write(folder, plan_files(plan, name, NEXT), warn)
    return asked


def write(folder: Path, files: Mapping[str, bytes], warn: Callable[[str], None]) -> None:
    """Write files of a plan, and set aside what stands under their names and is not ours.

    However this ends, a plan never names the frames of another one: until the frames' own file is
    there, they stand inside of the plan.
    """
    (head, content), *beside = files.items()
    for name, lines in beside:
        names_it = content.endswith(f' "frames": {json.dumps(name)}\n}}\n'.encode())
        if names_it and is_there(folder / head) and not same(folder / head, content):
            make_way(folder / head, warn)
            write_whole(folder / head, in_one(content, lines))
        make_way(folder / name, warn)
        write_if_changed(folder / name, lines)
    make_way(folder / head, warn)
    write_if_changed(folder / head, content)


def in_one(head: bytes, lines: bytes) -> bytes:
    """A plan that names a file of frames, with the frames inside of it."""
    frames = b",\n  ".join(lines.removesuffix(b"\n").split(b"\n"))
    return head.rpartition(b' "frames": ')[0] + b' "frames": [\n  ' + frames + b"\n ]\n}\n"


def same(path: Path, content: bytes) -> bool:
    """Whether a file has this content; its size is compared before it is read."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != len(content):
        return False
    return path.read_bytes() == content


def drop_next(folder: Path) -> None:
    """Remove a plan of `mode=plan` that is no longer the next one."""
    for path in (folder / f"{NEXT}.json", folder / f"{NEXT}.jsonl"):
        if path.is_file() and not path.is_symlink() and is_ours(path):
            path.unlink(missing_ok=True)


INLINE_FRAMES = 20_000  # longer plans keep their frames in a file beside plan.json
NEXT = "plan.next"  # the plan of `mode=plan` beside the one by which frames were rendered
READABLE = json.JSONEncoder(ensure_ascii=False)


def plan_files(plan: FramePlan, name: str, stem: str = "plan") -> dict[str, bytes]:
    """plan.json (and, for a long film, the file of its frames), byte-identical for equal plans.

    Args:
        name: the film's.
        stem: the files', without suffix.
    """
    long = len(plan.frames) > INLINE_FRAMES
    frames_name = f"{stem}.jsonl"
    keyframes = set(plan.keyframes)
    shown = digests_shown(plan)
    lines = [
        READABLE.encode(entry(frame, frame.index in keyframes, shown.get(frame.index, ())))
        for frame in plan.frames
    ]
    head = {
        "name": name,
        "fps": as_number(plan.fps),
        "rate": str(plan.fps),
        "count": len(plan.frames),
        "digest": plan.digest,
        "recipe": plan.recipe.entry(),
        **({"shown": finish_entry(plan, plan.finish)} if plan.finish else {}),
        **({"loras": dict(plan.loras)} if plan.loras else {}),
        **({"unmeasured": len(plan.unmeasured)} if plan.unmeasured else {}),
        **({"loop": True} if plan.loop else {}),
    }
    frames = json.dumps(frames_name) if long else "[\n  " + ",\n  ".join(lines) + "\n ]"
    opened = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    files = {f"{stem}.json": f'{opened},\n "frames": {frames}\n}}\n'.encode()}
    return files | ({frames_name: ("\n".join(lines) + "\n").encode()} if long else {})


def digests_shown(plan: FramePlan) -> dict[int, list[str]]:
    """The digests of the pictures that are made of frames, in order, by the frame at or before
    which each is shown; empty for a film that shows its frames."""
    found: dict[int, list[str]] = {}
    for picture in shown_pictures(plan) if plan.finish else ():
        found.setdefault(picture.frame, []).append(picture.digest)
    return found


def finish_entry(plan: FramePlan, finish: Finish) -> dict[str, Any]:
    """How the pictures that the film shows are made of its frames."""
    larger = finish.upscaler
    made_by = {"file": larger.file.name} if larger and larger.file else {}
    named = larger and {"by": larger.called, "factor": larger.whole, **made_by}
    return {
        "fps": as_number(finish.fps),
        "rate": str(finish.fps),
        "count": len(shown_pictures(plan)),
        "width": plan.recipe.width * finish.factor,
        "height": plan.recipe.height * finish.factor,
        "inbetween": finish.inbetween,
        "upscale": named,
    }


def entry(frame: PlannedFrame, keyframe: bool = False, shown: Sequence[str] = ()) -> dict[str, Any]:
    """A frame as programs read it. `negative` is a text, or texts with weights while it changes.

    Args:
        keyframe: whether it is the frame of a keyframe.
        shown: digests of the pictures that are shown from its time to the next frame's, where they
            are not the frames themselves.
    """
    spec = frame.spec
    alone = len(spec.negatives) == 1
    return {
        "index": frame.index,
        "time": float(frame.time),
        "prompts": [list(pair) for pair in spec.prompts],
        "negative": spec.negatives[0][0] if alone else [list(pair) for pair in spec.negatives],
        "seeds": [list(pair) for pair in spec.seeds],
        "guidance": spec.guidance,
        **picture_entry(spec),
        **({"early": early_entry(spec)} if spec.early else {}),
        **({"path": {"digest": frame.path, "place": spec.path.place}} if spec.path else {}),
        **({"bridge": True} if frame.bridge else {}),
        **({"loras": [list(pair) for pair in spec.loras]} if spec.loras else {}),
        **({"keyframe": True} if keyframe else {}),
        **({"shown": list(shown)} if shown else {}),
        "digest": frame.digest,
    }


def as_number(value: Fraction) -> int | float:
    """12 for 12/1, 29.97… for 30000/1001."""
    return value.numerator if value.denominator == 1 else float(value)
