"""The units of work of a study, with files in and rows out: train, convert, attack one precision in one mode."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.analyses import AnalysisSubject
from tinyfuse.analyses.run_analyses import analyses_of, fitting, run_analyses
from tinyfuse.attacks import misclassified
from tinyfuse.attacks.targets.anomaly import IntegerTarget, float_target, twin_target
from tinyfuse.core import toml
from tinyfuse.core.errors import DataError, ModelError, ParityError, TinyfuseError
from tinyfuse.core.files import sha256_hex, write_text
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.data import Dataset, Samples, load
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize.minmax import simulate
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.study.cell_study import CellStudy, ThreatModel
from tinyfuse.study.papers.paper import Campaign, Examination, Training
from tinyfuse.study.rows import CLEAN, KERAS_BATCH, SAMPLE_SEED, OutcomeLog, Scope, Subject, failed_row, parity_row
from tinyfuse.study.stages.attack import attack_cells
from tinyfuse.study.stages.convert import Converter, IntegerFile
from tinyfuse.study.stages.rejudge import compare_with_twin, write_samples
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR, INTEGER_EXECUTOR
from tinyfuse.threats.budgets import spread
from tinyfuse.threats.masks import VALID, masks_of
from tinyfuse.threats.modes import mode_name

CALIBRATION_SAMPLES = 200
PROOF_SAMPLES = 8
PARITY_SAMPLES = 50
"""Adversarial inputs of each attacked integer model and mode that TFLite Micro runs as well."""


@dataclass(frozen=True)
class Site:
    """Where a study lies and on which data: what a worker needs to know beside its job.

    ``source`` and ``options`` (of :func:`tinyfuse.data.load`, as pairs) name the data; ``samples`` of its test part,
    balanced over classes, are judged.
    """

    folder: Path
    source: str | None
    options: tuple[tuple[str, Any], ...]
    samples: int

    @property
    def dataset(self) -> Dataset:
        """The data, which a worker process loads once."""
        return _dataset(self.source, self.options)

    @property
    def judged(self) -> Samples:
        """The samples that every network is judged on."""
        return self.dataset.test.balanced(self.samples, seed=SAMPLE_SEED)

    def place(self, training: Training, seed: int) -> Path:
        """Find the file of a trained network."""
        return self.folder / "networks" / f"seed-{seed}" / training.name / f"{training.network}.keras"


@functools.lru_cache(maxsize=1)
def _dataset(source: str | None, options: tuple[tuple[str, Any], ...]) -> Dataset:
    return load(source, **dict(options))


@dataclass(frozen=True)
class TrainJob:
    """Train one network with one seed."""

    training: Training
    config: TrainConfig

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells this job from others of a study."""
        return self.training.name, self.config.seed

    @property
    def after(self) -> frozenset[tuple[Any, ...]]:
        """The identities of the jobs that come before: none."""
        return frozenset()

    def needs(self, site: Site) -> list[Path]:
        """Name the files that it reads, beside the data."""
        return []

    def rows(self, site: Site) -> list[Row]:
        """Return no rows: what a training leaves is its network."""
        return []

    def run(self, site: Site) -> list[Row]:
        """Train it, or go on with it; the network lies in the folder then."""
        place = site.place(self.training, self.config.seed)
        train_or_load(self.training.network, site.dataset, self.config, place.parent)
        return []

    def is_done(self, site: Site) -> bool:
        """Whether the network is there; that of other settings is refused before (see paper.json)."""
        return site.place(self.training, self.config.seed).with_suffix(".toml").exists()


