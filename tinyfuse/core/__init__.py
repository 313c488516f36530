"""What every box uses: errors, files, tables, results, progress. Knows nothing of networks or attacks."""

from tinyfuse.core.numba_cache import find_place

find_place()
