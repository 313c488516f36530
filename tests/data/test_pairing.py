"""No written sample and no utterance in two parts, whatever the source looks like."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.data.digits.corpus import TEST, TRAIN, VALIDATION, Corpus, Features, Spoken, Written
from tinyfuse.data.digits.pairing import Rows, held_out_speakers, plan, spoken_parts

NO_FEATURES = Features(np.zeros((0, 39, 13), np.float32))


def written(per_class: int, test_share: float, seed: int) -> Written:
    generator = np.random.default_rng([seed, 1])
    label = generator.permutation(np.repeat(np.arange(10), per_class))
    part = np.full(len(label), TRAIN, np.int8)
    for digit in range(10):
        rows = np.flatnonzero(label == digit)
        part[rows[: max(1, int(test_share * len(rows)))]] = TEST
    return Written("w", np.zeros((len(label), 28, 28), np.uint8), label, part, "w")


def spoken(speakers: int, takes: int, seed: int, *, validation: bool = False) -> Spoken:
    """Every speaker says every digit ``takes`` times; take 0 is test, take 1 validation if asked for."""
    keys = list(itertools.product(range(speakers), range(10), range(takes)))
    order = np.random.default_rng([seed, 2]).permutation(len(keys))
    speaker, label, take = np.array(keys)[order].T
    part = np.where(take == 0, TEST, np.where((take == 1) & validation, VALIDATION, TRAIN)).astype(np.int8)
    names = tuple(f"s{index:02d}" for index in range(speakers))
    return Spoken("s", label.astype(np.int64), part, speaker.astype(np.int32), names, "s", NO_FEATURES)


def assert_disjoint(parts: list[Rows]) -> None:
    for one, other in itertools.combinations(parts, 2):
        assert not set(one.written) & set(other.written)
        assert not set(one.spoken) & set(other.spoken)


@given(per_class=st.integers(4, 30), speakers=st.integers(2, 14), takes=st.integers(3, 6), seed=st.integers(0, 999),
       split=st.sampled_from(["official", "speaker"]), limit=st.none() | st.integers(10, 200))
@settings(max_examples=80, deadline=None)
def test_parts_are_disjoint_and_pairs_agree(per_class: int, speakers: int, takes: int, seed: int, split: str,
                                            limit: int | None) -> None:
    source = Corpus(written(per_class, 0.25, seed), spoken(speakers, takes, seed))
    parts = plan(source, split=split, held_out=None, seed=seed, limit=limit)
    assert_disjoint(parts)
    for number, rows in enumerate(parts):
        assert np.array_equal(source.written.label[rows.written], source.spoken.label[rows.spoken])
        assert set(source.written.label[rows.written]) == set(range(10))
        assert limit is None or len(rows.written) <= limit
        own = source.written.part[rows.written]
        assert (own == TEST).all() if number == 2 else (own == TRAIN).all()
    if limit is None:
        for rows in parts[1:]:
            assert len(np.unique(rows.written)) == len(rows.written)
        assert set(np.concatenate([rows.written for rows in parts])) == set(range(len(source.written.label)))
        assert len(parts[2].written) == np.sum(source.written.part == TEST)
    if split == "speaker":
        tested = set(source.spoken.speaker[parts[2].spoken])
        assert not tested & set(source.spoken.speaker[np.concatenate([parts[0].spoken, parts[1].spoken])])


def test_training_uses_every_utterance_and_repeats_them_evenly() -> None:
    source = Corpus(written(40, 0.1, 0), spoken(2, 6, 0))
    train = plan(source, split="official", held_out=None, seed=0, limit=None)[0]
    used, counts = np.unique(train.spoken, return_counts=True)
    assert len(used) == 2 * 10 * 5 - 10
    for digit in range(10):
        of_digit = counts[source.spoken.label[used] == digit]
        assert of_digit.max() - of_digit.min() <= 1


def test_more_speech_than_images_repeats_images_in_training_only() -> None:
    source = Corpus(written(5, 0.2, 0), spoken(4, 6, 0))
    train, validation, test = plan(source, split="official", held_out=None, seed=0, limit=None)
    assert len(np.unique(train.spoken)) == len(train.spoken) == 180
    assert len(validation.written) == 10 and len(test.written) == 10


def test_the_plan_follows_the_seed() -> None:
    source = Corpus(written(10, 0.2, 0), spoken(3, 5, 0))
    one, again, other = (plan(source, split="official", held_out=None, seed=seed, limit=None) for seed in (1, 1, 2))
    assert all(np.array_equal(a.spoken, b.spoken) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].spoken, other[0].spoken)


def test_the_sources_own_validation_part_is_kept_when_it_holds_every_digit() -> None:
    own = spoken(4, 5, 0, validation=True)
    assert np.array_equal(spoken_parts(own, "official", None, seed=0), own.part)
    without_3 = np.where((own.part == VALIDATION) & (own.label == 3), TRAIN, own.part).astype(np.int8)
    poor = dataclasses.replace(own, part=without_3)
    parts = spoken_parts(poor, "official", None, seed=0)
    assert set(poor.label[parts == VALIDATION]) == set(range(10))
    assert np.array_equal(parts == TEST, poor.part == TEST)


def test_many_speakers_give_a_validation_part_of_other_speakers() -> None:
    many = spoken(15, 3, 0)
    parts = spoken_parts(many, "speaker", None, seed=0)
    groups = [set(many.speaker[parts == part]) for part in (TRAIN, VALIDATION, TEST)]
    assert all(groups) and not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert len(groups[2]) == 3


def test_held_out_speakers_are_named_or_the_last_of_few() -> None:
    few = spoken(3, 2, 0)
    assert held_out_speakers(few, None, seed=0).tolist() == [2]
    assert held_out_speakers(few, "s01, s00", seed=0).tolist() == [1, 0]


@pytest.mark.parametrize(("named", "told"), [
    ("s1", "did you mean 's"), ("s00,s01,s02", "leave at least one"), (" , ", "at least one")])
def test_held_out_names_are_checked(named: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        held_out_speakers(spoken(3, 2, 0), named, seed=0)


@pytest.mark.parametrize(("arguments", "told"), [
    ({"split": "speakers"}, "did you mean 'speaker'"),
    ({"split": "official", "held_out": "s00"}, "only split 'speaker'"),
    ({"split": "official", "limit": 9}, "at least 10")])
def test_arguments_that_do_not_fit(arguments: dict[str, object], told: str) -> None:
    source = Corpus(written(5, 0.2, 0), spoken(3, 4, 0))
    with pytest.raises(UsageError, match=told):
        plan(source, **({"held_out": None, "seed": 0, "limit": None} | arguments))  # type: ignore[arg-type]


def test_a_digit_nobody_says_is_named() -> None:
    full = spoken(3, 4, 0)
    part = np.where(full.label == 7, TRAIN, full.part).astype(np.int8)
    poor = Spoken("s", full.label, part, full.speaker, full.speaker_names, "s", NO_FEATURES)
    with pytest.raises(DataError, match="no spoken sample of digit 7 in the test part"):
        plan(Corpus(written(5, 0.2, 0), poor), split="official", held_out=None, seed=0, limit=None)


def test_a_source_without_speakers_has_no_speaker_split() -> None:
    full = spoken(3, 4, 0)
    nameless = Spoken("s", full.label, full.part, np.full(len(full), -1, np.int32), (), "s", NO_FEATURES)
    with pytest.raises(UsageError, match="use split 'official'"):
        plan(Corpus(written(5, 0.2, 0), nameless), split="speaker", held_out=None, seed=0, limit=None)