@dataclass(frozen=True)
class SubjectJob(ABC):
    """What has a trained network as its input; its rows lie in a file named by everything that decides them."""

    training: Training
    seed: int

    @property
    def after(self) -> frozenset[tuple[Any, ...]]:
        """The identities of the jobs that come before: the training of the network."""
        return frozenset({(self.training.name, self.seed)})

    def digest(self, site: Site) -> str:
        """Hash the job, its network and its data."""
        network = site.place(self.training, self.seed).read_bytes()
        said = repr((self, sha256_hex(network), site.dataset.checksum, site.samples))
        return sha256_hex(said.encode())[:16]

    def file(self, site: Site) -> Path:
        """Find the file of the job's rows, which is there as soon as the job is done."""
        return site.folder / "jobs" / f"{self.digest(site)}.jsonl"

    def needs(self, site: Site) -> list[Path]:
        """Name the files that it reads, beside the data: the network and its table."""
        network = site.place(self.training, self.seed)
        return [network, network.with_suffix(".toml")]

    def is_done(self, site: Site) -> bool:
        """Whether the rows are there."""
        return self.file(site).exists()

    def rows(self, site: Site) -> list[Row]:
        """Read the rows of the finished job."""
        return ResultStore(self.file(site)).rows()

    def run(self, site: Site) -> list[Row]:
        """Do the job if it is not done; return its rows."""
        path = self.file(site)
        if not path.exists():
            try:
                rows = self.work(site)
            except (DataError, ParityError, OSError):
                raise
            except TinyfuseError as error:
                return [self.failed(site, str(error))]  # and no file: the next run tries again
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        return self.rows(site)

    @abstractmethod
    def work(self, site: Site) -> list[Row]:
        """Do the job; return its rows."""

    def failed(self, site: Site, reason: str) -> Row:
        """Make the row that says why there are no others."""
        stage = type(self).__name__.removesuffix("Job").lower()
        return failed_row(Scope(site.dataset, self.seed), self.training.name, getattr(self, "precision", FLOAT), stage,
                          reason)

    def network(self, site: Site) -> Network:
        """Load the trained network under the name that rows have for it."""
        return replace(load_network(site.place(self.training, self.seed)), name=self.training.name)


@dataclass(frozen=True)
class ConvertJob(SubjectJob):
    """Convert one network with the recipe ``precision``, and prove it."""

    precision: str

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells this job from others of a study."""
        return self.training.name, self.seed, self.precision

    def work(self, site: Site) -> list[Row]:
        """Write the ``.tflite`` beside the network; its size is in its table."""
        network, folder = self.network(site), site.place(self.training, self.seed).parent
        dataset = site.dataset.as_trained(network.table, str(network.path))
        converter = Converter(network, dataset, folder, CALIBRATION_SAMPLES,
                              dataset.test.balanced(PROOF_SAMPLES, seed=SAMPLE_SEED))
        converter.publish(read_recipe(self.precision))
        return []


@dataclass(frozen=True)
class AttackJob(SubjectJob):
    """Attack one ``precision`` of one network in one mode at all budgets of a campaign."""

    precision: str
    attacked: tuple[str, ...]
    campaign: Campaign

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells this job from others of a study: of the campaign only what is done to this subject."""
        one = self.campaign
        return (self.training.name, self.seed, self.precision, self.attacked, repr(one.suite), repr(one.budgets),
                one.norm, one.masked)

    @property
    def after(self) -> frozenset[tuple[Any, ...]]:
        """The identities of the jobs that come before: training, and conversion if integers are attacked."""
        converted = ConvertJob(self.training, self.seed, self.precision).identity
        return super().after.union({converted} if is_integer(self.precision) else ())

    def needs(self, site: Site) -> list[Path]:
        """Name the files that it reads, beside the data: the network, and the integer model of it that is attacked."""
        model = self._path(site)
        return super().needs(site) + ([model, model.with_suffix(".toml")] if is_integer(self.precision) else [])

    def digest(self, site: Site) -> str:
        """Leave out what of the campaign other jobs do."""
        mine = replace(self, campaign=replace(self.campaign, trainings=(), precisions=(), modes=()))
        return super(AttackJob, mine).digest(site)

    def work(self, site: Site) -> list[Row]:
        """Judge clean samples and attacked ones; of integers some on TFLite Micro as well."""
        network = self.network(site)
        dataset = site.dataset.as_trained(network.table, str(network.path))
        subject, target = self._target(site, network, dataset)
        store, samples = ResultStore(), site.judged
        log = OutcomeLog(store, Scope(dataset, self.seed))
        log.judge(subject, CLEAN, len(samples), network.sha256, lambda: _right(target, samples))
        study = self._study(network, subject, target, samples, log)
        attack_cells(study, target)
        if is_integer(self.precision) and is_here(ORACLE):
            store.append(self._parity(site, subject, target, study))
        return store.rows()

    def _target(self, site: Site, network: Network, dataset: Dataset) -> tuple[Subject, Any]:
        if is_integer(self.precision):
            file = self._file(site)
            return file.subject(network, INTEGER_EXECUTOR), twin_target(load_model(file.path), dataset)
        subject, model = Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256), network.model
        if self.precision != FLOAT:
            recipe = read_recipe(self.precision)
            subject, model = Subject.simulated(network, recipe), simulate(network, recipe)
        return subject, float_target(replace(network, model=model), dataset,
                                     batch_size=min(KERAS_BATCH, site.samples))

    def _path(self, site: Site) -> Path:
        return site.place(self.training, self.seed).parent / f"{self.training.name}__{self.precision}.tflite"

    def _file(self, site: Site) -> IntegerFile:
        """Find the integer model that is attacked."""
        path = self._path(site)
        return IntegerFile(read_recipe(self.precision), path, toml.read(path.with_suffix(".toml"), ModelError))

    def _study(self, network: Network, subject: Subject, target: Any, samples: Samples, log: OutcomeLog) -> CellStudy:
        padded = [f"{one.name}={VALID}" for one in network.inputs if one.valid and one.name in self.attacked]
        mask = masks_of(padded, network.inputs) if self.campaign.masked else {}
        world = "real" if target.grids is None else "codes"
        threats = ThreatModel(network.inputs, self.campaign.norm, world, target.grids, mask)
        budgets = tuple(spread(one, self.attacked) for one in self.campaign.budgets)
        mode = mode_name(self.attacked, network.input_names)
        return CellStudy(plan=self.campaign.suite, threat_model=threats, modes={mode: self.attacked}, budgets=budgets,
                         samples=samples, subject=subject, log=log, points={})

    def _parity(self, site: Site, subject: Subject, target: IntegerTarget, study: CellStudy) -> Row:
        """Run some of the adversarial codes on TFLite Micro and count what differs from the twin."""
        with tempfile.TemporaryDirectory() as folder:
            files = write_samples(Path(folder) / "parity", target, [study], PARITY_SAMPLES)
            where, codes = next(iter(files.items()))
            found = compare_with_twin(self._path(site), ORACLE, codes, where)
        identity = {"kind": "parity", **vars(subject), "seed": self.seed, "attacked": list(self.attacked),
                    "campaign": self.digest(site)}
        return parity_row(row_key(identity), study.log.scope, subject, found)


