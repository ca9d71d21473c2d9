"""Shards share one film; two whole runs never share a folder."""

import os
import re
import socket

import pytest
from pictures import same_pictures

from render.files.lock import holding


def test_shards_one_after_the_other_render_each_frame_once(place):
    first = place.render("+timeline=t", "shard=0/2")
    assert first.code == 0
    assert "2 frames of other shards are missing; the last one stitches" in first.err
    assert place.run_json("t")["frames"] == {"planned": 3, "kept": 0, "rendered": 3, "failed": 0}
    assert not (place.folder / "outputs" / "t" / "t.mp4").exists()
    assert place.render("+timeline=t", "shard=1/2").code == 0
    assert place.counts("t") == (0, 2)
    assert (place.folder / "outputs" / "t" / "t.mp4").is_file()
    place.render("+timeline=t")
    assert place.counts("t") == (5, 0)
    place.render("+timeline=t", "root=whole")
    assert same_pictures(place.pictures("t"), place.pictures("t", "whole"))


def test_shards_side_by_side_render_each_frame_once(place):
    shards = [place.start("+timeline=t", f"shard={index}/2") for index in range(2)]
    ends = [shard.communicate(timeout=120) for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0]
    assert [re.search(r"frames +(\d+) rendered", out)[1] for out, _ in ends] == ["3", "2"]
    assert any("t.mp4" in out for out, _ in ends)
    assert len(list((place.folder / "outputs" / ".store").glob("??/*.png"))) == 5
    assert place.render("+timeline=t").code == 0
    assert place.counts("t") == (5, 0)


def test_one_shard_stitches_when_the_store_has_the_others(place):
    place.render("+timeline=t", "name=before")
    place.render("+timeline=t", "shard=0/2")
    assert len(place.pictures("t")) == 5
    assert (place.folder / "outputs" / "t" / "t.mp4").is_file()


def nothing():
    return None


def test_a_shard_of_another_plan_is_refused_while_one_is_at_work(place):
    place.render("+timeline=t", "shard=0/2", "mode=plan")
    with holding(place.folder / "outputs" / "t", "0-of-2", nothing, nothing):
        same = place.render("+timeline=t", "shard=1/2")
        other = place.render("+timeline=t", "shard=1/2", "timeline.keyframes.0.prompt=three")
    assert same.code == 0
    assert other.code == 2
    assert "shards of another plan are at work here" in other.err


@pytest.mark.parametrize("held_by", [None, "0-of-2"])
def test_a_whole_run_is_refused_while_another_holds_the_folder(place, held_by, monkeypatch):
    monkeypatch.setattr("render.files.lock.SHARD_PATIENCE_S", 0.1)
    folder = place.folder / "outputs" / "t"
    with holding(folder, held_by, nothing, nothing):
        ended = place.render("+timeline=t")
    assert ended.code == 75
    assert f"pid {os.getpid()} on {socket.gethostname()}, since 20" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (folder / "frames").exists()
    assert place.render("+timeline=t").code == 0


def test_the_same_shard_twice_is_refused(place):
    with holding(place.folder / "outputs" / "t", "1-of-2", nothing, nothing):
        ended = place.render("+timeline=t", "shard=1/2")
    assert ended.code == 75


@pytest.mark.parametrize("shard", ["2/2", "-1/2", "1", "a/b", "0/0"])
def test_a_shard_that_is_none_is_a_mistake(place, shard):
    ended = place.render("+timeline=t", f"shard={shard}")
    assert ended.code == 2
    assert "shard is i/n with i from 0 to n-1" in ended.err
