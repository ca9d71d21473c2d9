"""The store: one judge for every frame, whole files only, nothing of anybody else's touched."""

import io
import json
import os
import tracemalloc
import zlib
from fractions import Fraction
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
from pictures import chunk, huge
from PIL import Image, PngImagePlugin
from things import pipe

from render.errors import DiskFull, RenderError
from render.files.ownership import set_aside, unsaid
from render.plan.digest import frame_digest
from render.plan.frame_plan import FramePlan, PlannedFrame, Recipe
from render.plan.plan_json import plan_files
from render.store import frame_png, store
from render.store.frame_png import DIGEST_KEY
from render.store.judge import State, judge, judge_all
from render.store.prune import remove, unused, used_digests
from render.store.store import (
    adopt,
    commit,
    drop_beyond,
    frame_path,
    show,
    stored_path,
    sweep_store,
    take_in,
)
from render.timeline.spec import FrameSpec

SIZE = (16, 8)  # pixels
RECIPE = Recipe("tiny", "model", {}, 4, *SIZE, "float32", "noise")


def encoded(frame, pixels):
    """A frame's file, of a film with the usual recipe."""
    return frame_png.encoded(frame, RECIPE, pixels)


def frame(index=0, text="A castle", seed=1, guidance=7.5):
    spec = FrameSpec(((text, 1.0),), (("", 1.0),), ((seed, 1.0),), guidance)
    return PlannedFrame(index, Fraction(index, 12), spec, frame_digest(b"", spec))


def pixels(shade=7, size=SIZE):
    return np.full((size[1], size[0], 3), shade, np.uint8)


def png(size=SIZE, mode="RGB", digest=None, extra=b""):
    """A picture that Pillow wrote, with a digest and more chunks behind its header."""
    stream, proofs = io.BytesIO(), PngImagePlugin.PngInfo()
    if digest:
        proofs.add_text(DIGEST_KEY, digest)
    Image.new(mode, size).save(stream, "PNG", pnginfo=proofs)
    content = stream.getvalue()
    return content[:33] + extra + content[33:]


@pytest.fixture
def place(tmp_path):
    """A store and a run's frames folder."""
    frames = tmp_path / "film" / "frames"
    frames.mkdir(parents=True)
    return tmp_path / ".store", frames


def judged(place, wanted):
    verdict = judge(wanted, *place, SIZE)
    return verdict.state, verdict.reason, verdict.stored, verdict.in_place


def finished(place, wanted, shade=7):
    commit(place[0], wanted, encoded(wanted, pixels(shade)), unsaid)
    show(place[0], wanted, place[1], unsaid)
    return frame_path(place[1], wanted.index)


def snapshot(folder):
    return {
        str(path.relative_to(folder)): (path.lstat().st_ino, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_nothing_there_is_new(place):
    assert judged(place, frame()) == (State.NEW, "", False, False)


def test_a_finished_frame_is_kept_and_holds_its_pixels_and_proof(place):
    shown = finished(place, frame())
    assert judged(place, frame()) == (State.KEPT, "", True, True)
    assert shown.samefile(stored_path(place[0], frame().digest))
    with Image.open(shown) as image:
        assert (np.asarray(image) == pixels()).all()
        assert image.info["render:digest"] == frame().digest
        assert json.loads(image.info["render:spec"])["prompts"] == [["A castle", 1.0]]


def test_a_frame_of_the_store_is_shown_without_rendering(place):
    commit(place[0], frame(), encoded(frame(), pixels()), unsaid)
    assert judged(place, frame()) == (State.KEPT, "from the store", True, False)
    show(place[0], frame(), place[1], unsaid)
    assert judged(place, frame()) == (State.KEPT, "", True, True)


def test_a_frame_that_only_the_folder_has_is_taken_back(place):
    finished(place, frame())
    stored_path(place[0], frame().digest).unlink()
    assert judged(place, frame()) == (State.KEPT, "", False, True)
    adopt(place[0], frame(), place[1], unsaid)
    assert judged(place, frame()) == (State.KEPT, "", True, True)


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
@pytest.mark.parametrize("how", ["taken in", "adopted"])
def test_a_frame_that_another_run_exchanges_meanwhile_gets_no_wrong_name(
    place, monkeypatch, how, links
):
    """Just before it would get its name in the store, another one is shown in its place."""
    mine, other = frame(), frame(seed=2)
    shown = finished(place, mine)
    for each in (mine, other):
        stored_path(place[0], each.digest).unlink(missing_ok=True)
    looks, link_file = store.whole_frame, os.link

    def exchange():
        shown.unlink(missing_ok=True)
        shown.write_bytes(encoded(other, pixels(9)))

    def look(path, digest):
        found = looks(path, digest)
        if path == shown:
            exchange()
        return found

    def linked(source, target, **more):
        exchange()
        if not links:
            raise PermissionError
        link_file(source, target, **more)

    monkeypatch.setattr(store, "whole_frame", look)
    monkeypatch.setattr(os, "link", linked)
    if how == "taken in":
        assert take_in(*place, unsaid) == 0
    else:
        with pytest.raises(RenderError, match="was changed just now"):
            adopt(place[0], mine, place[1], unsaid)
    assert not stored_path(place[0], mine.digest).exists()
    assert shown.read_bytes() == encoded(other, pixels(9))
    assert not list(place[0].rglob("*.tmp"))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (frame(text="A forest"), "changed: prompts"),
        (frame(seed=2), "changed: seeds"),
        (frame(guidance=3.0, seed=2), "changed: seeds, guidance"),
    ],
)
def test_a_frame_of_another_spec_is_stale_and_says_what_changed(place, other, reason):
    finished(place, other)
    assert judged(place, frame()) == (State.STALE, reason, False, False)


