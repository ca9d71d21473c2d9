"""R16: errors that pass, and files that another user keeps closed: nobody can know whose content it
is, so nothing is renamed, overwritten or rendered in its place, and the same command goes on."""

import json
import os
import shutil

import pytest
from outside import tree
from powers import WITHOUT_POWERS, reason_for_none

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(2)]
CALL = ("+timeline=film", "output.fps=1", "output.width=64", "output.height=64")
PASSING = {
    "ETIMEDOUT": "Connection timed out",
    "ESTALE": "Stale file handle",
    "EACCES": "Permission denied",
    "EIO": "Input/output error",
}
FILES = ["film/run.json", "film/plan.json", "film/config.yaml", "film/sheet.png"]
NO_POWERS = reason_for_none()


@pytest.fixture(scope="module")
def place(film_site):
    """A finished film, a copy of it, and the file calls of a run that finds all done."""
    site = film_site(FILM, *CALL)
    assert site.rounds.render().code == 0
    shutil.copytree(site.root, site.here / "copy")
    return site


@pytest.fixture
def film(place):
    shutil.rmtree(place.root)
    shutil.copytree(place.here / "copy", place.root)
    for shown in place.frames("film"):
        (stored,) = (path for path in place.stored() if path.read_bytes() == shown.read_bytes())
        shown.unlink()
        shown.hardlink_to(stored)
    return place


def reads_of(site, name, changes):
    """The numbers of the calls by which a run opens a file to read it."""
    calls = site.logs / "calls"
    calls.unlink(missing_ok=True)
    site.rounds.render(changes, under="outputs", calls=str(calls))
    lines = [json.loads(line) for line in calls.read_text().splitlines()]
    return [line[0] for line in lines if line[1:] == ["open", name, False]]


def contents(site):
    """All that the run's folder and the store hold, without what every run writes anew."""
    written = ("run.json", "page.js", ".log", ".lock")
    return {path: kept for path, kept in tree(site.root).items() if not path.endswith(written)}


def assert_nothing_lost(site, before, ended, why):
    assert ended.code in (1, 4), ended.err
    last = ended.err.splitlines()[-1]
    assert last.startswith("render: ")
    assert why in last, last
    assert "bug in render" not in ended.err
    assert "not ours" not in ended.err
    assert not list(site.root.rglob("*set-aside*"))
    assert contents(site) == before
    again = site.rounds.render()
    assert again.code == 0
    assert "film.mp4 (as it was)" in again.out
    assert site.counts("film") == (2, 0, 0)
    assert contents(site) == before


CASES = [*((name, "ETIMEDOUT") for name in FILES), ("film/run.json", "ESTALE")]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_a_file_of_ours_that_can_not_be_read_just_now_keeps_its_name(film, name, how):
    numbers = reads_of(film, name, {})[:3]
    assert numbers
    for number in numbers:
        before = contents(film)
        ended = film.rounds.render(under="outputs", fail_call=number, fail_how=how)
        if ended.code == 0:  # as for a sheet that is only looked at
            assert contents(film) == before
            continue
        assert_nothing_lost(film, before, ended, PASSING[how])


@pytest.mark.parametrize("how", ["ESTALE", "EACCES"])
@pytest.mark.parametrize("side", ["store", "frames"])
def test_a_frame_that_can_not_be_read_just_now_is_not_rendered_again(film, side, how):
    shown = film.frames("film")[0]
    (stored,) = (path for path in film.stored() if os.path.samefile(path, shown))
    if side == "frames":
        content = shown.read_bytes()
        shown.unlink()
        shown.write_bytes(content)
        stored.write_bytes(b"\x89PNG render:digest cut")
    name = str((stored if side == "store" else shown).relative_to(film.root))
    number = reads_of(film, name, {"mode": "plan"})[0]
    before = contents(film)
    ended = film.rounds.render({"mode": "plan"}, under="outputs", fail_call=number, fail_how=how)
    assert ended.code == 1, ended.err
    assert PASSING[how] in ended.err.splitlines()[-1]
    assert name in ended.err.splitlines()[-1]
    assert "loading" not in ended.err
    assert not list(film.root.rglob("*set-aside*"))
    assert contents(film) == before


@pytest.mark.skipif(bool(NO_POWERS), reason=NO_POWERS)
@pytest.mark.parametrize("name", ["film/run.json", "film/film.mp4", "film/plan.json", "frame"])
def test_another_users_closed_file_keeps_its_name_and_is_named(film, name):
    path = film.stored()[0] if name == "frame" else film.root / name
    os.utime(path, (1, 1))  # so that a video is known by its content alone
    before = contents(film)
    mode = path.stat().st_mode
    path.chmod(0o000)
    film.prefix = WITHOUT_POWERS
    ended = film.render(*CALL, "output.quality=30")
    film.prefix = []
    path.chmod(mode)
    assert ended.code in (1, 4), ended.err
    assert "Permission denied" in ended.err.splitlines()[-1]
    assert str(path.relative_to(film.here)) in ended.err.splitlines()[-1]
    assert not list(film.root.rglob("*set-aside*"))
    assert {p: t for p, t in contents(film).items() if "config.yaml" not in p} == {
        p: t for p, t in before.items() if "config.yaml" not in p
    }
