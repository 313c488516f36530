"""What all pages share: one style sheet, one script, a policy that allows nothing else, and figures as data."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.report import vocabulary
from tinyfuse.report.figures.style import to_svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

_FOLDER = Path(__file__).parent
_PIXELS_PER_INCH = 96


def page_text(template: str, *, escape: bool = True, **context: Any) -> str:
    """Return a page as HTML text: ``template`` extends base.html.j2; ``context`` is escaped unless told not to.

    Templates hold the sentences; they also know the names of :mod:`tinyfuse.report.vocabulary`.
    """
    environment = _environment(escape)
    script = environment.get_template("sort.js.j2").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(template).render(script=script, script_sha256=digest, **context)


@functools.cache
def _environment(escape: bool) -> Environment:
    """Make what compiles templates, each of them once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=escape,
                              trim_blocks=True, lstrip_blocks=True)
    environment.globals.update({name: value for name, value in vars(vocabulary).items() if name[0] != "_"})
    return environment


def picture(figure: Figure | None, kind: str, tables: Iterable[dict[str, Any]] = (), *, model: str = "",
            folded: bool = False) -> list[dict[str, Any]]:
    """Return ``figure`` of a ``kind`` that templates explain, with the ``tables`` of its numbers; nothing for None.

    ``folded``: shown on a click.
    """
    if figure is None:
        return []
    width, height = (round(float(inches) * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
    data = base64.b64encode(to_svg(figure).encode("utf-8")).decode("ascii")
    return [{"kind": kind, "model": model, "width": width, "height": height, "data": data, "tables": list(tables),
             "folded": folded}]
