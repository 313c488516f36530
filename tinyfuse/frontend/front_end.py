"""Front ends by kind, and how one is read from its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyfuse.core.errors import DataError, nearest
from tinyfuse.core.strict import decode
from tinyfuse.frontend.array import Array
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.recording import Waveform
from tinyfuse.frontend.spectrum import LogMel, Mfcc, Spectrogram

KINDS: dict[str, type[FrontEnd]] = {one.kind: one for one in (Mfcc, LogMel, Spectrogram, Waveform, Picture, Array)}


def read_front_end(table: Any, where: str) -> FrontEnd:
    """Read a front end from its plain table; ``where`` names the file and place in errors (DataError)."""
    if not isinstance(table, Mapping):
        raise DataError(f"{where}: {table!r} is no table; give one with kind = one of {', '.join(KINDS)}")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise DataError(f"{where}: kind is {kind!r}{nearest(str(kind), KINDS)}; allowed: {', '.join(KINDS)}")
    settings = {key: value for key, value in table.items() if key != "kind"}
    try:
        return decode(KINDS[kind], settings, where, DataError)
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from None
