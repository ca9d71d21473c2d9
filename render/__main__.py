"""`python -m render`: the command line.

Python puts the current folder first among those that it imports from. Films may lie there that come
from anyone, beside modules and plugins of Hydra of any name, so it is taken off again.
"""

import os
import sys


def current_folder() -> str:
    """The current folder; empty if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def leave_current_folder() -> None:
    """Import nothing from the current folder."""
    if not sys.flags.safe_path and sys.path[:1] and sys.path[0] in ("", current_folder()):
        del sys.path[0]


if __name__ == "__main__":
    leave_current_folder()
    from render.cli.main import main

    sys.exit(main())
