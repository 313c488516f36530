"""C text: its pieces, templates, and names that C, C++ and the build systems accept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import ModelError, UsageError

WIDTH = 100
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
# C99's and C++11's: a header of ours has to be valid in both.
_RESERVED = frozenset((
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch",
    "char", "char16_t", "char32_t", "class", "compl", "const", "const_cast", "constexpr", "continue", "decltype",
    "default", "delete", "do", "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false",
    "float", "for", "friend", "goto", "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept",
    "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private", "protected", "public", "register",
    "reinterpret_cast", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert", "static_cast",
    "struct", "switch", "template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid", "typename",
    "union", "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq", "main"))
_HEADERS = frozenset((
    "assert", "complex", "ctype", "errno", "fenv", "inttypes", "iso646", "limits", "locale", "math", "memory", "setjmp",
    "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn",
    "string", "strings", "tgmath", "threads", "time", "uchar", "unistd", "wchar", "wctype"))
"""Headers of C, which the package's own header would hide from everybody who has it on the include path."""
_TARGETS = frozenset(("all", "clean", "depend", "edit_cache", "help", "install", "package", "preinstall",
                      "rebuild_cache", "test"))
"""What CMake keeps for itself."""


def table(entries: Sequence[str], indent: str = "  ") -> str:
    """Set ``entries`` in lines of at most WIDTH characters, each followed by a comma."""
    lines, line = [], indent[:-1]
    for entry in entries:
        if line.strip() and len(line) + len(entry) + 2 > WIDTH:
            lines.append(line)
            line = indent[:-1]
        line += f" {entry},"
    return "\n".join([*lines, line])


def array(ctype: str, name: str, entries: Iterable[object]) -> str:
    """Define a constant array."""
    return f"static const {ctype} {name}[] = {{\n{table([str(entry) for entry in entries])}\n}};\n"


def struct(ctype: str, name: str, members: Mapping[str, object]) -> str:
    """Define a constant structure; each value stands beside the name of its member."""
    return f"static const {ctype} {name} = {{\n{table(_designated(members))}\n}};\n"


def braced(members: Mapping[str, object]) -> str:
    """Write a structure within another one."""
    return f"{{{', '.join(_designated(members))}}}"


def _designated(members: Mapping[str, object]) -> list[str]:
    return [f".{name} = {int(value) if isinstance(value, bool) else value}" for name, value in members.items()]


def comment(text: str) -> str:
    """Strip ``text`` of what would begin or end a comment, or a compiler would warn of in one."""
    plain = text.encode("ascii", "replace").decode().replace("/*", "/ *").replace("*/", "* /").replace("??", "? ?")
    return plain.rstrip("\\")


def check_identifier(name: str) -> str:
    """Return ``name``; :class:`UsageError` unless it can be the prefix of C and C++ symbols."""
    if not _IDENTIFIER.match(name):
        raise UsageError(f"'{name}' is no name for C: give a letter, then letters, digits and _ (at most 40)")
    if name in _RESERVED or name.lower().startswith("tny") or name.lower() in _HEADERS | _TARGETS:
        raise UsageError(f"'{name}' is a word of C or C++, a header of C, a target of CMake or a name of the runtime; "
                         "give another name")
    return name


def member_names(names: Iterable[str]) -> list[str]:
    """Make C identifiers of tensor ``names``, each different from the others."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40] or "tensor"
        plain = plain if plain[0].isalpha() else f"tensor_{plain}"
        plain = f"{plain}_" if plain in _RESERVED else plain
        used = {one.upper() for one in found}
        while plain.upper() in used:
            plain += "_"
        found.append(plain)
    return found


def export_folder(name: str) -> Path:
    """Find the folder ``name`` (runtime, interface, harness, skeleton) of ``firmware_export``, beside tinyfuse."""
    found = Path(__file__).resolve().parents[2] / "firmware_export" / name
    if not found.is_dir():
        raise ModelError(f"the folder firmware_export/{name} is not installed; install tinyfuse again")
    return found


def render(path: Path, **values: Any) -> str:
    """Fill template ``path``; a name in it that is not among ``values`` is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(path.parent), undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    return environment.get_template(path.name).render(**values)
