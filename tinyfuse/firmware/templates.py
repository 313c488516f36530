"""Text from templates; a name that a template uses and nobody gave is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render(path: Path, **values: Any) -> str:
    """The text of template ``path`` with ``values``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(path.parent), undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    return environment.get_template(path.name).render(**values)
