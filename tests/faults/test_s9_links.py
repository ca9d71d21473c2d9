"""S9: links under names that a render writes: what they lead to stays as it is, and it is said."""

import os

import pytest
from outside import tree
from test_s5_quoting import frames_of
from things import SIDE, picture

FILM = [{"at": 0, "prompt": "a"}, {"at": 1, "prompt": "b"}, {"at": 2, "prompt": "c"}]
WHOLE = [f"output.width={SIDE}", f"output.height={SIDE}", "output.fps=1"]
FILES = ["film/film.mp4", "film/plan.json", "film/run.json", "film/config.yaml",
         "film/render.log", "film/sheet.png"]  # fmt: skip
FOLDERS = ["film", "film/frames", ".store", ".store/{shard}"]
GUESSES = ["{name}.tmp", ".{name}.tmp", "{name}~", "{name}.part", "tmp_{name}", ".{name}.swp"]


class Linked:
    """A film whose every file is a link to somebody's file before it is rendered again."""

    def __init__(self, calls):
        self.calls, self.root = calls, calls.site.here / "linked"
        calls.site.timeline("film", FILM)
        self.arguments = ["+timeline=film", "root=linked", *WHOLE]
        assert calls(*self.arguments).code == 0
        stored = sorted(self.root.glob(".store/??/*.png"))[0]
        self.names = [*FILES, "film/frames/frame_000001.png", str(stored.relative_to(self.root))]
        self.victims = calls.site.logs / "victims"
        self.victims.mkdir()
        self.content = picture(colour=(9, 9, 9))
        for place, name in enumerate(self.names):
            path, victim = self.root / name, self.victims / str(place)
            victim.write_bytes(self.content)
            path.unlink()
            path.symlink_to(victim)
            for guess in GUESSES:
                path.with_name(guess.format(name=path.name)).symlink_to(victim)
        for shown in (self.root / "film" / "frames").glob("frame_00000[02].png"):
            shown.unlink()
        self.answer = calls(*self.arguments)
        assert self.answer.code == 0, self.answer.err


@pytest.fixture(scope="module")
def linked(calls):
    return Linked(calls)


PLACES = range(len(FILES) + 2)


@pytest.mark.parametrize("place", PLACES)
def test_what_a_link_leads_to_is_unchanged(linked, place):
    assert (linked.victims / str(place)).read_bytes() == linked.content


@pytest.mark.parametrize("place", PLACES)
def test_the_link_itself_is_kept_and_it_is_said(linked, place):
    path = linked.root / linked.names[place]
    here = os.path.relpath(path, linked.calls.site.here)
    if path.parent.name == "frames":  # left alone where it stands
        assert path.is_symlink()
        assert "foreign: 1, a link, a folder or a device stands there" in linked.answer.err
    else:
        aside = path.with_name(f"{path.name}.set-aside-1")
        assert os.readlink(aside) == str(linked.victims / str(place))
        assert f"{here} is not ours; it is now {aside.name}" in linked.answer.err
        assert path.is_file()
        assert not path.is_symlink()


def test_links_under_names_of_temporary_files_are_not_touched(linked):
    for place, name in enumerate(linked.names):
        for guess in GUESSES:
            path = (linked.root / name).with_name(guess.format(name=(linked.root / name).name))
            assert os.readlink(path) == str(linked.victims / str(place))


def test_the_film_is_whole_all_the_same(linked):
    assert frames_of(linked.root / "film" / "film.mp4") == len(FILM)
    assert len(list((linked.root / "film" / "frames").glob("frame_??????.png"))) == len(FILM)
    stored = [path for path in linked.root.glob(".store/??/*.png") if not path.is_symlink()]
    assert len(stored) == len(FILM)


@pytest.mark.parametrize("mode", ["render", "plan", "stitch", "prune"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_link_in_place_of_a_folder_is_refused(calls, linked, name, mode):
    """It could lead into someone else's folder, whose files would look like frames of ours."""
    shard = sorted(linked.root.glob(".store/??"))[0].name
    path = linked.root / name.format(shard=shard)
    away, victims = path.with_name("away"), calls.site.logs / "victims"
    path.rename(away)
    path.symlink_to(victims)
    before = tree(victims)
    answer = calls(*linked.arguments, f"mode={mode}", "sampling.seed=3")
    assert answer.code == 2, answer.err
    assert f"{os.path.relpath(path, calls.site.here)}: is a link; remove it" in answer.err
    assert tree(victims) == before
    assert os.readlink(path) == str(victims)
    path.unlink()
    away.rename(path)


def test_a_root_may_be_a_link_to_another_disk(calls):
    calls.site.timeline("film", FILM)
    elsewhere = calls.site.here / "another disk"
    elsewhere.mkdir()
    (calls.site.here / "root").symlink_to(elsewhere)
    answer = calls("+timeline=film", "root=root", *WHOLE)
    assert answer.code == 0, answer.err
    assert frames_of(elsewhere / "film" / "film.mp4") == len(FILM)


@pytest.mark.parametrize("name", [".lock", ".lock-0-of-2"])
def test_a_lock_that_is_a_link_is_not_written_through(calls, linked, name):
    lock, victim = linked.root / "film" / name, linked.victims / "lock"
    victim.write_text("precious")
    lock.unlink(missing_ok=True)
    lock.symlink_to(victim)
    answer = calls(*linked.arguments, *(["shard=0/2"] if "-of-" in name else []))
    assert answer.code == 75
    assert "remove it if it is a link" in answer.err
    assert victim.read_text() == "precious"
    lock.unlink()


@pytest.mark.parametrize("content", ["precious", '{"mine": 1}'])
def test_a_lock_that_is_somebodys_file_is_not_overwritten(calls, linked, content):
    lock = linked.root / "film" / ".lock"
    lock.write_text(content)
    answer = calls(*linked.arguments)
    assert answer.code == 75
    assert f"{os.path.relpath(lock, calls.site.here)} is not ours" in answer.err
    assert lock.read_text() == content
    lock.unlink()


@pytest.mark.parametrize("name", ["multirun.yaml", ""])
def test_hydras_note_of_a_sweep_is_not_written_through_a_link(calls, name):
    calls.site.timeline("film", FILM[:1])
    folder, victim = calls.site.here / "swept" / ".sweep", calls.site.logs / "swept"
    folder.parent.mkdir(exist_ok=True)
    victim.mkdir(exist_ok=True)
    (victim / "multirun.yaml").write_text("precious")
    if name:
        folder.mkdir(exist_ok=True)
        (folder / name).symlink_to(victim / "multirun.yaml")
    else:
        if folder.exists():
            folder.rename(folder.with_name("old"))
        folder.symlink_to(victim)
    answer = calls("-m", "+timeline=film", "root=swept", "output=frames", "sampling.guidance=1,2")
    assert answer.code == (0 if name else 2), answer.err
    assert "multirun.yaml is not ours" in answer.err if name else "is a link" in answer.err
    assert (victim / "multirun.yaml").read_text() == "precious"
