"""The run's folder while a run is at work in it: held, with the plan frozen, the log open and the
config as it was resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from render.errors import OtherPlan
from render.files.atomic import syncs, write_if_changed
from render.files.lock import holding, sharing
from render.files.ownership import CONFIG_MARK, make_way
from render.plan.plan_json import freeze, plan_files
from render.run.even_pace import with_time_maps
from render.run.session import Session


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
        if film.config.shard or not film.plan.unmeasured:
            freeze_plan(run)

    def agree() -> None:
        if not film.plan.unmeasured:
            check_agreement(run)

    with (
        sharing(film.store, events.say),
        holding(film.folder, film.config.shard, write_plan, agree),
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
    if not run.film.plan.unmeasured:
        return run
    asked, run = run, with_time_maps(run)
    if run.film.config.shard and not is_frozen(asked):
        check_agreement(run)  # with a shard that has measured the same
    else:
        freeze_plan(run)
    return run


def freeze_plan(run: Session) -> None:
    """Write the plan by which the run renders."""
    freeze(run.film.folder, run.film.plan, run.name, run.events.warn)


def check_agreement(run: Session) -> None:
    """Hold the run's plan against the one that is frozen in its folder.

    Raises:
        OtherPlan: they differ.
    """
    if not is_frozen(run):
        raise OtherPlan(
            f"{run.film.folder}: shards of another plan are at work here; wait for them, or give "
            "this one another name="
        )


def is_frozen(run: Session) -> bool:
    """Whether the run's plan is the one that is frozen in its folder."""
    files = plan_files(run.film.plan, run.name)
    return (run.film.folder / "plan.json").read_bytes() == files["plan.json"]


def write_config(run: Session) -> None:
    """Write the config as resolved, for whoever wants to know it or to give it again."""
    path = run.film.folder / "config.yaml"
    make_way(path, run.events.warn)
    write_if_changed(path, as_yaml(run.composed))


def as_yaml(composed: Mapping[str, Any]) -> bytes:
    """The content of config.yaml."""
    text: str = yaml.safe_dump(dict(composed), allow_unicode=True, sort_keys=False)
    return f"{CONFIG_MARK}{text}".encode()
