"""Progress as lines, by a clock of the test's own."""

from __future__ import annotations

from render.report.events import Progress
from render.report.lines import numbers, progress_line
from render.report.progress import BRIEFEST_S, LONGEST_S, Phase


class Watch:
    """A clock that moves only when the test moves it."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def __call__(self) -> float:
        return self.time_s


def begin(total: int) -> tuple[Phase, Watch, list[str]]:
    watch, lines = Watch(), list[str]()

    def take(event: Progress) -> None:
        if event.due:
            lines.append(progress_line(event))

    return Phase("render", total, take, watch), watch, lines


def test_lines_hold_frames_speed_time_left_and_prompt() -> None:
    progress, watch, lines = begin(20)
    progress.now(4, "A castle\n[in] the mist")
    watch.time_s += 8
    progress.finish(4)
    assert lines == ["render 4/20, 2.0 s/frame, 32 s left: A castle [in] the mist"]


def test_fast_frames_make_few_lines() -> None:
    progress, watch, lines = begin(1000)
    for _ in range(1000):
        watch.time_s += 0.01
        progress.finish(1)
    assert 2 <= len(lines) <= 10 / BRIEFEST_S
    assert lines[-1] == "render 1000/1000, 100.0 frames/s"


def test_many_frames_make_a_line_each_tenth_or_after_a_long_silence() -> None:
    progress, watch, lines = begin(10_000)
    for _ in range(10_000):
        watch.time_s += 1
        progress.finish(1)
    assert len(lines) == 10_000 / LONGEST_S // 1 + 1


def test_a_slow_frame_is_not_silent() -> None:
    progress, watch, lines = begin(2)
    progress.now(1, "A castle")
    for step in range(50):
        watch.time_s += 10
        progress.step(step + 1, 50)
    assert len(lines) == 500 / LONGEST_S // 1
    assert lines[-1].startswith("render 0/2, ")
    assert "left: A castle" in lines[-1]


def test_steps_of_the_batch_count_for_the_speed() -> None:
    progress, watch, _ = begin(8)
    progress.now(4, "A castle")
    watch.time_s += 5
    progress.step(5, 10)
    assert numbers(progress.state(due=False)) == "0/8, 2.5 s/frame, 15 s left"
    progress.finish(4)
    assert numbers(progress.state(due=False)) == "4/8, 1.2 s/frame, 5.0 s left"


def test_a_phase_that_counts_by_itself() -> None:
    progress, watch, lines = begin(5)
    for done in range(1, 11):
        watch.time_s += 1
        progress.reach(done, 10)
    assert lines[-1] == "render 10/10, 1.0 frames/s"


def test_the_last_line_comes_once() -> None:
    progress, _, lines = begin(3)
    progress.finish(3)
    progress.step(1, 1)
    assert len(lines) == 1


def test_nothing_to_do() -> None:
    progress, _, lines = begin(0)
    assert numbers(progress.state(due=False)) == "0/0"
    assert lines == []
