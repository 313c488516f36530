"""The summary as a file for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from tinyfuse.checks.firmware_cost import MEASURED_ON, FirmwareCost
from tinyfuse.core.files import write_text
from tinyfuse.study.summary import ATTACKED, MEASURES, SummaryRow


def write_csv(path: str | Path, summary: Iterable[SummaryRow]) -> None:
    """Write the summary as CSV, atomically: shares from 0 to 1, an empty cell where nothing was measured."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, line in enumerate(summary):
        cells = _csv_cells(line)
        if number == 0:
            writer.writerow(cells)
        writer.writerow("" if value is None else value for value in cells.values())
    write_text(path, buffer.getvalue())


def _csv_cells(line: SummaryRow) -> dict[str, object]:
    cells: dict[str, object] = {name: getattr(line, name)
                                for name in ("model", "precision", "seed", "executor", *MEASURES)}
    cost = line.firmware or FirmwareCost()
    cells |= {"flash_bytes": cost.flash_bytes, "ram_bytes": cost.ram_bytes,
              **{f"instructions_{core}": cost.instructions.get(core) for core in MEASURED_ON}, "epsilon": line.epsilon}
    for clean, label, robust in (("float", "robust_float", line.robust_float),
                                 ("integer", "robust_integer", line.robust_integer),
                                 ("", "robust_real", line.robust_real), ("", "transfer", line.transfer)):
        own = {f"clean_{clean}": line.clean_float if clean == "float" else line.clean_integer} if clean else {}
        for name, accuracy in (own | {f"{label}_{name}": robust.get(name) for name in ATTACKED}).items():
            cells |= {name: accuracy and accuracy.value, f"{name}_low": accuracy and accuracy.low,
                      f"{name}_high": accuracy and accuracy.high, f"{name}_n": accuracy and accuracy.n}
    cells |= {"p_clean": line.p_clean, **{f"p_robust_{name}": line.p_robust.get(name) for name in ATTACKED}}
    changes = {"change_clean": line.change_clean,
               **{f"change_robust_{name}": line.change_robust.get(name) for name in ATTACKED}}
    for name, change in changes.items():
        cells |= {name: change and change.value, f"{name}_low": change and change.low,
                  f"{name}_high": change and change.high}
    cells |= {f"ratio_robust_{name}": line.ratio_robust.get(name) for name in ATTACKED}
    cells |= {"rerun": line.rerun, "differing": line.differing}
    return cells | {"agreement": line.agreement, "flags": "".join(line.flags), "pareto": int(line.pareto)}
