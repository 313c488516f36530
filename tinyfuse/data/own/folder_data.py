"""A folder of pictures, recordings and sequences by class as a data set: found, paired, divided, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyfuse.core.console import progress
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.own.assemble import (
    Column,
    PartRows,
    Parts,
    Plan,
    assemble,
    check_parts,
    check_request,
    describe,
    limited,
    say,
)
from tinyfuse.data.own.class_folders import File
from tinyfuse.data.own.feature_cache import features_of
from tinyfuse.data.own.infer_front_end import infer_front_end
from tinyfuse.data.own.input_files import find_files
from tinyfuse.data.own.labels import in_order
from tinyfuse.data.own.media import Decoded, decode, read_bytes
from tinyfuse.data.own.partners import pair_files
from tinyfuse.data.own.settings import DatasetSettings, InputSettings
from tinyfuse.data.own.split import thin_classes
from tinyfuse.data.samples import PARTS, check_input_name
from tinyfuse.frontend.base import FrontEnd


def parts_of_folder(root: Path, settings: DatasetSettings, *, seed: int = 0, limit: int | None = None) -> Parts:
    """Make a data set of the files under ``root``; what ``settings`` leave out is inferred and said on stderr.

    Only the files that the parts need are opened. DataError names the file or folder that does not fit.
    """
    check_request(seed, limit)
    found = find_files(root, settings)
    _check_names(root, found.files)
    settings.check_inputs(found.files, str(root))
    classes = settings.classes or in_order({file.label for own in found.files.values() for file in own})
    paired, split = pair_files(found.files, classes, settings, found.ignored, seed=seed, where=str(root))
    parts = tuple(limited(part, limit, len(classes), seed, index) for index, part in enumerate(paired))
    _say_what_is_missing(root, found.ignored.lines(), parts, classes)
    files, parts = _only_used(found.files, parts)
    inputs = {name: _with_front_end(name, own, found.kinds[name], settings.input(name), parts[0].rows[name])
              for name, own in files.items()}
    asked = {"settings": replace(settings, inputs=inputs).identity(), "limit": limit}
    plan = Plan(settings.name or root.resolve().name, classes, parts, split, seed, asked, _Recordings(files, parts))
    check_parts(plan, str(root))
    made = assemble(plan, [_column(name, own, parts, inputs[name], front_end) for name, own in files.items()
                           if (front_end := inputs[name].front_end) is not None])
    say(describe(made))
    return made


def _only_used(files: Mapping[str, Sequence[File]],
               parts: Sequence[PartRows]) -> tuple[dict[str, list[File]], tuple[PartRows, ...]]:
    """Keep the files that a part needs, and number them anew."""
    used = {name: np.unique(np.concatenate([part.rows[name] for part in parts])) for name in files}
    renumbered = tuple(replace(part, rows={name: np.searchsorted(used[name], rows) for name, rows in part.rows.items()})
                       for part in parts)
    return {name: [own[row] for row in used[name]] for name, own in files.items()}, renumbered


def _check_names(root: Path, names: Iterable[str]) -> None:
    for name in names:
        try:
            check_input_name(name)
        except UsageError as error:
            raise DataError(f'{root}: {error}; in dataset.toml: [inputs.NAME] with folder = "{name}"') from None


def _say_what_is_missing(root: Path, ignored: Sequence[str], parts: Sequence[PartRows], classes: Sequence[str]) -> None:
    label = np.concatenate([part.label for part in parts])
    part = np.repeat(np.arange(len(PARTS)), [len(part.label) for part in parts])
    for line in (*ignored, *thin_classes(label, part, classes)):
        say(f"{root}: {line}")


def _with_front_end(name: str, files: Sequence[File], kind: str, own: InputSettings,
                    train: np.ndarray) -> InputSettings:
    """Give an input without a front end one that suits its training files, and say which."""
    if own.front_end is not None:
        return own
    if own.low is not None or own.high is not None or own.axes or own.valid:
        raise DataError(f"input '{name}': low, high, axes and valid describe arrays; files take a front end: kind = "
                        '"picture", "mfcc", "log-mel", "spectrogram", "waveform" or "array"')
    front_end, said = infer_front_end(kind, [Path(files[row].path) for row in np.unique(train)])
    say(f"input '{name}': {said}")
    return replace(own, front_end=front_end)


def _column(name: str, files: Sequence[File], parts: Sequence[PartRows], own: InputSettings,
            front_end: FrontEnd) -> Column:
    """Compute the values of the front end for ``files``, or find them in the cache by what the files hold."""
    held = []
    with progress(f"reading {name}", len(files)) as advance:
        for file in files:
            held.append(sha256_hex(read_bytes(Path(file.path))))
            advance()
    _say_what_is_double(name, files, held, [np.unique(part.rows[name]) for part in parts])
    content = sha256_hex("".join(held).encode())

    def sample(row: int) -> Decoded:
        path = Path(files[row].path)
        return decode(path, read_bytes(path))

    stored = features_of(name, front_end, len(files), sample, content, lambda row: files[row].path)
    return Column(name, stored, content, own)


def _say_what_is_double(name: str, files: Sequence[File], held: Sequence[str], rows: Sequence[np.ndarray]) -> None:
    """Tell how many files of the other parts hold, byte for byte, what a training file holds: they are not unseen."""
    learnt = {held[row] for row in rows[0]}
    double = [files[row].path for part in rows[1:] for row in part if held[row] in learnt]
    if double:
        say(f"input '{name}': {len(double)} files of the validation and test parts hold the same as a file of the "
            f"training part, the first is {double[0]}; a figure on them says nothing about unseen data")


class _Recordings:
    """The sound behind a sample, from its file."""

    def __init__(self, files: Mapping[str, Sequence[File]], parts: Sequence[PartRows]) -> None:
        self._files, self._parts = files, dict(zip(PARTS, parts, strict=True))

    def __call__(self, name: str, part: str, row: int) -> tuple[np.ndarray, int] | None:
        file = self._files[name][int(self._parts[part].rows[name][row])]
        if file.kind != "sound":
            return None
        samples, rate = decode(Path(file.path), read_bytes(Path(file.path)))
        return (samples.mean(axis=1) if samples.ndim == 2 else samples), int(rate or 0)
