"""The thread that works behind the asking one's back: in order, bounded, and losing nothing."""

import os
import signal
import threading
import time
import weakref
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from test_frame_loop import StandIn, frames

import render.run.background
from render.diffusion.pending_images import Arriving
from render.errors import DiskFull, FramesFailed
from render.run.background import ROOM, behind
from render.run.frame_loop import render_frames

DEADLINE_S = 60


def ignored(*_):
    pass


def as_it_is(piece):
    return piece


def hand_on(do, *batches, end=None, prepare=as_it_is, **options):
    """A block that hands on batches, and then ends well or with an error."""
    with behind(prepare, do, **options) as thread:
        for pieces in batches:
            thread.put(pieces)
        if end:
            raise end


def test_pieces_are_done_in_order_by_one_other_thread():
    done = []
    hand_on(lambda piece: done.append((piece, threading.get_ident())), "ab", "", "cde")
    assert "".join(piece for piece, _ in done) == "abcde"
    assert len({ident for _, ident in done} - {threading.get_ident()}) == 1


def test_pieces_are_prepared_side_by_side_and_done_in_order():
    together, done = threading.Barrier(2, timeout=DEADLINE_S), []

    def prepare(piece):
        together.wait()  # two of them at a time, or never
        time.sleep(0.01 * (piece in "ac"))
        return piece.upper()

    with behind(prepare, done.append, at_once=2) as thread:
        thread.put("abcd")
        thread.put("ef")
    assert done == list("ABCDEF")


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_error_of_preparing_ends_it_like_one_of_doing(at_once):
    done = []

    def prepare(piece):
        if piece == "c":
            raise DiskFull("no room")
        return piece

    with pytest.raises(DiskFull):
        hand_on(done.append, "abcd", prepare=prepare, at_once=at_once)
    assert done == ["a", "b"]


def test_the_asking_side_goes_on_meanwhile():
    go_on, done = threading.Event(), []
    with behind(as_it_is, lambda piece: go_on.wait(DEADLINE_S) and done.append(piece)) as thread:
        thread.put("ab")
        thread.put("c")
        assert not done
        go_on.set()
    assert done == ["a", "b", "c"]


@pytest.mark.parametrize("error", [DiskFull("no room"), OSError(5, "Input/output error", "x.png")])
def test_an_error_is_raised_when_more_is_handed_on_and_nothing_more_is_tried(error):
    tried = []

    def do(piece):
        tried.append(piece)
        if piece == "b":
            raise error

    waits = []

    def waiting():
        waits.append("for room, or for the end")
        return nullcontext()

    with pytest.raises(type(error)) as raised:
        hand_on(do, *["abc"] * 50, waiting=waiting)
    assert raised.value is error
    assert tried == ["a", "b"]
    assert len(waits) <= ROOM + 2  # nothing more was handed on


@pytest.mark.parametrize("own", [None, FramesFailed("8 frames in a row failed")])
def test_an_error_of_what_came_last_is_raised_at_the_end_in_place_of_the_blocks_own(own):
    def do(piece):
        raise DiskFull("no room")

    with pytest.raises(DiskFull):
        hand_on(do, "a", end=own)


@pytest.mark.parametrize("error", [FramesFailed("8 frames in a row failed"), KeyboardInterrupt()])
def test_what_was_handed_on_is_done_when_the_block_ends_badly(error):
    done = []

    def do(piece):
        time.sleep(0.05)
        done.append(piece)

    with pytest.raises(type(error)):
        hand_on(do, "ab", "c", end=error)
    assert done == ["a", "b", "c"]


@pytest.fixture
def interruptible_here():
    """Ctrl-C is Python's KeyboardInterrupt, also in a shell's background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible_here")
def test_a_signal_while_there_is_no_room_loses_nothing():
    waits, done = [], []

    @contextmanager
    def waiting():
        waits.append("for room, or for the end")
        yield

    def do(piece):
        while len(waits) < 2:
            time.sleep(0.001)
        if piece == "a":
            os.kill(os.getpid(), signal.SIGINT)
        done.append(piece)

    with pytest.raises(KeyboardInterrupt):
        hand_on(do, "ab", "cd", waiting=waiting, room=1)
    assert done == ["a", "b", "c", "d"]


def test_a_signal_does_not_wait_for_work_that_hangs(monkeypatch):
    monkeypatch.setattr(render.run.background, "GRACE_S", 0.05)
    end_of_test, done = threading.Event(), []

    def do(piece):
        end_of_test.wait(DEADLINE_S)
        done.append(piece)

    with pytest.raises(KeyboardInterrupt):
        hand_on(do, "a", end=KeyboardInterrupt())
    assert not done
    end_of_test.set()


@pytest.mark.parametrize("count", [40, 160])
def test_as_many_pictures_are_alive_however_long_the_film_is(count):
    made, alive, kept = [], [], []

    class Model(StandIn):
        def render(self, specs, on_step):
            pictures = [np.zeros((8, 8, 3), np.uint8) for _ in specs]
            made.extend(map(weakref.ref, pictures))
            return Arriving(pictures, [True] * len(pictures))

    def keep(finished):
        time.sleep(0.001)  # slower than the model
        alive.append(sum(picture() is not None for picture in made))
        kept.append(finished[0].index)

    with behind(lambda come: (come[0], come[1]()), keep) as keeper:
        calls = (ignored, ignored, keeper.put, ignored, ignored)
        for _ in render_frames(Model(4), frames(count), *calls):
            pass
    assert kept == list(range(count))
    assert max(alive) <= 4 * (ROOM + 1)
