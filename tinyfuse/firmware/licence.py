"""The line in every source file of a package that names its licence."""

from __future__ import annotations

from pathlib import PurePath

LINE = "SPDX-License-Identifier: Apache-2.0"
_C = (".c", ".h", ".cc", ".cpp", ".hpp", ".ino")
_HASH = ("CMakeLists.txt", "Kconfig", "module.yml", "idf_component.yml")


def licensed(path: str, text: str) -> str:
    """Return the ``text`` of the file ``path`` of a package with the licence in a comment of its first line.

    What has no comments, such as JSON, or is read as text by people stays as it is.
    """
    name, suffix = PurePath(path).name, PurePath(path).suffix
    first = f"/* {LINE} */\n" if suffix in _C else f"# {LINE}\n" if name in _HASH else ""
    return text if not first or text.startswith(first) else first + text