def test_a_frame_of_another_recipe_is_stale(place):
    spec = frame().spec
    finished(place, PlannedFrame(0, Fraction(0), spec, frame_digest(b"another", spec)))
    reason = "changed: model, scheduler, steps, blend, speed or a LoRA"
    assert judged(place, frame()) == (State.STALE, reason, False, False)


def test_a_frame_of_another_size_or_mode_of_ours_is_stale(place):
    shown = frame_path(place[1], 0)
    shown.write_bytes(png((8, 8), digest=frame().digest))
    assert judged(place, frame())[:2] == (State.STALE, "changed: the picture is 8×8, not 16×8")
    shown.write_bytes(png(mode="L", digest=frame().digest))
    assert judged(place, frame())[:2] == (
        State.STALE,
        "changed: the picture has another mode than 8-bit RGB",
    )
    shown.write_bytes(png(digest="0" * 64))
    assert judged(place, frame())[:2] == (State.STALE, "changed: rendered from another spec")


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:-30] + bytes([content[-30] ^ 4]) + content[-29:]


ZIP_BOMB = chunk(b"zTXt", b"note\0\0" + zlib.compress(b"0" * 30_000_000, 1))


def zip_bomb(_):
    return png(digest=frame().digest, extra=ZIP_BOMB)


DAMAGES = {
    "no bytes": (lambda content: b"", "is 0 bytes long"),
    "one byte": (lambda content: content[:1], "is 1 bytes long"),
    "half": (truncated, "is damaged"),
    "no end": (lambda content: content[:-12], "is damaged"),
    "flipped bit": (flipped, "is damaged"),
    "GIF": (lambda content: b"GIF89a" + content, "is no PNG"),
    "text behind": (lambda content: content + b"more", "ends before its last chunk"),
    "12000 x 12000": (lambda content: huge(12_000), "is damaged"),
    "30000 x 30000": (lambda content: huge(30_000), "is damaged"),
    "zip bomb": (zip_bomb, "is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stored", [False, True])
def test_damage_is_named_and_the_frame_rendered_again(place, damage, stored):
    spoil, reason = DAMAGES[damage]
    shown = finished(place, frame())
    content = shown.read_bytes()
    if stored:  # both names are one file
        shown.write_bytes(spoil(content))
    else:
        stored_path(place[0], frame().digest).unlink()
        shown.unlink()
        shown.write_bytes(spoil(content))
    state, said, kept, in_place = judged(place, frame())
    assert (state, kept, in_place) == (State.CORRUPT, False, False)
    assert reason in said
    finished(place, frame(), shade=9)
    assert judged(place, frame()) == (State.KEPT, "", True, True)


def test_the_first_damage_in_the_store_alone_is_named(place):
    commit(place[0], frame(), encoded(frame(), pixels()), unsaid)
    stored_path(place[0], frame().digest).write_bytes(b"")
    assert judged(place, frame())[:2] == (State.CORRUPT, "in the store: is 0 bytes long")
    finished(place, frame(text="A forest"))
    stored_path(place[0], frame().digest).write_bytes(png(digest="0" * 64))
    assert judged(place, frame(index=1))[:2] == (State.CORRUPT, "in the store: is another frame")


def test_a_file_too_big_for_a_frame_is_not_read(place, monkeypatch):
    shown = frame_path(place[1], 0)
    with shown.open("wb") as stream:
        stream.truncate(5_000_000_000)
    monkeypatch.setattr(frame_png, "read_regular", lambda path: pytest.fail("read"))
    assert judged(place, frame())[:2] == (
        State.CORRUPT,
        "is 5,000,000,000 bytes, more than such a frame can have",
    )


def linked(path):
    path.with_name("victim").write_bytes(png(digest=frame().digest))
    path.symlink_to(path.with_name("victim"))


def whole_picture(path):
    path.write_bytes(png())


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("make", [pipe, Path.mkdir, linked, whole_picture])
def test_what_we_did_not_write_is_foreign(place, make, stored):
    make(frame_path(place[1], 0))
    if stored:
        commit(place[0], frame(), encoded(frame(), pixels()), unsaid)
    state, reason, kept, in_place = judged(place, frame())
    assert (state, kept, in_place) == (State.FOREIGN, stored, False)
    assert reason


def test_a_strange_thing_in_the_store_does_not_count(place):
    target = stored_path(place[0], frame().digest)
    target.parent.mkdir(parents=True)
    linked(target)
    assert judged(place, frame())[0] is State.CORRUPT
    commit(place[0], frame(), encoded(frame(), pixels()), unsaid)
    assert not target.is_symlink()
    assert target.with_name("victim").read_bytes() == png(digest=frame().digest)


def test_a_folder_in_the_store_is_set_aside(place):
    target, said = stored_path(place[0], frame().digest), []
    target.mkdir(parents=True)
    commit(place[0], frame(), encoded(frame(), pixels()), said.append)
    assert target.is_file()
    assert target.with_name(f"{target.name}.set-aside-1").is_dir()
    assert said == [f"{target} is not ours; it is now {target.name}.set-aside-1"]


def test_judging_changes_nothing(place):
    finished(place, frame())
    frame_path(place[1], 1).write_bytes(b"x")
    before = snapshot(place[1].parent.parent)
    for index in range(3):
        judge(frame(index), *place, SIZE)
    assert snapshot(place[1].parent.parent) == before


def test_links_are_replaced_when_the_plan_changes_and_back(place):
    shown = finished(place, frame())
    first = shown.stat().st_ino
    finished(place, frame(text="A forest"))
    assert shown.stat().st_ino != first
    show(place[0], frame(), place[1], unsaid)
    assert shown.stat().st_ino == first
    assert [path.name for path in place[1].iterdir()] == [shown.name]


def test_without_hard_links_it_is_a_copy(place, monkeypatch):
    def refused(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(store.os, "link", refused)
    shown = finished(place, frame())
    assert not shown.samefile(stored_path(place[0], frame().digest))
    assert judged(place, frame()) == (State.KEPT, "", True, True)


@pytest.mark.parametrize("content", [b"my notes", png()])
def test_what_is_not_ours_is_set_aside_and_never_overwritten(place, content):
    shown = frame_path(place[1], 0)
    shown.with_name("frame_000000.png.set-aside-1").write_bytes(b"an earlier one")
    shown.write_bytes(content)
    finished(place, frame())
    assert shown.with_name("frame_000000.png.set-aside-1").read_bytes() == b"an earlier one"
    assert shown.with_name("frame_000000.png.set-aside-2").read_bytes() == content
    assert judged(place, frame()) == (State.KEPT, "", True, True)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_two_that_set_aside_at_once_lose_nothing(tmp_path, monkeypatch, kind):
    """Another process renames its own just before this one would."""
    mine, theirs, rename = tmp_path / "a", tmp_path / "theirs", Path.rename
    if kind == "file":
        mine.write_text("mine")
    elif kind == "folder":
        (mine / "x").mkdir(parents=True)
    else:
        mine.symlink_to("nowhere")
    theirs.write_text("theirs")

    def meanwhile(path, free):
        names = (tmp_path / f"a.set-aside-{count}" for count in range(1, 9))
        rename(theirs, next(name for name in names if not os.path.lexists(name)))
        return rename(path, free)

    monkeypatch.setattr(Path, "rename", meanwhile)
    aside = set_aside(mine)
    monkeypatch.undo()
    assert (tmp_path / "a.set-aside-2").read_text() == "theirs"
    assert aside == tmp_path / "a.set-aside-1"
    assert os.path.lexists(aside)
    assert not os.path.lexists(mine)


def test_setting_aside_gives_way_to_a_broken_link(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "a.set-aside-1").symlink_to(tmp_path / "gone")
    assert set_aside(tmp_path / "a") == tmp_path / "a.set-aside-2"


def test_frames_behind_the_end_go_if_they_are_ours_and_stored(place):
    for index in range(6):
        finished(place, frame(index, seed=index))
    stored_path(place[0], frame(seed=5).digest).unlink()
    frame_path(place[1], 7).write_bytes(png())
    (place[1] / "frame_².png").write_bytes(png())
    assert drop_beyond(*place, 3) == 2
    left = sorted(path.name for path in place[1].iterdir())
    assert left == [f"frame_00000{index}.png" for index in (0, 1, 2, 5, 7)] + ["frame_².png"]
    assert drop_beyond(place[0], place[1] / "nowhere", 0) == 0


def write_plan(folder, frames, name="plan.json"):
    folder.mkdir(exist_ok=True)
    for name, content in plan_files(FramePlan(Fraction(12), RECIPE, tuple(frames)), "x").items():
        (folder / name).write_bytes(content)


def test_prune_takes_only_what_no_plan_names_and_no_folder_shows(place, tmp_path):
    planned, shown, left, copied = (frame(seed=seed) for seed in range(4))
    for each in (planned, shown, left, copied):
        commit(place[0], each, encoded(each, pixels()), unsaid)
    show(place[0], shown, place[1], unsaid)
    write_plan(tmp_path / "other", [planned, copied])
    foreign = place[0] / left.digest[:2] / "holiday.png"
    foreign.write_bytes(png())
    (place[0] / left.digest[:2] / f"{'e' * 64}.png").symlink_to(foreign)
    files = unused(place[0], used_digests(tmp_path))
    assert files == [stored_path(place[0], left.digest)]
    remove(files)
    assert not files[0].exists()
    assert foreign.exists()
    assert unused(place[0], used_digests(tmp_path)) == []


def test_a_long_plan_names_its_frames_in_the_file_beside_it(place, tmp_path, monkeypatch):
    monkeypatch.setattr("render.plan.plan_json.INLINE_FRAMES", 1)
    texts = ["one\u2028two", "three\x85four\x0b", "five\nsix"]
    frames = [frame(index, text) for index, text in enumerate(texts)]
    write_plan(tmp_path / "film", frames)
    assert (tmp_path / "film" / "plan.jsonl").is_file()
    assert used_digests(tmp_path) == {each.digest for each in frames}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"frames": [{}]}', '{"frames": "gone"}'])
def test_a_plan_that_can_not_be_read_stops_a_prune(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(RenderError, match="nothing is pruned"):
        used_digests(tmp_path)


@pytest.mark.parametrize("count", [1, 40])
def test_a_plan_too_large_to_be_read_as_a_whole_is_read_line_by_line(tmp_path, monkeypatch, count):
    monkeypatch.setattr("render.store.plan_digests.SMALL_BYTES", 1 << 10)
    frames = [frame(index, "a castle, " * 50) for index in range(count)]
    write_plan(tmp_path / "film", frames)
    assert (tmp_path / "film" / "plan.json").stat().st_size > 1 << 10
    assert used_digests(tmp_path) == {each.digest for each in frames}


def bomb_of_many_lists(plan):
    plan.write_bytes(b'{"frames": [' + b"[]," * (8 << 20) + b"[]]}")


def bomb_of_one_line(plan):
    plan.write_text('{"frames": "plan.jsonl"}')
    line = b'{"digest": "' + b"0" * 64 + b'", "x": [' + b"[]," * (8 << 20) + b"[]]}\n"
    plan.with_name("plan.jsonl").write_bytes(line)


def bomb_of_many_lines(plan):
    plan.write_text('{"frames": "plan.jsonl"}')
    plan.with_name("plan.jsonl").write_bytes(b"\n" * 1_100_000)


def bomb_of_long_digests(plan):
    plan.write_text('{"frames": "plan.jsonl"}')
    plan.with_name("plan.jsonl").write_text(json.dumps({"digest": "0" * (1 << 21)}) + "\n")


def a_plan_that_ends_early(plan):
    write_plan(plan.parent, [frame(index, "a castle, " * 500) for index in range(300)])
    plan.write_bytes(plan.read_bytes()[: (5 << 18)].rpartition(b"\n")[0] + b"\n")


BOMBS = [
    bomb_of_many_lists,
    bomb_of_one_line,
    bomb_of_many_lines,
    bomb_of_long_digests,
    a_plan_that_ends_early,
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_plan_larger_than_any_of_ours_stops_a_prune_and_takes_no_memory(tmp_path, bomb):
    bomb(tmp_path / "plan.json")
    tracemalloc.start()
    try:
        with pytest.raises(RenderError, match="nothing is pruned"):
            used_digests(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


class Broken:
    """File calls of which the k-th fails; a failing write leaves half of its bytes."""

    def __init__(self, monkeypatch, k):
        self.left, self.real_write = k, Path.write_bytes
        for name in ("open", "fsync", "replace", "link"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))
        monkeypatch.setattr(Path, "mkdir", self.counted(Path.mkdir))
        monkeypatch.setattr(Path, "replace", self.counted(Path.replace))
        monkeypatch.setattr(Path, "write_bytes", partialmethod(Broken.write_bytes, self))

    def fails(self):
        self.left -= 1
        return self.left == 0

    def counted(self, real):
        def call(*arguments, **options):
            if self.fails():
                raise OSError(5, "Input/output error")
            return real(*arguments, **options)

        return call

    @staticmethod
    def write_bytes(path, broken, content):
        if broken.fails():
            broken.real_write(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return broken.real_write(path, content)


@pytest.mark.parametrize("before", [None, b"", b"half a fra"])
def test_whichever_file_call_fails_no_half_file_has_a_frames_name(tmp_path, monkeypatch, before):
    for k in range(1, 50):
        place = tmp_path / str(k) / ".store", tmp_path / str(k) / "frames"
        place[1].mkdir(parents=True)
        target, shown = stored_path(place[0], frame().digest), frame_path(place[1], 0)
        if before is not None:
            target.parent.mkdir(parents=True)
            target.write_bytes(before)
        with monkeypatch.context() as patched:
            broken = Broken(patched, k)
            try:
                commit(place[0], frame(), encoded(frame(), pixels()), unsaid)
                show(place[0], frame(), place[1], unsaid)
            except (OSError, DiskFull):
                pass
        found = [path for path in (tmp_path / str(k)).rglob("*") if path.is_file()]
        aside = [path for path in found if "set-aside" in path.name]
        left = [path for path in found if path not in aside]
        assert all(path.read_bytes() == before for path in aside)
        assert set(left) <= {target, shown}  # no temp file stays
        for path in left:
            assert path.read_bytes() == before or judge(frame(), *place, SIZE).stored
        if broken.left > 0:
            break
    assert 6 <= k < 49
    assert judged(place, frame()) == (State.KEPT, "", True, True)


def test_a_full_disk_says_how_much_it_takes(place, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(DiskFull, match=r"it needs \d+ bytes, [\d,]+ are free"):
        commit(place[0], frame(), encoded(frame(), pixels()), unsaid)


def test_temp_files_of_killed_runs_are_swept(place):
    commit(place[0], frame(), encoded(frame(), pixels()), unsaid)
    stale = store.temp_beside(stored_path(place[0], frame().digest))
    stale.write_bytes(b"half")
    assert sweep_store(place[0]) == 1
    assert not stale.exists()
    assert sweep_store(place[0] / "nowhere") == 0
    assert judged(place, frame())[2]


def test_a_whole_film_is_judged_as_its_frames_are_alone(place):
    """Kept, only in the store, only in the folder, stale, foreign, and nothing there at all."""
    film = [frame(index, text=f"castle {index}") for index in range(6)]
    finished(place, film[0])
    commit(place[0], film[1], encoded(film[1], pixels()), unsaid)
    stored = finished(place, film[2]) and stored_path(place[0], film[2].digest)
    stored.unlink()
    finished(place, frame(3, text="A forest"))
    frame_path(place[1], 4).write_bytes(png())
    alone = [judge(wanted, *place, SIZE) for wanted in film]
    assert judge_all(film, *place, SIZE) == alone
    assert len({(v.state, v.stored, v.in_place) for v in alone}) == 6


def test_a_film_without_any_folder_is_new(tmp_path):
    verdicts = judge_all([frame()], tmp_path / "no", tmp_path / "none", SIZE)
    assert [verdict.state for verdict in verdicts] == [State.NEW]
