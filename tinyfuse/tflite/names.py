"""Names of a ``.tflite``: printable ones for messages, and those by which its inputs and outputs are bound."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

SHOWN = 60
"""Characters of a name in messages and comments."""
LONGEST = 250
"""Characters of a name by which an input or output is bound."""
_CONVERTER = re.compile(r"serving_default_(.+?)(:\d+)?\Z")
_NAMELESS = re.compile(r"(StatefulPartitionedCall|PartitionedCall|Identity)(_\d+)?(:\d+)?\Z")
"""What TensorFlow's converter calls a function's results, which says nothing of them."""


def display(name: bytes | str | None) -> str:
    """Return a ``name`` of the file, printable and shortened in its middle to at most SHOWN characters."""
    text = printable(name)
    half = SHOWN // 2
    return text if len(text) <= SHOWN else f"{text[:half - 1]}…{text[-half:]}"


def printable(name: bytes | str | None) -> str:
    """Return a ``name`` of the file with a question mark for each character that cannot be printed."""
    text = name if isinstance(name, str) else (name or b"").decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def port_names(model: Any, indices: Sequence[int], kind: str) -> list[str]:
    """Name the tensors ``indices``, which are all inputs or all outputs (``kind``: "input" or "output") of ``model``.

    The names are those of the signature, as the network's author gave them; else those of the tensors, without what
    the converter put around them. One that has no name is called after its kind, several ones with numbers behind.
    Where several have the same name, each has its position among all of the kind behind it.
    """
    tensors = model.subgraphs[0].tensors
    signature = _signature(model, kind)
    found = [signature.get(index, "") or _own_name(tensors[index].name) for index in indices]
    numbered = kind if len(indices) == 1 else f"{kind}_%d"
    found = [name or (numbered % place if "%" in numbered else numbered) for place, name in enumerate(found)]
    return _distinct(found)


def _distinct(names: Sequence[str]) -> list[str]:
    """``names`` with their positions behind those that occur several times; "x", "y", "x" become "x_0", "y", "x_2"."""
    found, counts = [], Counter(names)
    for place, name in enumerate(names):
        while counts[name] > 1 or name in found:
            name = f"{name}_{place}"
        found.append(name)
    return found


def _own_name(name: bytes | None) -> str:
    text = printable(name)[:LONGEST + 1]
    if _NAMELESS.match(text):
        return ""
    stripped = _CONVERTER.match(text)
    return _limited(stripped[1] if stripped else text)


def _signature(model: Any, kind: str) -> dict[int, str]:
    """The names of the first signature of the first subgraph, by tensor; empty if it has none."""
    for signature in model.signatureDefs or ():
        if not signature.subgraphIndex:
            entries = (signature.inputs if kind == "input" else signature.outputs) or ()
            return {int(entry.tensorIndex): _limited(printable(entry.name)) for entry in entries}
    return {}


def _limited(name: str) -> str:
    """A name that is too long to be bound by counts as none."""
    return name if len(name) <= LONGEST else ""
