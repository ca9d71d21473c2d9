"""JSON in files that a run finds. They may come from anyone, so they are checked.

What is no JSON, is nested too deeply, or holds numbers that are none is a ValueError that says so;
what can't be read at all is an OSError, as then nobody knows what it is.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from render.files.atomic import MEMORY_BYTES, is_regular, opened_regular

MOST_DIGITS = 300  # of a whole number; a float ends at 308


def parsed(content: bytes | str) -> object:
    """JSON as data.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(content, parse_constant=no_number, parse_float=finite, parse_int=whole)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is no JSON ({error})") from None


def no_number(text: str) -> float:
    """NaN and the infinities, which JSON does not have."""
    raise ValueError(f"holds {text}, which is no number")


def finite(text: str) -> float:
    """A number that a float can hold."""
    value = float(text)
    return value if math.isfinite(value) else no_number(text)


def whole(text: str) -> int:
    """A whole number that a float can hold: whoever counts with it may make it one."""
    return int(text) if len(text) <= MOST_DIGITS else int(no_number(f"{text[:20]}…"))


def read_data(path: Path, most: int = MEMORY_BYTES) -> object:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: there is none.
        OSError: it can't be read.
        ValueError: it is no file of JSON, or larger than `most` bytes.
    """
    if not is_regular(path):
        raise ValueError("is no regular file")
    with opened_regular(path) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"is larger than {most:,} bytes")
    return parsed(content)


def read_memory(path: Path) -> dict[str, object]:
    """The facts that earlier runs kept in a file; one that can't be used only costs time."""
    try:
        return read_to_add(path)
    except OSError:
        return {}


def read_to_add(path: Path) -> dict[str, object]:
    """The same for whoever writes the file again with more.

    Raises:
        OSError: it can't be read just now, so what it holds would be lost.
    """
    try:
        value = read_data(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def flaw_of(path: Path) -> str | None:
    """The reason to pass over a file that render writes; None if there is none, or no file."""
    try:
        value = read_data(path)
    except OSError:
        return None
    except ValueError as error:
        return f"{path} {error}; it is passed over"
    return None if isinstance(value, dict) else f"{path} is no JSON object; it is passed over"
