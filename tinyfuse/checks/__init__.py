"""Checks that say when a robustness figure must not be trusted, one theme per file."""
