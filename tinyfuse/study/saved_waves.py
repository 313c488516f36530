"""Some attacked recordings of each attack as WAV files in a folder, with what was answered, for whoever listens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.attacks.wave.scene import save_wave, snr_db
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import atomic_path, read_limited, write_text
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.strict import decode, encode

if TYPE_CHECKING:  # a page that lists what was kept needs none of it
    from tinyfuse.study.attack import AttackResult
    from tinyfuse.study.microphones import Microphone
    from tinyfuse.study.wave_attack import WaveTask

FOLDER = "waves"
KEPT = 6
"""Recordings of one attack."""
MAX_WAVE_BYTES, MAX_INDEX_BYTES = 8 << 20, 1 << 20
LONGEST = MAX_WAVE_BYTES // 2 - 1024
"""Samples of a file that is read again; its head takes some bytes."""


@dataclass(frozen=True)
class SavedWave:
    """One attacked recording: files in the folder, who was attacked how, and the answers ``before`` and ``after``.

    ``ratio``: by how many dB the change lies below the recording; None without a change.
    """

    model: str
    precision: str
    executor: str
    attack: str
    budget: str
    label: str
    before: str
    after: str
    ratio: float | None
    clean_file: str
    attacked_file: str

    def __post_init__(self) -> None:
        for name in (self.clean_file, self.attacked_file):
            if Path(name).name != name or not name.endswith(".wav"):
                raise DataError(f"'{name}' is no name of a WAV file in this folder")


def keep_waves(folder: str | Path, heard: Microphone, task: WaveTask, found: AttackResult) -> Path:
    """Write some recordings of ``found`` into ``folder``/waves, those that were broken first; return that folder.

    What is too long for a page stays out.
    """
    place, made, name = Path(folder) / FOLDER, found.made, heard.name
    place.mkdir(parents=True, exist_ok=True)
    row = next(row for row in found.rows if row["kind"] == "attack")
    stem = f"{row['model']}__{row['precision']}-{row['key']}"
    right = made["clean_answer"] == made["label"]
    order = np.argsort(~(made["broken"] & right), kind="stable")
    order = order[made[f"samples_{name}"][order] <= LONGEST][:KEPT]
    saved = []
    for number in order:
        pair = [made[key][number, :made[f"samples_{name}"][number]] for key in (f"clean_wave_{name}", f"wave_{name}")]
        files = [f"{stem}-{number}{end}.wav" for end in ("-clean", "")]
        for clip, file in zip(pair, files, strict=True):
            with atomic_path(place / file) as temporary:
                save_wave(temporary, clip, heard.front_end.rate)
        ratio = snr_db(pair[0], pair[1])
        classes = [task.dataset.classes[int(made[key][number])] for key in ("label", "clean_answer", "answer")]
        saved.append(SavedWave(row["model"], row["precision"], row["executor"], row["attack"]["name"],
                               task.budget_text, classes[0], classes[1], classes[2],
                               round(ratio, 1) if np.isfinite(ratio) else None, files[0], files[1]))
    write_text(place / f"{stem}.json", json.dumps(encode(tuple(saved)), indent=1))
    return place


def read_waves(folder: str | Path) -> list[SavedWave]:
    """Read what :func:`keep_waves` left in ``folder``; DataError for a damaged file."""
    found: list[SavedWave] = []
    for path in sorted((Path(folder) / FOLDER).glob("*.json")):
        table: Any = parse_json(read_limited(path, MAX_INDEX_BYTES, DataError), str(path), DataError)
        if not isinstance(table, list):
            raise DataError(f"{path}: damaged; delete it and attack again")
        found += [decode(SavedWave, one, str(path), DataError) for one in table]
    return found
