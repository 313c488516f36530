"""Who goes where: the parts of a data set as rows, paired by class, seeded, before any feature exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.data.digits.corpus import TEST, TRAIN, VALIDATION, Corpus, Spoken
from tinyfuse.data.samples import PARTS, class_quota, draw_rows

CLASSES = 10
SPLITS = ("official", "speaker")
VALIDATION_SHARE = 0.1
TEST_SPEAKER_SHARE = 0.2
FEW_SPEAKERS = 6
SPEAKERS_FOR_VALIDATION = 10


@dataclass(frozen=True)
class Rows:
    """One part as rows: ``written`` and ``spoken``, int64 [n], of the same class position by position."""

    written: np.ndarray
    spoken: np.ndarray


def plan(corpus: Corpus, *, split: str, held_out: str | None, seed: int, limit: int | None) -> list[Rows]:
    """Choose the rows of train, validation and test; no written sample and no utterance is in two of them.

    ``limit`` caps every part, classes as equal as possible. A source that comes paired keeps its pairs and is
    divided by utterance.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split '{split}'{nearest(split, SPLITS)}; allowed: {', '.join(SPLITS)}")
    if held_out is not None and split != "speaker":
        raise UsageError("held_out names test speakers, which only split 'speaker' has")
    if limit is not None and limit < CLASSES:
        raise UsageError(f"limit {limit} is too small; every part needs at least {CLASSES} pairs, one per digit")
    part_s = spoken_parts(corpus.spoken, split, held_out, seed=seed)
    if corpus.spoken_of_written is not None:
        return _pair_given(corpus, corpus.spoken_of_written, part_s, seed=seed, limit=limit)
    part_w = corpus.written.part.copy()
    generator = np.random.default_rng([seed, 4])
    part_w[_cut(corpus.written.label, np.flatnonzero(part_w == TRAIN), generator)] = VALIDATION
    return [_pair_part(corpus, np.flatnonzero(part_w == part), np.flatnonzero(part_s == part), part=part, seed=seed,
                       limit=limit) for part in (TRAIN, VALIDATION, TEST)]


def spoken_parts(spoken: Spoken, split: str, held_out: str | None, *, seed: int) -> np.ndarray:
    """Put every utterance into TRAIN, VALIDATION or TEST, int8 [n].

    The source's own validation part is used when it holds every class; otherwise 10 % of the train part are cut off: by
    speaker in the speaker split when ten or more are left, else by utterance.
    """
    part = spoken.part
    if split == "speaker":
        part = np.where(np.isin(spoken.speaker, held_out_speakers(spoken, held_out, seed=seed)), TEST, TRAIN)
    elif len(np.unique(spoken.label[part == VALIDATION])) == CLASSES:
        return part
    part = np.where(part == VALIDATION, TRAIN, part).astype(np.int8)
    rows, generator = np.flatnonzero(part == TRAIN), np.random.default_rng([seed, 2])
    many = len(np.unique(spoken.speaker[rows])) >= SPEAKERS_FOR_VALIDATION
    if split == "speaker" and many:
        part[_cut_speakers(spoken, rows, generator)] = VALIDATION
    else:
        part[_cut(spoken.label, rows, generator)] = VALIDATION
    return part


