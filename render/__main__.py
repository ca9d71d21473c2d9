"""`python -m render`: the command line."""

import sys

from render.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
