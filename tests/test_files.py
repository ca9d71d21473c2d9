"""Files are whole or not there, whatever happens in between."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from render.errors import DiskFull
from render.files import (
    HOST,
    replacing,
    room_for,
    scratch,
    sweep,
    temp_beside,
    write_if_changed,
    write_whole,
)


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


def test_sweeping_takes_temp_files_of_ended_processes_of_this_machine_only(
    tmp_path: Path,
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    token = "0" * 16
    stale = [f".a.png.{HOST}-{pid}-{token}.tmp" for pid in (ended.pid, os.getpid())]
    kept = [
        f".a.png.{HOST}-1-{token}.tmp",
        f".a.png.elsewhere-{ended.pid}-{token}.tmp",
        ".a.png.tmp",
        "a.png",
    ]
    for name in stale + kept:
        (tmp_path / name).write_text("x")
    (tmp_path / f".folder.{HOST}-{ended.pid}-{token}.tmp").mkdir()
    with scratch(tmp_path / "b") as ours:
        assert sweep(tmp_path) == 2
        assert ours.exists()
    assert names(tmp_path) == sorted([*kept, f".folder.{HOST}-{ended.pid}-{token}.tmp"])


def test_no_room_for_a_folder_that_is_not_there_yet_is_told_too(tmp_path: Path) -> None:
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
