"""Who goes where: the parts of a data set as rows, paired by class, seeded, before any feature exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.data.digits.pairs import CLASSES, class_quota
from tinyfuse.data.digits.sources import TEST, TRAIN, VALIDATION, Source, Spoken

SPLITS = ("official", "speaker")
PART_NAMES = ("train", "validation", "test")
VALIDATION_SHARE = 0.1
TEST_SPEAKER_SHARE = 0.2
FEW_SPEAKERS = 6
SPEAKERS_FOR_VALIDATION = 10


@dataclass(frozen=True)
class Rows:
    """One part as rows: ``written`` and ``spoken``, int64 [n], of the same class position by position."""

    written: np.ndarray
    spoken: np.ndarray


def _cut(label: np.ndarray, rows: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """A stratified ``share`` of ``rows``: at least one per class that has two, never a whole class."""
    chosen = []
    for digit in range(CLASSES):
        own = generator.permutation(rows[label[rows] == digit])
        count = min(max(round(share * len(own)), 1), max(len(own) - 1, 0))
        chosen.append(own[:count])
    return np.sort(np.concatenate(chosen))


def _cut_speakers(spoken: Spoken, rows: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Rows of whole speakers, drawn until they hold ``share`` of ``rows`` and every class."""
    chosen = np.zeros(len(spoken), bool)
    for speaker in generator.permutation(np.unique(spoken.speaker[rows])):
        chosen[rows[spoken.speaker[rows] == speaker]] = True
        if chosen.sum() >= share * len(rows) and len(np.unique(spoken.label[chosen])) == CLASSES:
            break
    return np.flatnonzero(chosen)


def held_out_speakers(spoken: Spoken, held_out: str | None, *, seed: int) -> np.ndarray:
    """Ids of the test speakers: those named (comma separated), else the last by name, or a seeded 20 % of many.

    ``UsageError`` when a name is unknown, when nobody would be left to train on or when the source has no speakers.
    """
    present = np.unique(spoken.speaker[spoken.speaker >= 0])
    names = {spoken.speaker_names[index]: int(index) for index in present}
    if len(names) < 2:
        raise UsageError(f"split 'speaker' needs two speakers or more, {spoken.name} names {len(names)}; "
                         f"use split 'official'")
    if held_out is None:
        ordered = sorted(names)
        if len(ordered) <= FEW_SPEAKERS:
            return np.array([names[ordered[-1]]])
        count = max(round(TEST_SPEAKER_SHARE * len(ordered)), 1)
        return np.random.default_rng([seed, 1]).permutation([names[name] for name in ordered])[:count]
    wanted = [name.strip() for name in held_out.split(",") if name.strip()]
    for name in wanted:
        if name not in names:
            listed = ", ".join(sorted(names)[:12]) + (", ..." if len(names) > 12 else "")
            raise UsageError(f"unknown speaker '{name}'{nearest(name, names)}; {spoken.name} has {listed}")
    if not wanted or len(set(wanted)) >= len(names):
        raise UsageError(f"held out speakers '{held_out}': name at least one and leave at least one to train on")
    return np.array([names[name] for name in wanted])


def spoken_parts(spoken: Spoken, split: str, held_out: str | None, *, seed: int) -> np.ndarray:
    """int8 [n]: TRAIN, VALIDATION or TEST of every utterance.

    The source's own validation part is used when it holds every class; otherwise 10 % of the train part are cut off: by
    speaker in the speaker split when ten or more are left, else by utterance.
    """
    part = spoken.part.copy()
    generator = np.random.default_rng([seed, 2])
    if split == "speaker":
        part = np.where(np.isin(spoken.speaker, held_out_speakers(spoken, held_out, seed=seed)), TEST, TRAIN)
    elif len(np.unique(spoken.label[part == VALIDATION])) == CLASSES:
        return part
    part = np.where(part == VALIDATION, TRAIN, part).astype(np.int8)
    rows = np.flatnonzero(part == TRAIN)
    many = len(np.unique(spoken.speaker[rows])) >= SPEAKERS_FOR_VALIDATION
    if split == "speaker" and many:
        part[_cut_speakers(spoken, rows, VALIDATION_SHARE, generator)] = VALIDATION
    else:
        part[_cut(spoken.label, rows, VALIDATION_SHARE, generator)] = VALIDATION
    return part


