"""The store: every frame ever rendered under a root, by digest; and what a run's folder shows.

One function, `judge`, decides what becomes of a frame, without side effects. A frame is kept only
if its file is whole and carries the digest the plan asks for. What this project did not write is
never overwritten or deleted.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from render.errors import RenderError
from render.files.atomic import (
    is_regular,
    is_there,
    make_folder,
    read_regular,
    room_for,
    sync_folder,
    write_whole,
)
from render.files.ownership import FRAME_MARK, is_ours, make_way, read_head, unsaid
from render.files.received_json import parsed
from render.files.temporary import held, sweep, temp_beside
from render.plan.frame_plan import (
    NEXT,
    PICTURE_FIELDS,
    FrameSpec,
    PlannedFrame,
    early_entry,
    picture_entry,
)
from render.store.png import pixel_flaw
from render.text import shortened

STORE_NAME = ".store"
PLAN_NAMES = ("plan.json", f"{NEXT}.json")
DIGEST_KEY = FRAME_MARK
SPEC_KEY = "render:spec"
NAMED_DIGEST = re.compile(DIGEST_KEY.encode() + rb"\0([0-9a-f]{64})")
DIGEST = re.compile(r"[0-9a-f]{64}")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
RGB8 = (8, 2)  # bit depth and colour type in a PNG's header
MOST_BYTES = 1 << 31  # of the largest frame, and of a plan of a million
LONGEST_REASON = 200  # characters; the names in it come out of a file
DECODED = 200  # frames of a film that are decoded when it is looked at, evenly spread
LARGEST_BYTES = 1 << 28  # of a frame of 8,192 × 8,192 pixels
SPARE_BYTES = 8 << 20  # header and text chunks of a frame: a timeline's 1 MB, escaped


class State(Enum):
    """What is known of a planned frame before work starts."""

    KEPT = "kept"
    """The picture is there, whole and proven."""
    NEW = "new"
    """Nothing is there."""
    STALE = "stale"
    """A whole frame of ours is there, but of another spec."""
    CORRUPT = "corrupt"
    """What is there is no whole frame."""
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
    """The digest of another whole frame of ours that stands under the frame's name."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file turned out to be. `flaw` is None if it is a whole frame of the right size."""

    flaw: str | None
    digest: str | None = None
    spec: str | None = None
    whole: bool = False


def frame_path(frames: Path, index: int) -> Path:
    """frames/frame_000000.png …"""
    return frames / f"frame_{index:06d}.png"


def stored_path(store: Path, digest: str) -> Path:
    """.store/ab/abcd….png"""
    return store.joinpath(digest[:2], f"{digest}.png")


def inspect(path: Path, size: tuple[int, int], decode: bool = True) -> Found | None:
    """What lies at `path`: None if nothing; the header is read before anything is decoded.

    Args:
        size: width and height a frame must have, in pixels.
        decode: whether its pixels are decoded, too, and not its checksums alone compared.

    Raises:
        OSError: it can't be read, so nobody knows what it is.
    """
    if not is_there(path):
        return None
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return Found("a link, a folder or a device stands there")
    if status.st_size > 4 * size[0] * size[1] + SPARE_BYTES:
        return Found(f"is {status.st_size:,} bytes, more than such a frame can have")
    content = read_regular(path, status.st_size)
    if len(content) < 33 or not content.startswith(SIGNATURE):
        return Found("is no PNG" if len(content) >= 8 else f"is {len(content)} bytes long")
    found = inspect_png(content)
    found = replace(found, flaw=found.flaw or header_flaw(content, size))
    if decode and found.flaw is None and (flaw := pixel_flaw(content)):
        return Found(f"can't be decoded ({flaw})")
    return found


def header_flaw(content: bytes, size: tuple[int, int]) -> str | None:
    """Why a PNG's header is not that of an RGB picture of this size; None if it is."""
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    if (width, height) != size:
        return f"is {width}×{height}, not {size[0]}×{size[1]}"
    return None if (depth, colour) == RGB8 else "has another mode than 8-bit RGB"


def inspect_png(content: bytes) -> Found:
    """Every chunk's checksum, the end of the file, and the proof the frame carries."""
    try:
        with (
            warnings.catch_warnings(action="error"),  # a decompression bomb only warns
            Image.open(io.BytesIO(content), formats=("PNG",)) as image,
        ):
            digest, spec = image.info.get(DIGEST_KEY), image.info.get(SPEC_KEY)
            image.verify()
    except Exception as error:  # Pillow raises SyntaxError, OSError, ValueError, struct.error …
        return Found(f"is damaged ({error})")
    if not content.endswith(END):
        return Found("ends before its last chunk")
    return Found(None, digest, spec, whole=True)


