"""config.yaml: the config of a run, as it was resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from render.files.atomic import write_if_changed
from render.files.ownership import CONFIG_MARK, make_way
from render.run.session import Session


def write_config(run: Session) -> None:
    """Write the config as resolved, for whoever wants to know it or to give it again."""
    path = run.film.folder / "config.yaml"
    make_way(path, run.events.warn)
    write_if_changed(path, as_yaml(run.composed))


def as_yaml(composed: Mapping[str, Any]) -> bytes:
    """The content of config.yaml."""
    text: str = yaml.safe_dump(dict(composed), allow_unicode=True, sort_keys=False)
    return f"{CONFIG_MARK}{text}".encode()
