"""A parser of the command line whose mistakes are one line: what was given, what is allowed, the nearest name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from tinyfuse.core.errors import nearest

_LONGEST = 40  # characters that are said of a wrong value


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says a mistake in one line, without the usage of all options."""

    given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known, as argparse does, and remember what was given for messages."""
        self.given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse ``args``; an unknown option is named with the nearest one of its verb."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            self._verb(getattr(found, "verb", "")).error(f"unrecognized arguments: {' '.join(rest)}")
        return found

    def error(self, message: str) -> NoReturn:
        """Say ``message`` and end with the exit code of a wrong usage."""
        self.exit(2, f"{self.prog}: {self._unknown() or message}; `{self.prog} --help` tells all\n")

    def _unknown(self) -> str:
        """Name the first option that does not exist, which is what lies behind a missing or a superfluous argument.

        Nothing if verbs follow, whose options are not known here.
        """
        if self._subparsers is not None:
            return ""
        known = [text for text in self._option_string_actions if text.startswith("--")]
        for text in self.given:
            name = text.partition("=")[0]
            if name == "--":
                break
            if name.startswith("--") and not any(one.startswith(name) for one in known):
                return f"there is no option {name[:_LONGEST]}{nearest(name, known)}"
        return ""

    def _verb(self, name: str) -> Parser:
        """Return the parser of the verb ``name``; itself if there is none."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers: dict[str, Parser] = dict(action.choices)
                return parsers.get(name, self)
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(one) for one in action.choices]
            raise argparse.ArgumentError(action, f"there is no '{str(value)[:_LONGEST]}'{nearest(str(value), names)}; "
                                                 f"allowed: {', '.join(names)}")
