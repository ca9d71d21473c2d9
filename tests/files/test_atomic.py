"""Files are whole or not there, whatever happens in between."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from render.errors import DiskFull
from render.files import temporary
from render.files.atomic import replacing, room_for, write_if_changed, write_whole
from render.files.temporary import scratch, sweep, sweep_folders, temp_beside


def write_half(path: Path, interruption: type[BaseException]) -> None:
    path.write_text("half")
    raise interruption


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_text("old")
    with replacing(target) as fresh:
        fresh.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_is_gone(interruption: type[BaseException], tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_text("old")
    with pytest.raises(interruption), replacing(target) as fresh:
        write_half(fresh, interruption)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["film.mp4"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "plan.json"
    victim.write_text("precious")
    target.symlink_to(victim)
    write_whole(target, b"new")
    assert (victim.read_text(), target.read_text()) == ("precious", "new")
    assert not target.is_symlink()


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_temp_name_is_never_used_twice(tmp_path: Path) -> None:
    with scratch(tmp_path / "a") as first, scratch(tmp_path / "a") as second:
        assert len({first, second, temp_beside(tmp_path / "a")}) == 3
    assert names(tmp_path) == []


def test_no_room_says_how_much_is_needed(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with (
            pytest.raises(DiskFull, match=r"1,234 bytes"),
            room_for(tmp_path / "a", 1234),
        ):
            raise OSError(number, "full")
    with pytest.raises(PermissionError), room_for(tmp_path / "a", 1234):
        raise PermissionError


def test_sweeping_takes_what_has_a_temp_files_name_and_is_held_by_nobody(tmp_path: Path) -> None:
    token = "0" * 16
    stale = [f".a.png.render-{token}.tmp", f".b\nc.render-{token}.tmp"]
    kept = [f".a.png.elsewhere-1-{token}.tmp", f".render-{token}.tmp", ".a.png.tmp", "a.png"]
    for name in stale + kept:
        (tmp_path / name).write_text("x")
    (tmp_path / f".folder.render-{token}.tmp").mkdir()
    (tmp_path / f".link.render-{token}.tmp").symlink_to(tmp_path / "a.png")
    with scratch(tmp_path / "b") as ours:
        assert sweep(tmp_path) == 2
        assert ours.exists()
    assert names(tmp_path) == sorted(
        [*kept, f".folder.render-{token}.tmp", f".link.render-{token}.tmp"]
    )


def test_a_temp_file_is_held_by_its_process_and_by_nobody_once_that_is_killed(
    tmp_path: Path,
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from render.files.temporary import scratch, scratch_folder\n"
        "with scratch(Path('a')), scratch_folder(Path('b')): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        sweep_folders(tmp_path)
        assert sweep(tmp_path) == 0
        assert len(names(tmp_path)) == 2
        other.kill()
        other.wait()
    sweep_folders(tmp_path)
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == []


def test_a_temp_file_that_a_sweep_takes_before_it_is_held_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept, hold = [], temporary.hold

    def late(descriptor: int) -> None:
        if not swept:
            swept.append(sweep(tmp_path))
        hold(descriptor)

    monkeypatch.setattr(temporary, "hold", late)
    write_whole(tmp_path / "a", b"whole")
    assert swept == [1]
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_where_there_are_no_locks_files_are_written_and_nobody_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with scratch(tmp_path / "a"):
        write_whole(tmp_path / "b", b"whole")
        assert sweep(tmp_path) == 0
    assert names(tmp_path) == ["b"]


def test_no_room_for_a_folder_that_is_not_there_yet_is_reported_too(tmp_path: Path) -> None:
    target = tmp_path / "not" / "there" / "yet"
    with pytest.raises(DiskFull, match=r"[\d,]+ are free"), room_for(target, 1):
        raise OSError(errno.ENOSPC, "full")


def test_a_file_that_already_says_so_keeps_its_time(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    write_if_changed(target, b"one")
    os.utime(target, (1, 1))
    write_if_changed(target, b"one")
    assert target.stat().st_mtime == 1
    write_if_changed(target, b"two")
    assert (target.read_bytes(), target.stat().st_mtime == 1) == (b"two", False)
