"""A user's own data as a source: an ``.npz``, a folder of ``.npy`` arrays, or a folder of files by class."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyfuse.core import toml
from tinyfuse.core.errors import DataError
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.own.array_files import TABLE, ArrayFiles, read_npy_folder, read_npz
from tinyfuse.data.own.arrays import named_arrays, parts_of_arrays
from tinyfuse.data.own.assemble import say
from tinyfuse.data.own.folder_data import parts_of_folder
from tinyfuse.data.own.settings import DatasetSettings, read_settings
from tinyfuse.data.sources import register_paths

EXPECTED = ("an .npz with one array for each input and 'label', a folder of such .npy files, or a folder with one "
            "folder for each class of pictures (PNG, JPEG, PGM), recordings (WAV, FLAC, OGG) or sequences (.npy, .csv)")
OTHERS = {".csv": "one file is one sample: put each into the folder of its class", ".npy": "give the folder it lies in",
          ".h5": "save its arrays with numpy.savez", ".hdf5": "save its arrays with numpy.savez",
          ".mat": "load it with scipy.io.loadmat and save its arrays with numpy.savez",
          ".pkl": "pickles are never loaded; save its arrays with numpy.savez",
          ".zip": "unpack it and give the folder", ".tar": "unpack it and give the folder",
          ".gz": "unpack it and give the folder", ".parquet": "save its columns with numpy.savez",
          ".tfrecord": "give a tf.data pipeline to tinyfuse.Dataset.from_arrays"}


def register_own_data() -> None:
    """Make a user's own files known: whatever path no other source recognises."""
    register_paths(lambda path: True, load)


def load(source: str | Path, *, table: str | Path | None = None, seed: int = 0, limit: int | None = None) -> Dataset:
    """Load a user's own data; what its table leaves out is inferred and said on stderr.

    ``table``: a ``dataset.toml``; without it the one inside the ``.npz`` or in the folder, FILE.toml beside FILE.npz,
    or ``dataset.toml`` beside it. ``seed`` drives division and pairing, ``limit`` caps the samples of each part.
    DataError names the file and says what was expected.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {EXPECTED}")
    if path.is_dir() and not (path / "label.npy").exists():
        settings = _settings(path, None, table)
        return Dataset.of_parts(parts_of_folder(path, settings, seed=seed, limit=limit))
    files = _arrays(path)
    return Dataset.of_parts(parts_of_arrays(named_arrays(files.arrays, str(path)), _settings(path, files.table, table),
                                            name=path.resolve().stem, seed=seed, limit=limit))


def _arrays(path: Path) -> ArrayFiles:
    if path.is_dir():
        return read_npy_folder(path)
    if path.suffix.lower() != ".npz":
        advice = OTHERS.get(path.suffix.lower(), "")
        raise DataError(f"{path}: not data that is read as it is{f'; {advice}' if advice else ''}; expected {EXPECTED}")
    return read_npz(path)


def _settings(path: Path, inside: str | None, given: str | Path | None) -> DatasetSettings:
    """Read the table of the data at ``path``: the one ``given``, the text ``inside`` it, or a file in or beside it."""
    beside = [path / TABLE] if path.is_dir() else [path.with_suffix(".toml"), path.parent / TABLE]
    file = Path(given) if given is not None else next((one for one in beside if one.is_file()), None)
    if given is None and inside is not None:
        return read_settings(_parsed(inside, f"{path}: {TABLE}"), f"{path}: {TABLE}")
    if file is None:
        say(f"{path}: no {' or '.join(one.name for one in beside)}; inputs, classes and parts are inferred")
        return DatasetSettings()
    return read_settings(toml.read(file, DataError), str(file))


def _parsed(text: str, where: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{where}: not valid TOML ({error})") from error
