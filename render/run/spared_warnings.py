"""Warnings of the libraries, in a process that makes errors of warnings (`python -W error`)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

IS_ERROR = "error"  # as filters name what they do


@contextmanager
def libraries_spared() -> Iterator[None]:
    """Let the libraries warn in the block without ending a render. Never around a `yield` to the
    caller, whose own warnings stay errors.

    The filters belong to the whole process, and Python changes them back in the order of the
    blocks, whatever thread they are in. So they are touched only where one makes errors.
    """
    if not any(action == IS_ERROR for action, *_ in warnings.filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
