"""Proof that a ``.tflite`` stays inside its own bytes; the generated code that reads it then trusts every length."""

from __future__ import annotations

MAX_TABLES = 1 << 15
MAX_SHARED = 4
"""Bytes reached by all vectors together, in sizes of the file: some writers let tables share what is equal."""
ALWAYS_SHARED = 8 << 20
"""Bytes that may be reached in a small file too."""
STRINGS_IN_OPTIONS = {111: "VarHandleOptions"}
"""Of builtin_options, those that hold strings, which the generated code copies."""

LAYOUT = {
    "Model": "4 [OperatorCode] [SubGraph] str [Buffer] [4] [Metadata] [SignatureDef] [ExternalBufferGroup] "
             "[ExternalBuffer]",
    "OperatorCode": "1 str 4 4",
    "SubGraph": "[Tensor] [4] [4] [Operator] str 4",
    "Tensor": "[4] 1 4 str QuantizationParameters 1 SparsityParameters [4] 1 [VariantSubType] 4",
    "QuantizationParameters": "[4] [4] [4] [8] 1 any 4",
    "SparsityParameters": "[4] [4] [DimensionMetadata]",
    "DimensionMetadata": "1 4 1 any 1 any",
    "VariantSubType": "[4] 1 1",
    "Operator": "4 [4] [4] options any [1] 1 [1] [4] 8 8 none unread 4",
    "Buffer": "[1] 8 8",
    "Metadata": "str 4",
    "SignatureDef": "[TensorMap] [TensorMap] str unread 4",
    "TensorMap": "str 4",
    "ExternalBufferGroup": "str",
    "ExternalBuffer": "4 4 8 8 str",
    "VarHandleOptions": "str str",
    "any": "",
}
"""The fields of each table in the order of ``schema.fbs``: bytes of a scalar, ``str``, a table, or [a vector of these].

``any`` is a table of which only the outline is checked: its vectors become numpy views, which check themselves.
``options`` and ``none`` are the types of unions; the table of ``options`` is the ``any`` that follows.
"""


class OutOfBounds(ValueError):
    """Something lies outside the file, or there is too much of it."""


class NotRead(ValueError):
    """The file may be sound, but holds something that is not read here."""


def check(data: bytes) -> None:
    """Raise :class:`OutOfBounds` unless every table, vector and string reachable in ``data`` lies inside it.

    Raises :class:`NotRead` for a file, sound or not, whose reading is not bounded in time and memory: at most
    MAX_TABLES tables, and vectors and strings of at most MAX_SHARED file sizes in total, or ALWAYS_SHARED, are read.
    """
    walk = _Walk(data)
    walk.table("Model", walk.offset(0))


class _Walk:
    def __init__(self, data: bytes) -> None:
        self.data, self.tables, self.bytes_left = data, MAX_TABLES, max(MAX_SHARED * len(data), ALWAYS_SHARED)

    def number(self, place: int, size: int, *, signed: bool = False) -> int:
        self.inside(place, size)
        return int.from_bytes(self.data[place:place + size], "little", signed=signed)

    def inside(self, place: int, size: int) -> None:
        if place < 0 or place + size > len(self.data):
            raise OutOfBounds(f"{size} bytes at {place} lie outside its {len(self.data)} bytes")

    def offset(self, place: int) -> int:
        """Where the reference at ``place`` points."""
        return place + self.number(place, 4)

    def table(self, name: str, place: int) -> None:
        self.tables -= 1
        if self.tables < 0:
            raise NotRead(f"it has more than {MAX_TABLES} tables, which no microcontroller holds; use a smaller model")
        vtable = place - self.number(place, 4, signed=True)
        length, size = self.number(vtable, 2), self.number(vtable + 2, 2)
        self.inside(vtable, length)
        self.inside(place, size)
        kinds, union = LAYOUT[name].split(), "any"
        for number, slot in enumerate(range(4, length - 1, 2)):
            offset = self.number(vtable + slot, 2)
            if offset >= size:
                raise OutOfBounds(f"field {number} of {name} lies outside its table")
            if offset and number < len(kinds):
                kind = union if kinds[number] == "any" else kinds[number]
                self.field(kind, place + offset)
                if kind == "options":
                    union = STRINGS_IN_OPTIONS.get(self.number(place + offset, 1), "any")

    def field(self, kind: str, place: int) -> None:
        if kind.isdigit():
            self.inside(place, int(kind))
        elif kind in ("options", "none"):
            if self.number(place, 1) and kind == "none":
                raise NotRead("it has an operator with StableHLO options; convert the model to builtin operators")
        elif kind == "str":
            start = self.vector(place, 1)
            self.inside(start + self.number(start - 4, 4), 1)  # its terminating zero
        elif kind.startswith("["):
            self.elements(kind[1:-1], place)
        elif kind != "unread":
            self.table(kind, self.offset(place))

    def vector(self, place: int, width: int) -> int:
        """Where the elements of the vector referred to at ``place`` start."""
        start = self.offset(place) + 4
        size = self.number(start - 4, 4) * width
        self.inside(start, size)
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise NotRead("its tables share parts so often that "
                          f"{max(MAX_SHARED * len(self.data), ALWAYS_SHARED)} bytes do not hold them; write each once")
        return start

    def elements(self, kind: str, place: int) -> None:
        start = self.vector(place, int(kind) if kind.isdigit() else 4)
        if not kind.isdigit():
            for element in range(start, start + 4 * self.number(start - 4, 4), 4):
                self.table(kind, self.offset(element))
