"""Engines by the names that a config calls them: our own and those of other packages.

Another package ships one as a class (protocol.py) and an entry point of the group
`render.engines`, with a config of its name in `configs/compute/` if it needs one.
"""

from __future__ import annotations

from render.config.schema import ComputeConfig
from render.engines.protocol import Abilities, Engine
from render.errors import ConfigError, Mistake
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


def abilities_of(engine: object) -> Abilities:
    """The abilities that an engine, or its class, states; the defaults if it states none.

    Raises:
        ConfigError: it states something else.
    """
    stated = getattr(engine, "abilities", Abilities())
    if not isinstance(stated, Abilities):
        what = f"`abilities` of {engine} is {stated!r}; make it an Abilities (engines/protocol.py)"
        raise ConfigError([Mistake(KEY, what)])
    return stated


def abilities_named(name: str) -> Abilities:
    """The abilities of the engine of that name, which a config has checked.

    Raises:
        ConfigError: another package's engine can't be imported, or states something else.
    """
    return abilities_of(CLASSES[name])


def as_loaded(compute: ComputeConfig, abilities: Abilities) -> ComputeConfig:
    """The settings by which weights are loaded: plain ones, if the engine quantises them itself."""
    return compute.model_copy(update={"quantised": "none"}) if abilities.quantises_as else compute
