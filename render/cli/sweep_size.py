"""How many jobs a sweep has, before Hydra lists them: a list of a thousand million never ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, DecimalException
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.utils import get_class

from render.cli.config_folders import known_choices
from render.config.values import nearest
from render.errors import ConfigError, Mistake

MOST_JOBS = 10_000
SHARDS = (
    "is for several processes or machines at one film, and a sweep's jobs come one after the "
    "other; leave it out, or give each process a command of its own: shard=0/2, shard=1/2"
)
PARTS = "chooses among the frames of one film, and takes several in quotes: frames='\"24,48\"'"
Split = Callable[[list[Override], int | None], list[list[list[str]]]]
listed_by_hydra: Split = BasicSweeper.split_arguments


def count_first() -> None:
    """Let Hydra's sweeper count before it lists, whatever the sweep's values come from."""
    # By its name, since Hydra imports its plugins anew. It makes a sweeper by its class's name, and
    # refuses one from elsewhere; what a callback raises is only a warning.
    sweeper: Any = get_class(f"{BasicSweeper.__module__}.{BasicSweeper.__name__}")
    sweeper.split_arguments = staticmethod(counted)


def counted(overrides: list[Override], batch: int | None) -> list[list[list[str]]]:
    """The jobs as Hydra lists them.

    Raises:
        ConfigError: they are none, or too many.
    """
    check_jobs(overrides)
    return listed_by_hydra(overrides, batch)


def check_jobs(overrides: Sequence[Override]) -> None:
    """Refuse a sweep without a job, one without an end, and one over parts of a film."""
    swept = [each for each in overrides if each.is_sweep_override()]
    by_key = {each.get_key_element().lstrip("+"): each for each in swept}
    counts = {key: values_in(each) for key, each in by_key.items()}
    wrong = [Mistake(key, why) for key, each in by_key.items() if (why := endless(each))]
    wrong += [Mistake(key, without_values(key)) for key, count in counts.items() if count == 0]
    if counts.get("shard", 0) > 1:
        wrong.append(Mistake("shard", SHARDS))
    wrong += [Mistake(key, PARTS) for key in ("frames", "at") if counts.get(key, 0) > 1]
    if wrong:
        raise ConfigError(wrong)
    jobs = math.prod(counts.values())
    if jobs > MOST_JOBS:
        longest = max(counts, key=lambda key: counts[key])
        length = "without an end" if math.isinf(jobs) else f"of {jobs:,} jobs"
        what = (
            f"a sweep {length}; {MOST_JOBS:,} are the most: take fewer values, or several commands"
        )
        raise ConfigError([Mistake(longest, what)])


def values_in(override: Override) -> float:
    """Number of values of a swept key; infinity where there is no end."""
    value: Any = override.value()
    if isinstance(value, RangeSweep):
        return steps_in(value)
    if isinstance(value, Glob):
        return len(list(override.sweep_string_iterator()))
    listed = getattr(value, "list", value)
    return len(listed) if isinstance(listed, list) else 1


def endless(override: Override) -> str | None:
    """The flaw of a sweep over this key, or None."""
    if override.is_interval_sweep():
        return "an interval holds numbers without end; write some of them, or a range"
    return None


def steps_in(value: RangeSweep) -> float:
    """Number of values of a `range(start, stop, step)`."""
    try:
        start, stop, step = (Decimal(str(part)) for part in (value.start, value.stop, value.step))
        return max(0, math.ceil((stop - start) / step))
    except (DecimalException, OverflowError, ValueError, ZeroDivisionError):
        return math.inf


def without_values(key: str) -> str:
    """The message for a swept key without a value, with the choices of its group."""
    if known := known_choices(key):
        return f"no choice fits this pattern{nearest('', known)}"
    return "is swept over no value: range(1,4) is 1, 2, 3, and glob(…) is for names of configs"
