"""``python -m tinyfuse``: the same as the ``tinyfuse`` command."""

import sys

from tinyfuse.cli import main

sys.exit(main())
