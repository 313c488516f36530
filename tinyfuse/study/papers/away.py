"""A job of a study where nothing of this machine is seen: its files go there, its rows and what it wrote come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import temporary_folder, write_bytes
from tinyfuse.core.results import Row
from tinyfuse.core.workers import Bundle, Task
from tinyfuse.data.sources import files_of
from tinyfuse.study.papers.jobs import Job, Site

MADE_LIMIT = 1 << 30
"""Bytes of all files that a job may write."""


@dataclass(frozen=True)
class Order:
    """What a job needs beside files: the rest of its site, the checksum of its data, the names of its ``files``.

    ``before`` stands before the path in the name of the data; without files that is the whole name.
    """

    before: str | None
    options: tuple[tuple[str, Any], ...]
    samples: int
    checksum: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """What came of a ``job``, known by its identity: its rows, and by name in the study's folder what it wrote."""

    job: tuple[Any, ...]
    rows: list[Row]
    files: Mapping[str, bytes]

    def write(self, folder: Path) -> None:
        """Put the files where the job would have; those last that say that it is done."""
        for name in sorted(self.files, key=lambda name: (name.endswith(".jsonl"), name.endswith(".toml"), name)):
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(f"a worker wrote {name}, which lies outside of the study's folder")
            write_bytes(folder / name, self.files[name])


def task_of(job: Job, site: Site) -> Task:
    """Return the task that does ``job`` on another machine, and returns :class:`Made`."""
    before, path, beside = (None, None, ()) if site.source is None else files_of(site.source)
    needed = [one for one in job.needs(site) if one.exists()]
    order = Order(before, site.options, site.samples, site.dataset.checksum,
                  tuple(one.relative_to(site.folder).as_posix() for one in needed))
    tables = {name: Path(value).expanduser() for name, value in site.options if name == "table"}
    return _do, (job, order, Bundle(path, beside) if path is not None else None, tables.get("table"), *needed)


def _do(job: Job, order: Order, source: Path | None, table: Path | None, *files: Path) -> Made:
    options = tuple((name, str(table) if name == "table" else value) for name, value in order.options)
    name = order.before if source is None else f"{order.before}{source}"
    with temporary_folder(None, "study") as folder:
        site = Site(folder, name, options, order.samples)
        if site.dataset.checksum != order.checksum:
            raise DataError(f"the data of the study are others on a worker: {site.dataset.name} has the checksum "
                            f"{site.dataset.checksum[:16]} there, {order.checksum[:16]} here; give --data a folder")
        for place, file in zip(order.files, files, strict=True):
            write_bytes(folder / place, file.read_bytes())
        return Made(job.identity, job.run(site), dict(_written(folder, order.files)))


def _written(folder: Path, given: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield all files of ``folder`` beside those that were ``given``; DataError if they are too large."""
    left = MADE_LIMIT
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if path.is_file() and place not in given:
            left -= path.stat().st_size
            if left < 0:
                raise DataError(f"a job wrote more than {MADE_LIMIT >> 30} GiB; that is not sent back")
            yield place, path.read_bytes()
