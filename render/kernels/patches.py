"""The one place where attributes of a library's objects are replaced, with the way back for each.

Kernels, caches and the blend work inside of stock pipelines by standing in the place of single
attributes: a layer's `forward`, an attention processor, a scheduler's `step`. All of that goes
through `Patches`, whose `close` puts everything back in reverse order. So do the few settings of
the process that hold while a model is loaded or at work: TF32, the libraries' loggers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, TypeVar

from torch import nn

ABSENT = object()
Value = TypeVar("Value")


class Patches:
    """Attributes that stand replaced; also a context manager, that closes itself.

    It patches instances. A class of a library is patched nowhere but while a model is loaded
    (components.py), and `torch.nn.Module` never.
    """

    def __init__(self) -> None:
        self.ways_back: list[Callable[[], object]] = []

    def __enter__(self) -> Patches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute until `close`; one that was not there before is removed then.

        Args:
            owner: a module (whose layers are attributes, too), a pipeline, a scheduler or a class.
        """
        self.ways_back.append(way_back(owner, name))
        both = isinstance(owner, nn.Module) and isinstance(value, nn.Module)
        if both and name not in owner._modules:
            vars(owner)[name] = value  # a second name of a layer, and no layer of its own
        else:
            setattr(owner, name, value)

    def remove(self, owner: Any, name: str) -> None:
        """Take an attribute away until `close`."""
        self.ways_back.append(way_back(owner, name))
        delattr(owner, name)

    def exchange(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute for good: a layer whose weights were laid out anew, a text encoder that
        is no longer needed.

        What stood there is let go, since keeping it is what takes the memory; the model has to be
        loaded again to be the stock one.
        """
        setattr(owner, name, value)

    def switch(
        self, read: Callable[[], Value], write: Callable[[Value], object], to: Value
    ) -> None:
        """Change a setting until `close`, by the functions that read and write it."""
        self.ways_back.append(partial(write, read()))
        write(to)

    def switch_attribute(self, owner: Any, name: str, to: object) -> None:
        """Change a setting until `close` that is read and written as an attribute, but is kept
        elsewhere: one of `torch.backends`."""
        self.switch(partial(getattr, owner, name), partial(setattr, owner, name), to)

    def enter(self, entries: MutableMapping[Any, Any], key: object, value: object) -> None:
        """Set an entry until `close`; one that was not there before is removed then."""
        before = entries.get(key, ABSENT)
        back = partial(entries.__setitem__, key, before)
        self.ways_back.append(partial(entries.pop, key, None) if before is ABSENT else back)
        entries[key] = value

    def watch(self, network: nn.Module) -> None:
        """Remove at `close` all attributes that a library's own methods add to a network's modules
        from now on."""
        before = {module: set(vars(module)) for module in network.modules()}

        def put_back() -> None:
            for module, names in before.items():
                for name in set(vars(module)) - names:
                    del vars(module)[name]

        self.ways_back.append(put_back)

    def add(self, way_back: Callable[[], object]) -> None:
        """Remember how to undo something that a library's own method did."""
        self.ways_back.append(way_back)

    def close(self) -> None:
        """Put everything back, the latest first."""
        while self.ways_back:
            self.ways_back.pop()()


def way_back(owner: Any, name: str) -> Callable[[], None]:
    """The function that gives an attribute its present value again, or removes it. It keeps no
    owner alive: a text encoder can be freed before."""
    there = weakref.ref(owner)
    layers = owner._modules if isinstance(owner, nn.Module) else {}
    before = layers.get(name, vars(owner).get(name, ABSENT))
    aside = isinstance(before, nn.Module) and name not in layers

    def put_back() -> None:
        owner = there()
        if owner is None:
            return
        if before is ABSENT:
            delattr(owner, name)
        elif aside:
            vars(owner)[name] = before
        else:
            setattr(owner, name, before)

    return put_back
