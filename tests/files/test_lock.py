"""One run a folder: the second names its holder, and nothing has to be unlocked."""

import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from render.errors import ConfigError, FolderBusy
from render.files import lock
from render.files.atomic import HOST
from render.files.lock import LOCK_NAME, holding

HOLD = """
import sys
from pathlib import Path
from render.files.lock import holding
with holding(Path(sys.argv[1]), None, lambda: None, lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def nothing():
    pass


def hold(folder, part=None, freeze=nothing, agree=nothing):
    return holding(folder, part, freeze, agree)


def busy(folder, part=None):
    with pytest.raises(FolderBusy) as error, hold(folder, part):
        pass
    return str(error.value)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "SHARD_PATIENCE_S", 0.1)


def test_the_second_learns_who_holds_the_folder(tmp_path):
    with hold(tmp_path):
        said = busy(tmp_path)
    assert f"{tmp_path} is held by another run (pid {os.getpid()} on {HOST}, since 20" in said
    with hold(tmp_path):
        pass


def test_a_killed_run_needs_no_unlocking(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert f"pid {other.pid} on {HOST}" in busy(tmp_path)
        other.kill()
        other.wait()
        with hold(tmp_path):
            pass


def test_the_plan_is_frozen_only_while_the_folder_is_held_alone(tmp_path):
    frozen = []
    with hold(tmp_path, freeze=lambda: frozen.append(busy(tmp_path))):
        pass
    assert len(frozen) == 1
    with (
        hold(tmp_path),
        pytest.raises(FolderBusy),
        hold(tmp_path, freeze=lambda: frozen.append("twice")),
    ):
        pass
    assert len(frozen) == 1


def test_shards_share_the_folder_and_the_first_freezes_the_plan(tmp_path):
    events = []
    with ExitStack() as held:
        for place in range(3):
            freeze, agree = f"{place} freezes", f"{place} agrees"
            held.enter_context(
                hold(
                    tmp_path,
                    f"{place}-of-3",
                    lambda said=freeze: events.append(said),
                    lambda said=agree: events.append(said),
                )
            )
        assert events == ["0 freezes", "0 agrees", "1 agrees", "2 agrees"]
        assert "held by another run" in busy(tmp_path, "1-of-3")
        assert "held by another run" in busy(tmp_path)


def test_a_whole_run_shares_with_no_shard(tmp_path):
    with hold(tmp_path):
        assert f"pid {os.getpid()}" in busy(tmp_path, "0-of-2")


def test_a_shard_of_another_plan_is_refused(tmp_path):
    def disagree():
        raise ConfigError("shards of another plan are at work here")

    with hold(tmp_path, "0-of-2"):
        with (
            pytest.raises(ConfigError, match="another plan"),
            hold(tmp_path, "1-of-2", nothing, disagree),
        ):
            pass
        with hold(tmp_path, "1-of-2"):  # its own share is free again
            pass


def test_a_whole_run_that_slips_in_before_the_first_shard_shares_is_not_waited_for(
    tmp_path, monkeypatch
):
    """Going from alone to shared is two steps for the system."""
    share = lock.share

    def another_comes(descriptor):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        with hold(tmp_path):
            return share(descriptor)

    monkeypatch.setattr(lock, "share", another_comes)
    assert "held by another run" in busy(tmp_path, "0-of-2")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "film"
    folder.mkdir()
    (folder / LOCK_NAME).symlink_to(victim)
    assert "remove it if it is a link" in busy(folder)
    assert victim.read_text() == "precious"


def test_what_holds_the_lock_may_be_unknown(tmp_path):
    with hold(tmp_path):
        for content in ("", '{"pid": 1', "\0\0"):
            (tmp_path / LOCK_NAME).write_text(content)
            assert "pid ? on ?, since ?" in busy(tmp_path)


def test_a_full_disk_keeps_nobody_from_holding(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.os, "pwrite", full)
    with hold(tmp_path):
        assert "held by another run" in busy(tmp_path)


def test_a_folder_that_can_not_be_is_a_mistake_of_the_config(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"root: .* can't be made"), hold(tmp_path / "file" / "x"):
        pass