def judge(
    frame: PlannedFrame, store: Path, frames: Path, size: tuple[int, int], decode: bool = True
) -> Verdict:
    """What becomes of a frame; the only place where that is decided.

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
        told = f"{reason}; taken from the store" if reason else FROM_THE_STORE
        return Verdict(frame, State.KEPT, told, True, False, before)
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
        return State.STALE, here.flaw or changed_fields(here.spec, frame.spec)
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
        return "rendered from another spec"
    after = json.loads(spec_json(wanted))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    listed = ", ".join(names) or "model, scheduler, steps or size"
    return f"changed: {shortened(listed, LONGEST_REASON)}"


def spec_json(spec: FrameSpec) -> str:
    """The spec as it stands in a frame's PNG."""
    left_out = {*PICTURE_FIELDS, "early", *(() if spec.loras else ("loras",))}
    shown = {name: value for name, value in asdict(spec).items() if name not in left_out}
    anchors = {"early": early_entry(spec)} if spec.early else {}
    return json.dumps(shown | picture_entry(spec) | anchors, ensure_ascii=False)


def same_file(one: Path, other: Path) -> bool:
    """Whether both names are links to one file."""
    try:
        a, b = one.lstat(), other.lstat()
    except OSError:
        return False
    return (a.st_ino, a.st_dev) == (b.st_ino, b.st_dev)


def encoded(frame: PlannedFrame, pixels: np.ndarray[Any, Any]) -> bytes:
    """A finished picture as the PNG file that proves whose it is.

    Args:
        pixels: uint8, (height, width, 3), RGB.
    """
    proofs = PngImagePlugin.PngInfo()
    proofs.add_text(DIGEST_KEY, frame.digest)
    proofs.add_itxt(SPEC_KEY, spec_json(frame.spec))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG", pnginfo=proofs, compress_level=4)
    return png.getvalue()


def commit(store: Path, frame: PlannedFrame, png: bytes, say: Callable[[str], None]) -> Path:
    """Write a finished picture under its digest, whole or not at all.

    Args:
        png: as `encoded` makes it.
        say: is told what was set aside because it stood there and is not ours.

    Raises:
        DiskFull: no room for it.
    """
    target = stored_path(store, frame.digest)
    with room_for(target, len(png)):
        make_folder(target.parent)
    make_way(target, say)
    write_whole(target, png)
    return target


def adopt(store: Path, frame: PlannedFrame, frames: Path, say: Callable[[str], None]) -> Path:
    """Take a proven frame of a run's folder into the store (someone emptied the store)."""
    target = stored_path(store, frame.digest)
    make_folder(target.parent)
    make_way(target, say)
    link(frame_path(frames, frame.index), target)
    return target


def take_in(store: Path, frames: Path) -> int:
    """Take every whole frame of a run's folder that the store lacks into it, whichever frame's name
    it has: another film's frames come over it now, and the folder's may be the only one. Returns
    how many."""
    shown = sorted(frames.glob("frame_*.png")) if frames.is_dir() else []
    return sum(taken_in(store, path) for path in shown)


def taken_in(store: Path, shown: Path) -> bool:
    """Whether a frame was the only whole one of its digest, and has a name in the store now."""
    if not is_regular(shown) or not (named := NAMED_DIGEST.search(read_head(shown))):
        return False
    digest = named[1].decode()
    target = stored_path(store, digest)
    if same_file(target, shown) or not is_frame(shown, digest) or is_frame(target, digest):
        return False
    make_folder(target.parent)
    make_way(target, unsaid)
    link(shown, target)
    sync_folder(target.parent)
    return True


def is_frame(path: Path, digest: str) -> bool:
    """Whether a file is a frame of this digest whose checksums are right, of whatever size."""
    if not is_there(path) or not is_regular(path) or path.stat().st_size > LARGEST_BYTES:
        return False
    found = inspect_png(read_regular(path, LARGEST_BYTES))
    return found.whole and found.digest == digest


def show(store: Path, frame: PlannedFrame, frames: Path, say: Callable[[str], None]) -> None:
    """Let the run's folder show the frame; what is not provably ours is set aside first."""
    shown = frame_path(frames, frame.index)
    make_way(shown, say)
    link(stored_path(store, frame.digest), shown)


def link(source: Path, target: Path) -> None:
    """A second name for a file, put in place atomically: a hard link, else a copy.

    It lasts once its folder is synced, which is for the caller to do after the last of many.
    """
    if same_file(source, target):
        return
    temp = temp_beside(target)
    try:
        with held(source):
            try:
                os.link(source, temp)
            except OSError:  # another file system, or one without hard links
                write_whole(target, source.read_bytes())
            else:
                temp.replace(target)
    finally:
        temp.unlink(missing_ok=True)


