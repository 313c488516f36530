"""Where data sets come from: a registry of loaders by name, and their options on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from tinyfuse.core.console import console
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.own.array_files import TABLE

Loader = Callable[..., Dataset]
"""f(source, *, seed, limit, ...) -> Dataset; what other keywords it takes are options of its own."""

DEFAULT = "embedded"
SOURCES: dict[str, Loader] = {}
_PATHS: list[tuple[Callable[[Path], bool], Loader]] = []
_OWN_OPTIONS: list[Callable[[Any], None]] = []


def register_source(name: str, loader: Loader, add_options: Callable[[Any], None] | None = None) -> None:
    """Make ``loader`` known as ``name``.

    ``add_options`` adds its options to an ``argparse`` group, each with the name of a keyword and None for "not given".
    """
    SOURCES[name] = loader
    if add_options is not None:
        _OWN_OPTIONS.append(add_options)


def register_paths(recognises: Callable[[Path], bool], loader: Loader) -> None:
    """Make ``loader`` read the files and folders that ``recognises`` says are its own; those registered first are asked
    first.
    """
    _PATHS.append((recognises, loader))


def loader_of(source: str | Path | None) -> Loader:
    """Return what reads ``source``: a registered name, a file or a folder."""
    if source is None or str(source) in SOURCES:
        return SOURCES[str(source or DEFAULT)]
    path = Path(source).expanduser()
    return next(loader for recognises, loader in _PATHS if recognises(path))


def load(source: str | Path | None = None, **options: Any) -> Dataset:
    """Load the data set that ``source`` names: a registered name, a file or a folder (default: the embedded set).

    ``seed`` (0 to 2^32 - 1) drives every draw and ``limit`` caps the samples of each part, classes as equal as
    possible; the other ``options`` are those of the source. DataError: missing or damaged files; UsageError: options
    that do not fit.
    """
    loader = loader_of(source)
    allowed = list(signature(loader).parameters)[1:]
    for option in options:
        if option not in allowed:
            raise UsageError(f"{source or DEFAULT}: no option '{option}'{nearest(option, allowed)}; "
                             f"allowed: {', '.join(allowed)}")
    if not 0 <= options.get("seed", 0) < 2**32:
        raise UsageError(f"seed {options['seed']} is out of range; allowed: 0 to {2**32 - 1}")
    return loader(source, **options)


def files_of(source: str) -> tuple[str, Path | None, tuple[Path, ...]]:
    """Find which files ``source`` is read from: what stands before the path, the path, and tables beside the file.

    The path is None for data that have a name; theirs are in the package, or are downloaded.
    """
    name, colon, rest = source.partition(":")
    before, path = (name + colon, Path(rest)) if colon and name in SOURCES else ("", Path(source))
    path = path.expanduser()
    if source in SOURCES or not path.exists():
        return source, None, ()
    beside = () if path.is_dir() else (path.with_suffix(".toml"), path.parent / TABLE)
    return before, path, tuple(one for one in beside if one.is_file())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the data."""
    group = parser.add_argument_group("data")
    names = ", ".join(f"'{name}'" for name in SOURCES)
    group.add_argument("--data", metavar="SOURCE",
                       help=f"an .npz, a folder of .npy arrays or of files by class, or {names} (default: {DEFAULT})")
    group.add_argument("--table", metavar="FILE", help="what own data are (default: dataset.toml in or beside them)")
    group.add_argument("--limit", type=int, metavar="N", help="at most N samples in each part")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the data and of training (default 0)")
    for add_own in _OWN_OPTIONS:
        add_own(group)


def load_from(args: argparse.Namespace) -> Dataset:
    """Load the data that the options of :func:`add_options` name."""
    with console.status("loading data"):
        return load(args.data, **given_options(args))


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what was given of the options of :func:`add_options`, as :func:`load` takes it beside the source."""
    loaders = (*SOURCES.values(), *(loader for _, loader in _PATHS))
    known = {name for loader in loaders for name in list(signature(loader).parameters)[1:]}
    return {name: getattr(args, name) for name in sorted(known) if getattr(args, name, None) is not None}
