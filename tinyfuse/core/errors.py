"""Every error a user can meet: one line that says what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_MESSAGE = 580
"""Characters of a message; a damaged file can put thousands of numbers into one."""


class TinyfuseError(Exception):
    """Base of all errors that the command line shows as one line and turns into ``exit_code``.

    Of a message longer than :data:`LONGEST_MESSAGE` the middle is left out: it begins with what is wrong, and ends with
    what to do.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        half = LONGEST_MESSAGE // 2 - len(" ... ")
        super().__init__(message if len(message) <= LONGEST_MESSAGE else f"{message[:half]} ... {message[-half:]}")


class DataError(TinyfuseError):
    """A data file is missing, damaged or not what its name promises."""


class RecipeError(TinyfuseError):
    """A precision recipe cannot be read, or does not fit the model."""

    exit_code = 2


class ConversionError(TinyfuseError):
    """A network could not be written as an integer model, or the result failed its proof."""


class ModelError(TinyfuseError):
    """A model file is missing, damaged or not one that tinyfuse can run."""


class InputsError(ModelError):
    """A model takes other inputs than the data has."""


class ParityError(TinyfuseError):
    """Two executors that must agree bit for bit do not."""

    exit_code = 3


class GateError(TinyfuseError):
    """A figure was measured, but a check says that it must not be trusted."""

    exit_code = 4


class FaultError(TinyfuseError):
    """Something that must not happen did: a fault of tinyfuse, whose traceback is in a log file."""


class UsageError(TinyfuseError):
    """The command line or an argument is wrong."""

    exit_code = 2


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest allowed name, or an empty string."""
    close = difflib.get_close_matches(name, list(allowed), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
