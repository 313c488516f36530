"""C text: its pieces and templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import ModelError

WIDTH = 100


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


def export_folder(name: str) -> Path:
    """Find the folder ``name`` (runtime, interface, harness, skeleton) of ``firmware_export``.

    It lies within the package where that is installed, and beside it in a checkout.
    """
    package = Path(__file__).resolve().parents[1]
    for around in (package, package.parent):
        found = around / "firmware_export" / name
        if found.is_dir():
            return found
    raise ModelError(f"the folder firmware_export/{name} is not installed; install tinyfuse again")


def render(path: Path, **values: Any) -> str:
    """Fill template ``path``; a name in it that is not among ``values`` is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(path.parent), undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    return environment.get_template(path.name).render(**values)
