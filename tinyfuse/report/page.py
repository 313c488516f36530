"""What all pages share: one style sheet, one script, a policy that allows nothing else, and figures as data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.report.style import to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOLDER = Path(__file__).parent
_PIXELS_PER_INCH = 96


def page_text(template: str, context: Mapping[str, Any]) -> str:
    """A page as HTML text: ``template`` extends base.html.j2, every value of ``context`` is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=True,
                              trim_blocks=True, lstrip_blocks=True)
    script = environment.get_template("sort.js.j2").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(template).render(script=script, script_sha256=digest, **context)


def picture(figure: Figure, title: str, caption: str, tables: Iterable[dict[str, Any]] = (), *,
            folded: bool = False) -> dict[str, Any]:
    """``figure`` for the macro of that name, with the ``tables`` of its numbers; ``folded``: shown on a click."""
    width, height = (round(float(inches) * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
    data = base64.b64encode(to_svg(figure).encode("utf-8")).decode("ascii")
    return {"title": title, "caption": caption, "width": width, "height": height, "data": data,
            "tables": list(tables), "folded": folded}
