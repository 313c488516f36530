"""Pieces of C text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WIDTH = 100


def numbers(values: Iterable[int]) -> str:
    """``values`` with commas between them."""
    return ", ".join(str(int(value)) for value in values)


def table(entries: Sequence[str], indent: str = "  ") -> str:
    """``entries`` in lines of at most WIDTH characters, each followed by a comma."""
    lines, line = [], indent[:-1]
    for entry in entries:
        if len(line) + len(entry) + 2 > WIDTH:
            lines.append(line)
            line = indent[:-1]
        line += f" {entry},"
    return "\n".join([*lines, line])


def array(ctype: str, name: str, entries: Iterable[object]) -> str:
    """The definition of a constant array."""
    return f"static const {ctype} {name}[] = {{\n{table([str(entry) for entry in entries])}\n}};\n"


def words(values: Iterable[int]) -> list[str]:
    """Entries of a table of 32-bit words."""
    return [f"0x{value:08x}u" for value in values]


def comment(text: str) -> str:
    """``text`` without what would begin or end a comment, or a compiler would warn of in one."""
    plain = text.encode("ascii", "replace").decode().replace("/*", "/ *").replace("*/", "* /").replace("??", "? ?")
    return plain.rstrip("\\")
