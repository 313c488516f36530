"""Which input of a model hears, and what an attack on it needs: front end, gradients and the deployed chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyfuse.attacks import DifferentiableTarget, KerasTarget, TwinTarget
from tinyfuse.attacks.wave.air import STILL, Condition
from tinyfuse.attacks.wave.chains import Chain, DeviceChain, FloatChain
from tinyfuse.attacks.wave.differentiable import DifferentiableSound
from tinyfuse.attacks.wave.wave_target import WaveTarget
from tinyfuse.core.errors import DataError, ModelError, UsageError, nearest
from tinyfuse.core.files import read_limited, sha256_hex
from tinyfuse.data import Dataset
from tinyfuse.frontend.fixed_sound import FLOATING
from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.frontend.normalisation import Normalisation, identity, read_normalisation
from tinyfuse.frontend.recording import Recording
from tinyfuse.nn.zoo.user import MAX_TFLITE_BYTES, is_network
from tinyfuse.quantize.integer_table import read_integer_table
from tinyfuse.study.open_subject import model_and_data, network_and_data, source_of
from tinyfuse.study.rows import KERAS_BATCH, Subject
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR
from tinyfuse.threats.modes import ALL

SOUNDS = ("waveform", "spectrogram", "log-mel", "mfcc")
"""Front ends that take recordings."""


@dataclass(frozen=True, eq=False)
class Microphone:
    """What hears: a model behind the front end of its input ``name``.

    ``target`` has the gradients that make the waves, ``chain`` judges them as ``subject``; ``source`` names the
    precision of the target, ``made_by`` its file. ``seed`` is that of the training. ``arithmetic``: of the front end
    on the device.
    """

    name: str
    front_end: Recording
    fitted: Normalisation
    target: DifferentiableTarget
    chain: Chain
    subject: Subject
    seed: int
    source: str
    made_by: str
    arithmetic: str = FLOATING

    @property
    def through(self) -> dict[str, str]:
        """Settings for rows: what differs from the usual way from a recording to the model."""
        return {} if self.arithmetic == FLOATING else {"frontend": self.arithmetic}

    @property
    def replayed(self) -> bool:
        """Whether the waves are made for another model than the one that is judged."""
        return self.source != self.subject.precision

    def wave_target(self, conditions: Sequence[Condition] = (STILL,),
                    target: DifferentiableTarget | None = None) -> WaveTarget:
        """Return the target, or another one of the same inputs, with air and front end before it."""
        return WaveTarget(target or self.target, self.name, DifferentiableSound(self.front_end, self.fitted),
                          conditions)


def listening(table: Mapping[str, Any], modality: str, where: str) -> str:
    """Return the input of the model at ``where`` that is attacked: a sound, by the front ends of its ``table``.

    ``modality``: its name, or "all" for the only one.
    """
    kinds = kinds_of(table, where)
    sounds = [name for name, kind in kinds.items() if kind in SOUNDS]
    if modality == ALL and len(sounds) == 1:
        return sounds[0]
    if modality in sounds:
        return modality
    if modality in kinds:
        raise UsageError(f"'{modality}' is of kind {kinds[modality]}, which hears nothing; a wave changes an input of "
                         f"kind {', '.join(SOUNDS)}: {', '.join(sounds) or 'this model has none'}")
    raise UsageError(f"{where}: a wave changes one input that is a sound; name one of {', '.join(sounds) or 'none'} "
                     f"with --modality, not '{modality}'{nearest(modality, sounds)}")


def kinds_of(table: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the kind of front end by input from the ``table`` of the model at ``where``; UsageError without any."""
    kinds = {str(name): str(one.get("kind")) for name, one in (table.get("front_ends") or {}).items()}
    if not kinds:
        raise UsageError(f"{where}: no front end is recorded beside it, so no change before it can be followed to its "
                         "inputs; train it on recordings or pictures (docs/frontend.md), or attack its inputs with "
                         "--threat codes")
    return kinds


def front_end_of(table: Mapping[str, Any], name: str, where: str) -> tuple[Recording, Normalisation]:
    """Read the front end of the sound ``name`` and what was fitted for it from the table of a model."""
    one = read_front_end(table["front_ends"][name], f"{where}: front_ends.{name}")
    assert isinstance(one, Recording)
    fitted = (table.get("fitted") or {}).get(name)
    if fitted is None and one.normalise != "none":
        raise DataError(f"{where}: nothing fitted for '{name}' in its table, which its front end needs; train it again")
    return one, (identity(one, *(one.natural_range or (-1.0, 1.0))) if fitted is None else
                 read_normalisation(one, fitted, f"{where}: fitted.{name}"))


def open_microphone(path: Path, dataset: Dataset, modality: str, source: str | Path | None = None,
                    choice: tuple[str, str] = ("", ""), arithmetic: str = FLOATING) -> tuple[Microphone, Dataset]:
    """Open the float network or the ``.tflite`` at ``path`` behind its front end, and the data it was trained on.

    ``source``: the float network whose gradients make the waves instead of the integers' own. ``arithmetic``: of a
    ``.tflite``'s front end as it is exported.
    """
    if is_network(path):
        if arithmetic != FLOATING:
            raise UsageError(f"a front end in {arithmetic} point is that of a package; a float network stands behind "
                             "librosa's: give the .tflite")
        network, dataset = network_and_data(path, dataset, *choice)
        name = listening(network.table, modality, str(path))
        front_end, fitted = front_end_of(network.table, name, str(path))
        target = KerasTarget.of(network, batch_size=KERAS_BATCH)
        subject = Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256)
        return Microphone(name, front_end, fitted, target, FloatChain(target, front_end, fitted), subject, network.seed,
                          FLOAT, network.sha256), dataset
    table = integer_table_of(path)
    name = listening(table, modality, str(path))
    front_end, fitted = front_end_of(table, name, str(path))
    own, dataset = model_and_data(path, dataset, choice[0])
    if not isinstance(own.twin, TwinTarget):
        raise UsageError(f"{path} is judged by a reconstruction error; attacks on recordings are made for classifiers")
    chain = DeviceChain(own.twin.model, name, front_end, fitted, arithmetic)
    if source is None:
        return Microphone(name, front_end, fitted, own.twin, chain, own.subject, own.seed, own.subject.precision,
                          own.subject.sha256, arithmetic), dataset
    network, _ = network_and_data(source_of(path, source), dataset)
    return Microphone(name, front_end, fitted, KerasTarget.of(network, batch_size=KERAS_BATCH), chain, own.subject,
                      own.seed, FLOAT, f"{network.sha256} {own.subject.sha256}", arithmetic), dataset


def integer_table_of(path: Path) -> dict[str, Any]:
    """Read the table beside the ``.tflite`` at ``path``; empty without one."""
    return read_integer_table(path, sha256_hex(read_limited(path, MAX_TFLITE_BYTES, ModelError)))
