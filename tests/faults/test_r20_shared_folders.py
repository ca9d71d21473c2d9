"""R20: a plan beside a render, a folder of two users of a group, and disks that can't sync."""

import os
import stat

import pytest

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(2)]
CALL = ("+timeline=film", "output.fps=1", "output.width=64", "output.height=64", "output=frames")
OTHER = 54321  # a user and a group that are nobody's


@pytest.fixture
def film(site):
    site.timeline("film", FILM)
    return site


def test_a_plan_holds_nothing_while_it_works(film):
    go = film.here / "go"
    planning = film.start(*CALL, "mode=plan", waits=["render.run.modes.keep_asked"], go=str(go))
    planning.until(lambda: "waiting before" in planning.said("err"))
    ended = film.render(*CALL)
    assert planning.running
    go.touch()
    assert (ended.code, planning.wait().code) == (0, 0), ended.err
    assert film.counts("film") == (0, 2, 0)


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_a_lock_has_the_mode_that_the_umask_says(film, umask, mode):
    before = os.umask(umask)
    try:
        ended = film.render(*CALL, "shard=0/1")
    finally:
        os.umask(before)
    assert ended.code == 0, ended.err
    for name in (".lock", ".lock-0-of-1"):
        assert stat.S_IMODE((film.run_folder("film") / name).stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("mode", [0o664, 0o644])
def test_a_second_user_of_the_group_may_run(film, mode):
    """Also where the first one's lock is closed to writers, as earlier versions made it."""
    before = os.umask(0o002)
    assert film.render(*CALL).code == 0
    for path in (film.root, *film.root.rglob("*")):
        os.chown(path, OTHER, 0)  # owned by someone else, in a group of ours
    (film.run_folder("film") / ".lock").chmod(mode)
    film.prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    try:
        ended = film.render(*CALL, "sampling.seed=5", "timeline.keyframes.0.prompt=other")
        assert ended.code == 0, ended.err
    finally:
        film.prefix = []
        os.umask(before)
    assert film.counts("film") == (1, 1, 0)


@pytest.mark.parametrize("kinds", [["folders"], ["folders", "files"]], ids=str)
def test_a_disk_that_can_not_sync_is_named_once_and_no_obstacle(film, kinds):
    ended = film.render(*CALL, "output=mp4", no_sync=kinds)
    assert ended.code == 0, ended.err
    said = "warning: outputs/film: this disk can't be asked to keep what is written (fsync); "
    assert ended.err.count(said) == 1
    assert film.counts("film") == (0, 2, 0)
    assert (film.run_folder("film") / "film.mp4").is_file()
    assert film.temps() == []
    assert "fsync" not in film.render(*CALL).err
