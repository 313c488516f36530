"""Data sets of any inputs: what an input is, how a source registers, and what the command line hands on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.data import Axis, Dataset, Input, Samples, load, sources

SENSORS = (Input("camera", (4, 3, 3), 0, 255, "grey levels"),
           Input("motion", (6, 2), -2, 2, "g", axes={"time": Axis(2, 6), "axis": Axis(1, 2)}, valid=((0, 4), (8, 12))))


def some(n: int) -> Samples:
    rng = np.random.default_rng(n)
    inputs = {one.name: rng.uniform(one.low, one.high, (n, *one.shape)).astype(np.float32) for one in SENSORS}
    return Samples(inputs, np.arange(n) % 3, np.arange(n))


def load_sensors(source: object, *, seed: int = 0, limit: int | None = None, window_ms: int = 20) -> Dataset:
    return Dataset(f"sensors-{window_ms}", SENSORS, ("rest", "walk", "fall"), some(limit or 30), some(9), some(9),
                   "1" * 64, seed=seed)


@pytest.fixture
def sensors() -> Iterator[None]:
    before = dict(sources.SOURCES), list(sources._OWN_OPTIONS)
    sources.register_source("sensors", load_sensors,
                            lambda group: group.add_argument("--window-ms", type=int))
    yield
    sources.SOURCES.clear()
    sources.SOURCES.update(before[0])
    sources._OWN_OPTIONS[:] = before[1]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sources.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.usefixtures("sensors")
def test_a_registered_source_is_loaded_by_its_name_with_its_own_options() -> None:
    dataset = sources.load_from(parsed("--data", "sensors", "--window-ms", "40", "--limit", "12", "--seed", "3"))
    assert (dataset.name, len(dataset.train), dataset.seed, dataset.split) == ("sensors-40", 12, 3, "given")
    assert sources.load_from(parsed("--data", "sensors")).name == "sensors-20"
    inputs, label = dataset.epoch(1, seed=3)
    places = [np.flatnonzero((dataset.train.inputs["motion"] == one).all(axis=(1, 2)))[0] for one in inputs["motion"]]
    assert sorted(places) == list(range(12)) and np.array_equal(label, dataset.train.label[places])


@pytest.mark.usefixtures("sensors")
def test_an_option_of_another_source_is_refused() -> None:
    with pytest.raises(UsageError, match="sensors: no option 'spoken'"):
        sources.load_from(parsed("--data", "sensors", "--spoken", "fsdd"))
    with pytest.raises(UsageError, match="embedded: no option 'window_ms'"):
        load(window_ms=3)


def test_the_options_of_the_digits_reach_them() -> None:
    dataset = sources.load_from(parsed("--split", "speaker", "--held-out", "en-gb+m1", "--limit", "20"))
    assert dataset.split == "speaker" and len(dataset.test) == 20


def test_an_input_knows_its_range_and_places() -> None:
    camera, motion = SENSORS
    assert camera.span == 255 and motion.span == 4 and camera.valid_mask().all()
    assert motion.valid_mask().tolist() == [[1, 1], [1, 1], [0, 0], [0, 0], [1, 1], [1, 1]]
    assert motion.places_along("time")[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert motion.places_along("axis")[3].tolist() == [0, 1]


@pytest.mark.parametrize(("name", "words"), [
    ("w6", "is a word of recipes"), ("shared", "is a word of recipes"), ("All", "is a word of recipes"),
    ("mic-2", "letters, digits"), ("2mic", "letters, digits"), ("mic__left", "letters, digits"),
    ("", "letters, digits")])
def test_names_that_a_recipe_could_not_hold_are_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Input(name, (3,))


@pytest.mark.parametrize("shape", [(), (0, 3), (-1,)])
def test_shapes_without_values_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="at least one value"):
        Input("mic", shape)


def test_a_range_without_width_is_refused() -> None:
    with pytest.raises(UsageError, match="finite low < high"):
        Input("mic", (3,), 1.0, 1.0)
