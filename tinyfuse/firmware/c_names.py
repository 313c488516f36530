"""Names for C: which ones C, C++ and the build systems accept, and one for whatever a file or a tensor is called."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable

from tinyfuse.core.errors import UsageError

LONGEST = 40
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
# Those of C99 to C23 and of C++: a header of ours has to be valid in all of them.
_WORDS = frozenset((
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch",
    "char", "char8_t", "char16_t", "char32_t", "class", "compl", "concept", "const", "const_cast", "consteval",
    "constexpr", "constinit", "continue", "co_await", "co_return", "co_yield", "decltype", "default", "delete", "do",
    "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto",
    "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator",
    "or", "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "requires", "restrict", "return",
    "short", "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "template", "this",
    "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union",
    "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq", "main"))
_MACROS = frozenset((
    "linux", "unix", "i386", "arm", "mips", "sparc", "sun", "vax", "far", "near", "huge", "small", "interrupt",
    "interface", "errno", "stdin", "stdout", "stderr", "environ", "complex", "imaginary", "noreturn", "signals",
    "slots", "emit", "foreach", "i"))
"""What compilers define without underscores, and headers that users include define without parameters."""
_TYPES = frozenset(("size_t", *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64))))
"""What the header declares members with: in C++ none can be called like its own type."""
_HEADERS = frozenset((
    "assert", "complex", "ctype", "errno", "fenv", "inttypes", "iso646", "limits", "locale", "math", "memory", "setjmp",
    "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn",
    "string", "strings", "tgmath", "threads", "time", "uchar", "unistd", "wchar", "wctype", "arduino"))
"""Headers of C, which the package's own header would hide from everybody who has it on the include path."""
_TARGETS = frozenset(("all", "clean", "depend", "edit_cache", "help", "install", "package", "preinstall",
                      "rebuild_cache", "test"))
"""What CMake keeps for itself."""
_NUMBERS = ("SIZE", "SCALE", "ZERO_POINT")
"""Ends of the macros that the header has for each input and output."""


def check_identifier(name: str) -> str:
    """Return ``name``; :class:`UsageError` unless it can be the prefix of C and C++ symbols."""
    if not _IDENTIFIER.match(name):
        raise UsageError(f"'{name}' is no name for C: give a letter, then letters, digits and _ (at most {LONGEST})")
    if _is_reserved(name):
        raise UsageError(f"'{name}' is a word of C or C++, a header of C, a target of CMake or a name of the runtime; "
                         "give another name")
    return name


def _is_reserved(name: str) -> bool:
    return name in _WORDS or name.lower().startswith("tny") or name.lower() in _HEADERS | _TARGETS


def identifier_of(text: str) -> str:
    """Make a name that :func:`check_identifier` accepts of any ``text``, such as the name of a file."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"\W+", "_", plain).strip("_").replace("__", "_")
    plain = plain if plain[:1].isalpha() else f"net_{plain}".rstrip("_")
    if len(plain) > LONGEST:  # a checksum tells long names apart that begin alike
        plain = f"{plain[:LONGEST - 9]}_{zlib.crc32(text.encode()):08x}"
    return f"net_{plain}"[:LONGEST] if _is_reserved(plain) else plain


def member_names(names: Iterable[str]) -> list[str]:
    """Make C identifiers of the ``names`` of inputs and outputs, each different from the others.

    None is a word of C or C++ or likely a macro, and no two give the same macro or enumerator.
    """
    found: list[str] = []
    used: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST] or "tensor"
        plain = plain if plain[0].isalpha() else f"tensor_{plain}"
        # Names in capital letters are those of macros: INPUT of Arduino, NULL, INT8_MAX.
        plain = plain.lower() if plain.isupper() else plain
        plain = f"{plain}_" if plain.lower() in _WORDS | _MACROS | _TYPES else plain
        while used & _symbols(plain):
            plain += "_"
        used |= _symbols(plain)
        found.append(plain)
    return found


def namespace_of(name: str) -> str:
    """Make the name that the network ``name`` has within the C++ namespace tinyfuse: most often the same."""
    return member_names([name])[0]


def _symbols(name: str) -> set[str]:
    """What the header makes of the name of an input or output, behind the name of the network."""
    upper = name.upper()
    return {f"={upper}", f"INPUT_{upper}", *(f"{upper}_{number}" for number in _NUMBERS)}
