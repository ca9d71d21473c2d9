"""The values of a JSON file by their keys, each of the kind that it has to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from render.config.values import shown, text
from render.errors import ConfigError
from render.files.received_json import parsed
from render.importers.source import NO_JSON, Source

NUMBER = re.compile(r"[-+]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][-+]?\d{1,2})?", re.ASCII)


@dataclass(frozen=True)
class JsonFields:
    """A JSON object of a file to import. A value of `null` is as good as none.

    Attributes:
        source: the file.
        values: of the object, by key.
        path: the object's own key in the file, as `inputs.`; empty for the whole file.
    """

    source: Source
    values: Mapping[str, object]
    path: str = ""

    @classmethod
    def of(cls, source: Source) -> JsonFields:
        """The object that a whole file is.

        Raises:
            ConfigError: the file is no JSON, or no object.
        """
        if source.data is NO_JSON:
            try:
                parsed(source.text)
            except ValueError as error:
                raise source.refusal(str(error)) from None
        if not isinstance(source.data, dict):
            raise source.refusal("holds no JSON object, {…}, at its top")
        return cls(source, source.data)

    def has(self, key: str) -> bool:
        """Whether there is a value that says something."""
        return self.values.get(key) not in (None, "", [], {})

    def refusal(self, key: str, what: str) -> ConfigError:
        """The error about the value of a key."""
        return self.source.refusal(what, key=f"{self.path}{key}")

    def mismatch(self, key: str, kind: str) -> ConfigError:
        """The error for a value of another kind."""
        return self.refusal(key, f"{kind} belongs here, not {shown(self.values[key])}")

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        value = self.values.get(key)
        return default if value is None else self.checked_text(key, value)

    def checked_text(self, key: str, value: object) -> str:
        """A value that has to be a text; half a surrogate pair is none."""
        try:
            return text(value)
        except PydanticCustomError:
            raise self.refusal(key, f"a text belongs here, not {shown(value)}") from None

    def texts(self, key: str) -> list[str]:
        """The texts of a list."""
        return [
            self.checked_text(f"{key}.{place}", value)
            for place, value in enumerate(self.items(key))
        ]

    def number(self, key: str) -> int | float | None:
        """A number, also one in quotes; whole ones as such."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.mismatch(key, "a number")
        return plain(value)

    def whole(self, key: str) -> int | None:
        """A whole number."""
        value = self.number(key)
        if isinstance(value, float):
            raise self.mismatch(key, "a whole number")
        return value

    def flag(self, key: str) -> bool:
        """A yes or no; without a value no."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.mismatch(key, "true or false")
        return bool(value)

    def items(self, key: str) -> list[object]:
        """A list; empty without one."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.mismatch(key, "a list")
        return value

    def inside(self, key: str) -> JsonFields:
        """An object in this one; empty without one."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.mismatch(key, "an object, {…},")
        return JsonFields(self.source, value or {}, f"{self.path}{key}.")

    def each(self, key: str) -> list[JsonFields]:
        """The objects of a list."""
        for place, value in enumerate(self.items(key)):
            if not isinstance(value, dict):
                what = f"an object, {{…}}, belongs here, not {shown(value)}"
                raise self.refusal(f"{key}.{place}", what)
        found = [value for value in self.items(key) if isinstance(value, dict)]
        return [
            JsonFields(self.source, value, f"{self.path}{key}.{place}.")
            for place, value in enumerate(found)
        ]


def plain(value: float) -> int | float:
    """A number as a person writes it: 7 rather than 7.0."""
    return int(value) if value == int(value) else value


def holds_object(source: Source, *keys: str) -> bool:
    """Whether a file is a JSON object with these keys. A broken one that names them all is taken
    for one, so that the error can say where it breaks."""
    if source.data is NO_JSON:
        begins = source.text.lstrip().startswith("{")
        return begins and all(f'"{key}"' in source.text for key in keys)
    return isinstance(source.data, dict) and all(key in source.data for key in keys)
