"""From a network to the best bit widths under a budget: what ``tinyfuse select`` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinyfuse.core import provenance
from tinyfuse.core.cluster.anywhere import workers_at
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import write_text
from tinyfuse.core.results import ResultStore
from tinyfuse.core.run_log import RunLog
from tinyfuse.core.strict import encode
from tinyfuse.data import Dataset
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network, open_network
from tinyfuse.nn.train import TrainConfig, steps_per_epoch
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.search.budget import parse_budget
from tinyfuse.search.record import FILE
from tinyfuse.search.select import Selection, choose
from tinyfuse.search.selection_study import PART, SelectionStudy
from tinyfuse.search.settings import QUICK, Settings


def select(model: str | Path, dataset: Dataset, *, budget: str | Sequence[str], out: str | Path | None = None,
           epochs: int | None = None, seed: int = 0, quick: bool = False, jobs: int = 2, cluster: str | None = None,
           **settings: Any) -> Selection:
    """Choose the weight bits of ``model`` within ``budget``; write recipe, ``.tflite`` and record into ``out``.

    ``model``: a ``.keras`` file trained on ``dataset``, or the name of a network, which is trained first (``epochs``,
    ``seed``). ``budget``: such as "flash=60kB,instructions=20M"; see search/budget.py. ``settings`` are those of
    :class:`tinyfuse.search.settings.Settings`: objective, granularity, widths, methods, ... What was measured before in
    ``out`` (default ``runs/select-MODEL``, or ``runs/select-MODEL-quick``) is not measured again, and an interrupted
    selection goes on. ``jobs`` processes measure, or the workers of the Dask scheduler at the address ``cluster``.

    Raises:
        UsageError: no such cluster, a budget that cannot be met (with the smallest reachable size), an unknown name or
            setting.
        DataError: too few samples.
        GateError: the checks trust no candidate. Whether they trust the chosen one, ``check()`` of the result says.
    """
    limits, chosen = parse_budget(budget), (QUICK if quick else Settings()).changed(**settings)
    folder = Path(out or f"runs/select-{Path(model).stem}{'-quick' * quick}")
    with workers_at(cluster, jobs) as workers:
        network = _network(str(model), dataset, folder, epochs, seed)
        data = dataset.as_trained(network.table, str(network.path))
        study = SelectionStudy(network, data, chosen, folder, ResultStore(folder / "results.jsonl"), workers)
        facts = provenance.begin(data=f"{data.name}, {data.split} split", seeds=(network.seed,),
                                 settings=asdict(chosen) | {"budget": dict(limits.limits)})
        stores = [folder / part / "results.jsonl" for part in ("", PART, "test")]
        with RunLog(folder, lambda: sum(len(ResultStore(path)) for path in stores), facts) as log:
            found = choose(study, limits, after_stage=log.write)
            write_text(folder / FILE, json.dumps(encode(found.record), indent=1) + "\n")
            log.finish()
    return found


def _network(model: str, dataset: Dataset, folder: Path, epochs: int | None, seed: int) -> Network:
    """The trained network in a file, or the one of that name, trained into the folder."""
    if model not in zoo.names():
        if epochs is not None:
            raise UsageError("epochs are for a model that is given by name; leave them out with a file")
        return open_network(model, dataset)
    config = TrainConfig(epochs=epochs or TrainConfig.epochs, seed=seed)
    with progress(f"training {model}", config.epochs * steps_per_epoch(dataset, config)) as advance:
        return train_or_load(model, dataset, config, folder / "models", tick=advance, report=console.print)