def held_out_speakers(spoken: Spoken, held_out: str | None, *, seed: int) -> np.ndarray:
    """Choose the test speakers' ids: those named (comma separated), else the last by name, or a seeded 20 % of many.

    ``UsageError`` when a name is unknown, when nobody would be left to train on or when the source has no speakers.
    """
    present = np.unique(spoken.speaker[spoken.speaker >= 0])
    names = {spoken.speaker_names[index]: int(index) for index in present}
    if len(names) < 2:
        raise UsageError(f"split 'speaker' needs two speakers or more, {spoken.name} names {len(names)}; "
                         f"use split 'official'")
    if held_out is None:
        ordered = [names[name] for name in sorted(names)]
        if len(ordered) <= FEW_SPEAKERS:
            return np.array(ordered[-1:])
        count = max(round(TEST_SPEAKER_SHARE * len(ordered)), 1)
        return np.random.default_rng([seed, 1]).permutation(ordered)[:count]
    wanted = [name.strip() for name in held_out.split(",") if name.strip()]
    for name in wanted:
        if name not in names:
            listed = ", ".join(sorted(names)[:12]) + (", ..." if len(names) > 12 else "")
            raise UsageError(f"unknown speaker '{name}'{nearest(name, names)}; {spoken.name} has {listed}")
    if not wanted or len(set(wanted)) >= len(names):
        raise UsageError(f"held out speakers '{held_out}': name at least one and leave at least one to train on")
    return np.array([names[name] for name in wanted])


def _cut(label: np.ndarray, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw a stratified 10 % of ``rows`` for validation: at least one per class that has two, never a whole class."""
    counts = np.bincount(label[rows], minlength=CLASSES)
    quota = np.minimum(np.maximum(np.rint(VALIDATION_SHARE * counts).astype(int), 1), np.maximum(counts - 1, 0))
    return np.asarray(rows[draw_rows(label[rows], quota, generator)])


def _cut_speakers(spoken: Spoken, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw speakers for validation until they hold 10 % of ``rows`` and every class; their rows."""
    chosen = np.zeros(len(spoken), bool)
    for speaker in generator.permutation(np.unique(spoken.speaker[rows])):
        chosen[rows[spoken.speaker[rows] == speaker]] = True
        if chosen.sum() >= VALIDATION_SHARE * len(rows) and len(np.unique(spoken.label[chosen])) == CLASSES:
            break
    return np.flatnonzero(chosen)


def _pair_part(corpus: Corpus, written: np.ndarray, spoken: np.ndarray, *, part: int, seed: int,
               limit: int | None) -> Rows:
    """Pair two sets of rows by class, shuffled.

    Every written sample is used once and utterances repeat to match (Khacef et al.); in the train part a class with
    more utterances than images repeats the images instead, so that no speech is lost.
    """
    generator = np.random.default_rng([seed, 3, part])
    label_w, label_s = corpus.written.label[written], corpus.spoken.label[spoken]
    per_class = [(written[label_w == digit], spoken[label_s == digit]) for digit in range(CLASSES)]
    for digit, (own_w, own_s) in enumerate(per_class):
        if not len(own_w) or not len(own_s):
            kind = "spoken" if len(own_w) else "written"
            raise DataError(f"{corpus.name}: no {kind} sample of digit {digit} in the {PARTS[part]} part; "
                            f"each part needs every digit (more data, or another split)")
    wanted = np.array([max(len(w), len(s)) if part == TRAIN else len(w) for w, s in per_class])
    pairs = [np.stack([_repeat(w, count, generator), _repeat(s, count, generator)])
             for (w, s), count in zip(per_class, class_quota(wanted, limit), strict=True)]
    return Rows(*generator.permutation(np.concatenate(pairs, axis=1), axis=1).astype(np.int64))


def _repeat(rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``count`` of ``rows`` in random order: each once before any comes again."""
    rounds = -(-count // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:count]


def _pair_given(corpus: Corpus, partner: np.ndarray, part_of_spoken: np.ndarray, *, seed: int,
                limit: int | None) -> list[Rows]:
    """Divide pairs that are given: ``partner`` is the utterance of each written sample."""
    parts, label, test = [], corpus.written.label, corpus.written.part == TEST
    for part in (TRAIN, VALIDATION, TEST):
        # A training pair whose utterance also occurs in the test part belongs to neither.
        rows = np.flatnonzero((part_of_spoken[partner] == part) & (test == (part == TEST)))
        quota = class_quota(np.bincount(label[rows], minlength=CLASSES), limit)
        chosen = rows[draw_rows(label[rows], quota, np.random.default_rng([seed, 3, part]))]
        parts.append(Rows(chosen, partner[chosen]))
    return parts
