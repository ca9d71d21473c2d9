"""`python -m render`: the command line.

Python puts the current folder first among those that it imports from. Films may lie there that come
from anyone, with a `yaml.py` or plugins of Hydra's beside them, so it is taken off again.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]

from render.cli.main import main  # noqa: E402  after the current folder is off the path

if __name__ == "__main__":
    sys.exit(main())
