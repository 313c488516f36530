"""``python -m tinyfuse.bench``: the same as ``tinyfuse bench``."""

import sys

from tinyfuse.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
