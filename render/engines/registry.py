"""Engines by the names that a config calls them: our own and those of other packages.

Another package ships one as a class (protocol.py) and an entry point of the group
`render.engines`, with a config of its name in `configs/compute/` if it needs one.
"""

from __future__ import annotations

from render.engines.protocol import Engine
from render.extensions import ENGINES, Registry

KEY = "compute.engine"
CLASSES: Registry[type] = Registry(ENGINES, type)


def engine_named(name: str) -> Engine:
    """The engine of that name, which a config has checked.

    Raises:
        ConfigError: another package's engine can't be imported, or is no class.
    """
    made: Engine = CLASSES[name]()
    return made
