"""``python -m tinyfuse``: the same as the ``tinyfuse`` command."""

import sys

from tinyfuse.cli.main import main

sys.exit(main())
