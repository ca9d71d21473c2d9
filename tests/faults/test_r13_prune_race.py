"""R13: a prune beside runs: none loses a frame that was reported as kept, nor one that an
unreadable plan needs, nor the only whole copy of one."""

import os
import re
import shutil
import signal

import pytest
from pictures import same_pictures
from powers import WITHOUT_POWERS, reason_for_none

from render.store.prune import still_unused

FILM = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two", "seed": 2}]
FRAMES = 5
SMALL = ["output.fps=4", "output.width=32", "output.height=32"]
CALL = ["+timeline=film", *SMALL]
PRUNE = [*CALL, "mode=prune", "prune=yes"]
QUICK = {"blocks": 8}
NO_POWERS = reason_for_none()


@pytest.fixture
def film(site):
    """A site with a film whose frames no plan and no folder names any more."""
    site.timeline("film", FILM)
    assert site.render(*CALL, **QUICK).code == 0
    site.whole = site.pictures("film")
    shutil.rmtree(site.run_folder("film"))
    return site


def test_a_run_that_begins_during_a_prune_waits_for_it_and_has_all_its_frames(film):
    pruning = film.start(*PRUNE, call_seconds=0.1)
    pruning.until(lambda: len(film.stored()) < FRAMES)
    pruning.signal(signal.SIGSTOP)
    assert 0 < len(film.stored()) < FRAMES
    run = film.start(*CALL, **QUICK)
    run.until(lambda: "waiting for the end of a prune of outputs/.store" in run.said("err"))
    assert run.running
    pruning.signal(signal.SIGCONT)
    assert pruning.wait().code == 0
    ended = run.wait()
    assert ended.code == 0, ended.err
    assert film.counts("film") == (0, FRAMES, 0)
    assert len(film.stored()) == len(film.frames("film")) == FRAMES
    assert same_pictures(film.pictures("film"), film.whole)


@pytest.mark.parametrize("shard", [[], ["shard=0/2"]], ids=["whole", "shard"])
def test_a_prune_during_a_run_hears_of_it_and_removes_nothing(film, shard):
    go = film.here / "go"
    run = film.start(*CALL, *shard, waits=["render.run.work.Work.show"], go=str(go), **QUICK)
    run.until(lambda: "waiting before" in run.said("err"))
    shutil.rmtree(film.run_folder("film") / "frames", ignore_errors=True)
    (film.run_folder("film") / "plan.json").unlink()  # so that only the run itself needs them
    ended = film.render(*PRUNE)
    assert ended.code == 75
    assert re.search(rf"outputs/film is held by another run \(pid {run.pid} on ", ended.err), (
        ended.err
    )
    assert len(film.stored()) == FRAMES
    go.touch()
    ended = run.wait()
    assert ended.code == 0, ended.err
    assert film.counts("film")[1:] == (0, 0)
    assert film.render(*PRUNE).code == 0


@pytest.mark.skipif(bool(NO_POWERS), reason=NO_POWERS)
def test_a_closed_folder_of_another_owner_keeps_its_frames(film):
    assert film.render(*CALL, "name=other", **QUICK).code == 0
    other = film.run_folder("other")
    for path in film.frames("other"):
        path.unlink()  # as where there are no hard links, so that the plan alone names them
    other.chmod(0o000)
    film.prefix = WITHOUT_POWERS
    ended = film.render(*PRUNE)
    other.chmod(0o755)
    assert ended.code == 1
    assert "outputs/other can't be read, so nothing is pruned" in ended.err
    assert len(film.stored()) == FRAMES


@pytest.mark.parametrize("name", ["other", "other/job"])
def test_a_folder_that_was_moved_to_another_disk_keeps_its_frames(film, name):
    """A link to it was left; its frames there are copies, so the plan alone names the store's."""
    assert film.render(*CALL, "name=other", **QUICK).code == 0
    other, elsewhere = film.run_folder("other"), film.here / "elsewhere"
    shutil.rmtree(other / "frames")
    if name == "other":
        shutil.move(other, elsewhere)
    else:
        shutil.move(other, film.here / "moved")
        other.mkdir()
        shutil.move(film.here / "moved", elsewhere)
    (film.root / name).symlink_to(elsewhere)
    ended = film.render(*PRUNE)
    assert ended.code == 0, ended.err
    assert len(film.stored()) == FRAMES
    elsewhere.rename(film.here / "unplugged")
    ended = film.render(*PRUNE)
    assert ended.code == 1
    assert f"outputs/{name} can't be read, so nothing is pruned" in ended.err
    assert len(film.stored()) == FRAMES


def test_films_in_a_folder_that_was_moved_keep_their_frames_however_deep(film):
    """An archive with films of sweeps in it; its plans alone name the store's frames."""
    assert film.render(*CALL, "name=other", **QUICK).code == 0
    shutil.rmtree(film.run_folder("other") / "frames")
    archive = film.here / "disk" / "films"
    deep = archive / "2026" / "spring" / "client" / "sweep"
    deep.mkdir(parents=True)
    shutil.move(film.run_folder("other"), deep / "job")
    (film.root / "archive").symlink_to(archive)
    ended = film.render(*PRUNE)
    assert ended.code == 0, ended.err
    assert len(film.stored()) == FRAMES
    # One of its films lies on a third disk, which is not mounted now.
    shutil.move(deep / "job", film.here / "third")
    (deep / "job").symlink_to(film.here / "third")
    assert film.render(*PRUNE).code == 0
    assert len(film.stored()) == FRAMES
    (film.here / "third").rename(film.here / "unplugged")
    ended = film.render(*PRUNE)
    assert ended.code == 1
    assert "sweep/job can't be read, so nothing is pruned" in ended.err
    assert len(film.stored()) == FRAMES


def test_circles_of_links_do_not_hold_a_prune_up(film):
    for name in ("one", "two"):
        (film.root / name).symlink_to(".")
    (film.root / ".#notes").symlink_to("nobody@nowhere")
    ended = film.render(*PRUNE)
    assert ended.code == 0, ended.err
    assert film.stored() == []


def test_a_shorter_film_keeps_a_frame_whose_copy_in_the_store_is_damaged(film):
    """The folder's is then the only whole one."""
    assert film.render(*CALL, **QUICK).code == 0
    last = film.frames("film")[-1]
    content = last.read_bytes()
    (stored,) = (path for path in film.stored() if os.path.samefile(path, last))
    last.unlink()
    last.write_bytes(content)
    stored.write_bytes(content[: len(content) // 2])
    film.timeline("film", [FILM[0]])
    ended = film.render(*CALL, **QUICK)
    assert ended.code == 0, ended.err
    assert last.read_bytes() == content
    assert len(film.frames("film")) == 2


def test_a_frame_that_another_prune_took_while_the_question_stood_is_passed_over(tmp_path):
    there, gone = tmp_path / "a.png", tmp_path / "b.png"
    there.write_bytes(b"")
    assert still_unused([there, gone], set()) == [there]
