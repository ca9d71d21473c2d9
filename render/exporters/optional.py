"""Libraries that not everyone has installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from render.errors import ConfigError, Mistake


def optional(module: str) -> Any:
    """A module of the extra `editors`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        what = "is not installed; pip install 'render[editors]' installs it"
        raise ConfigError([Mistake(module, what)]) from None