def discard(stored: Path, shown: Iterable[Path], size: tuple[int, int]) -> None:
    """Remove a frame of ours that can't be decoded from all its names, so that the next run renders
    it again."""
    for path in (stored, *shown):
        if is_there(path) and is_ours(path) and is_spoilt(path, size):
            path.unlink()


def is_spoilt(path: Path, size: tuple[int, int]) -> bool:
    """Whether a frame is not whole, or is one that Pillow, by which films are made, can't decode.

    Raises:
        OSError: it can't be read, so nobody knows.
    """
    if (found := inspect(path, size)) is None or found.flaw:
        return found is not None
    try:
        with Image.open(io.BytesIO(read_regular(path, MOST_BYTES)), formats=("PNG",)) as image:
            image.load()
            return image.size != size
    except Exception as error:  # as when it is looked at, Pillow raises many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return True


def drop_beyond(store: Path, frames: Path, count: int) -> int:
    """Remove shown frames behind the film's end that the store still has; returns how many."""
    dropped = 0
    for shown in frames.glob("frame_*.png") if frames.is_dir() else ():
        index = shown.stem.removeprefix("frame_")
        if index.isdecimal() and int(index) >= count and is_stored(store, shown):
            shown.unlink()
            dropped += 1
    return dropped


def is_stored(store: Path, shown: Path) -> bool:
    """Whether a shown frame is ours and the store has it too, whole: the folder's copy may be the
    only one."""
    if not is_ours(shown):
        return False
    found = inspect_png(read_regular(shown, MOST_BYTES))
    if not DIGEST.fullmatch(str(found.digest)):
        return False
    stored = stored_path(store, str(found.digest))
    if same_file(stored, shown):
        return True
    try:
        copy = inspect_png(read_regular(stored, MOST_BYTES))
    except OSError:
        return False
    return copy.whole and copy.digest == found.digest


def sweep_store(store: Path) -> int:
    """Remove temp files of killed runs from the whole store."""
    folders = [store, *store.iterdir()] if store.is_dir() else []
    return sum(sweep(folder) for folder in folders if folder.is_dir())


def used_digests(root: Path) -> set[str]:
    """Digests that any run under `root` names in its plan, or `mode=plan` in the next one.

    Raises:
        RenderError: a plan or a folder can't be read; who knows which frames it needs?
    """
    used: set[str] = set()
    for plan in plans_under(root):
        used.update(digests_in(plan))
    return used


def plans_under(root: Path) -> Iterator[Path]:
    """Every plan of a run under `root`, which may itself not be there."""

    def closed(error: OSError) -> None:
        raise unread(Path(error.filename)) from error

    if not root.is_dir():
        return
    for folder, inside, files in os.walk(root, onerror=closed):
        inside[:] = [name for name in inside if name != STORE_NAME]
        yield from (Path(folder, name) for name in PLAN_NAMES if name in files)


def unread(path: Path) -> RenderError:
    """The error for what a prune would have to know."""
    return RenderError(f"{path} can't be read, so nothing is pruned; remove or mend it")


def digests_in(plan: Path) -> Iterator[str]:
    """The digests of one plan file; a plan that can't be read stops a prune, it is not skipped."""
    try:
        frames = parsed(read_regular(plan, MOST_BYTES))["frames"]  # type: ignore[index]
        if isinstance(frames, str):
            # Not splitlines: a prompt may hold a line separator of Unicode.
            lines = read_regular(plan.parent / Path(frames).name, MOST_BYTES).split(b"\n")
            frames = [parsed(line) for line in lines if line]
        yield from (str(frame["digest"]) for frame in frames)
    except (OSError, ValueError, KeyError, TypeError):
        raise unread(plan) from None


def unused(store: Path, used: set[str]) -> list[Path]:
    """Stored frames that no plan names and no run's folder shows."""
    named = (file for file in store.glob("??/*.png") if DIGEST.fullmatch(file.stem))
    return sorted(file for file in still_unused(named, used) if is_ours(file))


def still_unused(files: Iterable[Path], used: set[str]) -> list[Path]:
    """Those that no plan names now, and that have no second name in a run's folder."""
    return [
        file
        for file in files
        if file.stem not in used
        and stat.S_ISREG((status := file.lstat()).st_mode)
        and status.st_nlink == 1
    ]


def text_of(file: Path) -> str:
    """The heaviest text of a stored frame; empty if the file does not say."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            prompts = json.loads(image.info.get(SPEC_KEY, ""))["prompts"]
        return shortened(str(max(prompts, key=lambda pair: float(pair[1]))[0]))
    except Exception:  # the file is data of any shape: Pillow and JSON raise many kinds
        return ""


def remove(files: Iterable[Path]) -> None:
    """Remove stored frames and make that durable."""
    folders = set()
    for file in files:
        file.unlink(missing_ok=True)
        folders.add(file.parent)
    for folder in sorted(folders):
        sync_folder(folder)