def _repeat(rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` of ``rows`` in random order: each once before any is taken again."""
    rounds = -(-count // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:count]


def pair_part(source: Source, written: np.ndarray, spoken: np.ndarray, *, part: int, seed: int,
              limit: int | None) -> Rows:
    """Pair two sets of rows by class, shuffled.

    Every written sample is used once and utterances repeat to match (Khacef et al.); in the train part a class with
    more utterances than images repeats the images instead, so that no speech is lost.
    """
    generator = np.random.default_rng([seed, 3, part])
    label_w, label_s = source.written.label[written], source.spoken.label[spoken]
    per_class = [(written[label_w == digit], spoken[label_s == digit]) for digit in range(CLASSES)]
    for digit, (own_w, own_s) in enumerate(per_class):
        if not len(own_w) or not len(own_s):
            kind = "spoken" if len(own_w) else "written"
            raise DataError(f"{source.name}: no {kind} sample of digit {digit} in the {PART_NAMES[part]} part; "
                            f"each part needs every digit (more data, or another split)")
    wanted = np.array([max(len(w), len(s)) if part == TRAIN else len(w) for w, s in per_class])
    quota = wanted if limit is None else class_quota(wanted, limit)
    pairs = [np.stack([_repeat(w, count, generator), _repeat(s, count, generator)])
             for (w, s), count in zip(per_class, quota, strict=True)]
    rows = generator.permutation(np.concatenate(pairs, axis=1), axis=1)
    return Rows(rows[0].astype(np.int64), rows[1].astype(np.int64))


def _pair_given(source: Source, partner: np.ndarray, limit: int | None, *, seed: int) -> tuple[Rows, Rows, Rows]:
    part_of_spoken = spoken_parts(source.spoken, "official", None, seed=seed)
    part_of_pair = part_of_spoken[partner]
    parts = []
    for part in (TRAIN, VALIDATION, TEST):
        # A training pair whose utterance also occurs in the test part belongs to neither.
        rows = np.flatnonzero((part_of_pair == part) & ((source.written.part == TEST) == (part == TEST)))
        counts = np.bincount(source.written.label[rows], minlength=CLASSES)
        quota = counts if limit is None else class_quota(counts, limit)
        generator = np.random.default_rng([seed, 3, part])
        kept = [generator.permutation(rows[source.written.label[rows] == digit])[:quota[digit]]
                for digit in range(CLASSES)]
        chosen = np.sort(np.concatenate(kept))
        parts.append(Rows(chosen, partner[chosen]))
    return parts[0], parts[1], parts[2]


def plan(source: Source, *, split: str, held_out: str | None, seed: int, limit: int | None) -> tuple[Rows, Rows, Rows]:
    """Train, validation and test as rows; no written sample and no utterance is in two of them.

    ``limit`` caps every part, classes as equal as possible. A source that comes paired keeps its pairs and is
    divided by utterance.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split '{split}'{nearest(split, SPLITS)}; allowed: {', '.join(SPLITS)}")
    if held_out is not None and split != "speaker":
        raise UsageError("held_out names test speakers, which only split 'speaker' has")
    if limit is not None and limit < CLASSES:
        raise UsageError(f"limit {limit} is too small; every part needs at least {CLASSES} pairs, one per digit")
    if source.spoken_of_written is not None:
        if split == "speaker":
            raise UsageError(f"{source.name} names no speakers; use split 'official'")
        return _pair_given(source, source.spoken_of_written, limit, seed=seed)
    part_s = spoken_parts(source.spoken, split, held_out, seed=seed)
    part_w = source.written.part.copy()
    train_rows = np.flatnonzero(part_w == TRAIN)
    generator = np.random.default_rng([seed, 4])
    part_w[_cut(source.written.label, train_rows, VALIDATION_SHARE, generator)] = VALIDATION
    paired = [pair_part(source, np.flatnonzero(part_w == part), np.flatnonzero(part_s == part), part=part, seed=seed,
                        limit=limit) for part in (TRAIN, VALIDATION, TEST)]
    return paired[0], paired[1], paired[2]
