"""Names of files in a locale that is not UTF-8."""

from __future__ import annotations

import os
import sys


def on_disk(name: str) -> str:
    """The name by which Python finds a file that is called so in UTF-8, as nearly all are."""
    if sys.getfilesystemencoding().replace("-", "").lower() == "utf8":
        return name
    in_utf8 = os.fsdecode(name.encode("utf-8", "surrogateescape"))
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return in_utf8
    return in_utf8 if os.path.lexists(in_utf8) else name
