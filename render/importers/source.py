"""A file to import: its bytes, and what they are as text and as JSON. It may come from anyone."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from render.errors import ConfigError, Mistake
from render.files.received_json import parsed
from render.files.untrusted import UnreadableFile, read_whole

MOST_BYTES = 20_000_000
NO_JSON = object()
"""The `data` of a file that is no JSON, which may be `null`."""


@dataclass(frozen=True)
class Source:
    """A file to import.

    Attributes:
        path: as it was given.
        content: all its bytes.
    """

    path: Path
    content: bytes

    @cached_property
    def text(self) -> str:
        """The file as UTF-8, or as UTF-16 that begins with its mark; line ends are `\\n`. It is
        empty if it is neither."""
        marked = self.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        try:
            read = self.content.decode("utf-16" if marked else "utf-8-sig")
        except UnicodeDecodeError:
            return ""
        return read.replace("\r\n", "\n").replace("\r", "\n")

    @cached_property
    def data(self) -> object:
        """The file as JSON; `NO_JSON` if it is none."""
        try:
            return parsed(self.text) if self.text.lstrip()[:1] in ("{", "[") else NO_JSON
        except ValueError:
            return NO_JSON

    def refusal(self, what: str, line: int | None = None, key: str = "") -> ConfigError:
        """The error about this file.

        Args:
            what: is wrong, with the way out.
            line: from 1, where it is; None: in the whole file.
            key: in the file at which it is, as `animation_prompts.30`.
        """
        where = f"{self.path}:{line}" if line else str(self.path)
        return ConfigError([Mistake(where, f"{key}: {what}" if key else what)])


def opened_source(path: Path) -> Source:
    """A file to import, read whole.

    Raises:
        ConfigError: it can't be read, is no regular file, or is too large.
    """
    try:
        return Source(path, read_whole(path, MOST_BYTES))
    except UnreadableFile as error:
        raise ConfigError([Mistake(str(path), str(error))]) from None
