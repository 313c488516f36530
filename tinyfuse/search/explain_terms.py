"""Why this choice: what the budget costs, who pays, what the runner-up was, and whether chance could have decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tinyfuse.core.statistics import wilson
from tinyfuse.search.groups import Unit, Widths
from tinyfuse.search.rank import Comparison, Judged, compare
from tinyfuse.search.sensitivity import REFERENCE

MODES = {"clean": "clean", "image": "under image attacks", "audio": "under audio attacks", "both": "with both attacked"}


def decimals(n: int) -> int:
    """Decimals of a percentage of ``n`` samples that still show one of them."""
    return 2 if n >= 1000 else 1


def share(correct: np.ndarray) -> str:
    """Accuracy and interval of bool [n]: ``87.0 % (79.0 to 92.2)``."""
    low, high = wilson(int(np.sum(correct)), len(correct))
    value, least, most = (f"{100 * each:.{decimals(len(correct))}f}" for each in (float(np.mean(correct)), low, high))
    return f"{value} % ({least} to {most})"


def figures(one: Judged) -> str:
    """All accuracies of a candidate."""
    each = {"clean": one.clean, **one.robust}
    return ", ".join(f"{MODES[mode]} {share(correct)} of {len(correct)}" for mode, correct in each.items())


def payers(units: Sequence[Unit], widths: Widths) -> str:
    """Which units have fewer bits than the others, and what each branch has on average."""
    by_branch = {}
    for branch in dict.fromkeys(unit.branch for unit in units):
        own = [unit for unit in units if unit.branch == branch]
        by_branch[branch] = float(np.average([widths[unit.name] for unit in own], weights=[u.weights for u in own]))
    least = min(widths.values())
    narrow = [unit.name for unit in units if widths[unit.name] == least]
    wide = [unit.name for unit in units if widths[unit.name] == max(widths.values())]
    means = ", ".join(f"{branch} {mean:.2f}" for branch, mean in by_branch.items())
    if len(set(widths.values())) == 1:
        return f"Every weight has {least} bits."
    paying = min(by_branch, key=lambda branch: by_branch[branch])
    who = f"the {paying} layers pay most" if len(by_branch) > 1 else "one branch pays alone"
    return (f"Mean bits of a weight: {means}; {who}. Fewest ({least}): {_some(narrow)}. "
            f"Most ({max(widths.values())}): {_some(wide)}.")


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def significance(found: Comparison) -> str:
    """A comparison in words."""
    points = [f"{100 * value:+.{decimals(found.difference.n)}f}" for value in
              (found.difference.value, found.difference.low, found.difference.high)]
    verdict = "more than chance" if found.significant else "chance could have decided"
    return (f"{MODES[found.what]}: {points[0]} points ({points[1]} to {points[2]}, McNemar "
            f"p = {found.p:.2g}, n = {found.difference.n}): {verdict}")


def cost_of_budget(chosen: Judged, reference: Judged) -> str:
    """What the budget costs against the reference width: bytes, and on the same held-out pairs accuracy."""
    if chosen.name == reference.name:
        return f"It is {REFERENCE} bits everywhere."
    sizes = int(chosen.needs["flash"] or 0), int(reference.needs["flash"] or 0)
    share_of = 100 * (sizes[0] / sizes[1] - 1)
    change = f"{abs(share_of):.0f} % {'less' if share_of < 0 else 'more'}"
    losses = {what: compare(chosen, reference, what).difference for what in ("clean", *chosen.robust)}
    said = ", ".join(f"{MODES[what]} {100 * loss.value:+.{decimals(loss.n)}f}" for what, loss in losses.items())
    return (f"Against {REFERENCE} bits everywhere it takes {sizes[0]} instead of {sizes[1]} packed bytes ({change}); "
            f"points on the same held-out pairs: {said}.")


def warnings(chosen: Judged, tested: Judged) -> Iterator[str]:
    """What the checks say about the chosen one's own figures on held-out and on test pairs; nothing stays silent."""
    for where, one in (("held-out", chosen), ("test", tested)):
        if one.suspect:
            yield (f"Its robustness on {where} pairs may be an artefact: "
                   + "; ".join(f"{flag.text} (check {flag.code})" for flag in one.suspect) + ".")
        others = [flag for flag in one.flags if flag not in one.suspect]
        if others:
            yield f"Checks on {where} pairs: " + "; ".join(f"{flag.text} ({flag.code})" for flag in others) + "."