@dataclass(frozen=True)
class AnalyseJob(SubjectJob):
    """Run the analyses of an examination on one float network."""

    examination: Examination

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells this job from others of a study."""
        return self.training.name, self.seed, "analyse", self.examination.analyses, repr(self.examination.settings)

    def digest(self, site: Site) -> str:
        """Leave out the other trainings of the examination."""
        mine = replace(self, examination=replace(self.examination, trainings=()))
        return super(AnalyseJob, mine).digest(site)

    def work(self, site: Site) -> list[Row]:
        """Return what the analyses find; one that the network cannot carry is left out."""
        network = self.network(site)
        subject = AnalysisSubject.of_network(network, site.dataset.as_trained(network.table, str(network.path)))
        chosen = analyses_of(self.examination.analyses, self.examination.settings)
        samples = site.dataset.test.balanced(self.examination.samples, seed=SAMPLE_SEED)
        return run_analyses(fitting(chosen, subject, asked=False, report=lambda line: None), subject, samples,
                            ResultStore())


Job = TrainJob | ConvertJob | AttackJob | AnalyseJob


def is_integer(precision: str) -> bool:
    """Whether ``precision`` is a recipe of deployed integers, and no float network."""
    return precision != FLOAT and read_recipe(precision).scheme != "minmax"


def do(job: Job, site: Site, threads: int) -> list[Row]:
    """Do ``job`` in a worker process whose TensorFlow takes so many ``threads`` (0: as many as it likes)."""
    if threads:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    return job.run(site)


def _right(target: Any, samples: Samples) -> np.ndarray:
    """Find which samples ``target`` classifies correctly as they are, bool [n]."""
    grids = target.grids
    batch = samples.inputs if grids is None else {
        name: grid.quantise(samples.inputs[name]).astype(np.float32) for name, grid in grids.items()}
    return np.asarray(~misclassified(target.logits(batch), samples.label))
