"""The run's folder while a run is at work in it: held, with the plan frozen and the log open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from render.errors import OtherPlan
from render.files.atomic import syncs
from render.files.lock import holding, sharing
from render.files.ownership import make_way, read_head
from render.plan.plan_json import freeze, plan_files
from render.run.even_pace import with_time_maps
from render.run.session import Session
from render.store.plan_digests import digest_of, frames_in

OF_A_PACE = re.compile(rb'\n "(?:digest": "\w*"|unmeasured": \d+),')
"""Lines of a plan that are others once the film's pace was measured."""


@contextmanager
def held(run: Session) -> Iterator[None]:
    """Hold the run's folder with the plan frozen in it, and its log open. A plan whose pace is not
    measured yet is frozen for shards only, which agree on it: `with_measured_plan` does the rest.

    Raises:
        FolderBusy: another run holds it.
        OtherPlan: shards of another plan are at work in it.
    """
    film, events = run.film, run.events

    def write_plan() -> None:
        if film.config.part or not film.plan.unmeasured:
            freeze_plan(run)

    def agree() -> None:
        if not film.plan.unmeasured:  # else nobody knows yet; see with_measured_plan
            check_agreement(run)

    with (
        sharing(film.store, events.say),
        holding(film.folder, film.config.part, write_plan, agree),
    ):
        if not syncs(film.folder):
            events.warn(
                f"{film.folder}: this disk can't be asked to keep what is written (fsync); a power "
                "cut may lose what is newest"
            )
        for name in ("render.log", "run.json"):
            make_way(film.folder / name, events.warn)
        events.log.open(film.folder / "render.log")
        yield


def with_measured_plan(run: Session) -> Session:
    """The run with the pace of its film measured, and the plan frozen by which it renders.

    Raises:
        FramesFailed: probes could not be rendered.
        OtherPlan: shards of another plan are at work.
    """
    if run.film.config.mode == "keyframes":
        return run  # keyframes stay where they are, whatever the pace between them
    if run.film.plan.unmeasured:
        run = with_time_maps(run)
    elif not (run.film.plan.paces and run.film.config.part):
        return run  # by the plan that is frozen
    if run.film.config.part:
        check_agreement(run)
    if not (run.film.config.part and is_frozen(run)):
        freeze_plan(run)
    return run


def freeze_plan(run: Session) -> None:
    """Write the plan by which the run renders."""
    freeze(run.film.folder, run.film.plan, run.name, run.events.warn)


def check_agreement(run: Session) -> None:
    """Hold the run's plan against the one that is frozen in its folder, which another shard may
    have planned before the film's pace was measured.

    Raises:
        OtherPlan: they differ.
    """
    if not is_frozen(run) and not was_frozen_unmeasured(run):
        raise OtherPlan(
            f"{run.film.folder}: shards of another plan are at work here; wait for them, or give "
            "this one another name="
        )


def is_frozen(run: Session) -> bool:
    """Whether the run's plan is the one that is frozen in its folder."""
    files = plan_files(run.film.plan, run.name)
    return (run.film.folder / "plan.json").read_bytes() == files["plan.json"]


def was_frozen_unmeasured(run: Session) -> bool:
    """Whether the frozen plan is that of the same film when the pace of some of its segments was
    not known, so that their frames stand where the clock has them."""
    film = run.film
    if not film.plan.paces:
        return False
    frozen, by_clock = film.folder / "plan.json", film.plan_by({})
    # A jump that was measured changes how the film is finished, so its plan's head too.
    plans = (plan_files(plan, run.name)["plan.json"] for plan in (film.plan, by_clock))
    if heads(read_head(frozen)) not in map(heads, plans):
        return False
    try:
        digests = [digest_of(frame) for frame in frames_in(frozen)]
    except (OSError, ValueError):
        return False
    both = zip(film.plan.frames, by_clock.frames, strict=True)
    may_be = [{frame.digest, unmeasured.digest} for frame, unmeasured in both]
    return len(digests) == len(may_be) and all(map(set.__contains__, may_be, digests))


def heads(plan: bytes) -> bytes:
    """A plan's text before its frames, without their digest and the number of segments that are not
    measured."""
    return OF_A_PACE.sub(b"", plan.partition(b'\n "frames": ')[0])
