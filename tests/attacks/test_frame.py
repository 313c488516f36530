"""Attacks on a camera's frames: the resize and its transpose, whole-frame changes, and what budgets mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from one_operator import Spec, Step, build

from tinyfuse.attacks import PGD
from tinyfuse.attacks.frame.camera import Camera
from tinyfuse.attacks.frame.scene_changes import amounts, brighter, contrasted, turned
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.frontend.device_sound import Grid
from tinyfuse.frontend.normalisation import Normalisation, identity
from tinyfuse.frontend.picture import Picture
from tinyfuse.integer.model import load_model
from tinyfuse.study.frame_attack import Eye, FrameTask
from tinyfuse.study.frame_minimal import minimal_frame
from tinyfuse.study.rows import Subject
from tinyfuse.threats.budget_text import size_text
from tinyfuse.threats.frame_budgets import FrameBudget, read_frame_budget

PLAIN = Picture(size=(8, 6), crop="pad", scale=(-1.0, 1.0))
COLOUR = Picture(size=(5, 7), colour="rgb", resize="bicubic", normalise="standard")
KINDS: list[tuple[Picture, Normalisation]] = [
    (PLAIN, identity(PLAIN, -1.0, 1.0)), (COLOUR, Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), -3.0, 3.0))]


@pytest.mark.parametrize(("one", "fitted"), KINDS)
@pytest.mark.parametrize("size", [(16, 20), (11, 9), None])
def test_what_is_seen_is_pillows_but_for_its_rounding_and_slopes_are_the_transpose(
        one: Picture, fitted: Normalisation, size: tuple[int, int] | None) -> None:
    camera, rng = Camera.of(one, fitted, size), np.random.default_rng(0)
    frames = rng.integers(60, 190, (3, *camera.shape), dtype=np.uint8)  # bicubic overshoots, but clips nothing here
    step = (one.scale[1] - one.scale[0]) / 255 / min(fitted.std)
    seen = camera.inputs(frames.astype(np.float32))
    np.testing.assert_allclose(seen, camera.values(frames), atol=1.05 * step)
    slope, way = rng.standard_normal(seen.shape).astype(np.float32), rng.standard_normal(frames.shape)
    wanted = ((camera.inputs(frames + way) - camera.inputs(frames - way)).astype(np.float64) / 2 * slope).sum()
    assert (camera.pull_back(frames.astype(np.float32), slope) * way).sum() == pytest.approx(wanted, rel=1e-3)


def test_frames_show_the_inputs_that_they_were_made_of() -> None:
    """Enlarged to the nearest pixel and averaged back by a box, a picture comes out as it was, also as C's codes."""
    one = Picture(size=(6, 6), crop="stretch", resize="box")
    camera = Camera.of(one, identity(one), (18, 12), Grid(1 / 255, -128, -128, 127))
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1)).astype(np.float32) / np.float32(255)
    frames = camera.frames_of(inputs)
    np.testing.assert_array_equal(camera.values(frames), inputs)
    np.testing.assert_array_equal(camera.codes(frames), np.round(inputs * 255) - 128)


def test_a_black_pixel_can_become_brighter() -> None:
    one = Picture(size=(2, 2), crop="stretch")
    camera = Camera.of(one, identity(one), None)
    black = np.zeros((1, 2, 2, 1), np.float32)
    assert camera.pull_back(black, np.ones((1, 2, 2, 1), np.float32)).sum() == pytest.approx(4 / 255)


def brightness_meter() -> Eye:
    """A model that answers whether the two pixels of a picture are brighter than 127.5 on average."""
    one = Picture(size=(1, 2), crop="stretch")
    specs = [Spec([1, 1, 2, 1], scale=[1 / 255], zero_point=[-128], name="eye"),
             Spec([1, 2], data=np.array([[64, 64]]), scale=[1 / 64]),
             Spec([1], np.int32, scale=[1 / 255 / 64], data=np.array([-255 * 64])),
             Spec([1, 1], scale=[1 / 64]), Spec([1, 1], scale=[1 / 256], zero_point=[-128])]
    steps = [Step("FULLY_CONNECTED", [0, 1, 2], [3], "FullyConnectedOptions"), Step("LOGISTIC", [3], [4])]
    target = TwinTarget(load_model(build(specs, steps, [0], [4])))
    camera = Camera.of(one, identity(one), None, Grid(1 / 255, -128, -128, 127))
    return Eye("eye", camera, target, Subject("m", "w8", "twin", "0" * 64, {"eye": 1.0}), 0)


def test_one_sigmoid_tells_two_classes_apart_behind_a_camera() -> None:
    eye = brightness_meter()
    frames = np.array([40, 200, 90], np.uint8).reshape(3, 1, 1, 1).repeat(2, axis=2)
    assert eye.output(eye.inputs(frames, {})).argmax(axis=1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("norm", ["brightness", "pixels"])
def test_the_smallest_change_of_a_frame_is_exact_where_it_is_known(norm: str) -> None:
    """128 is a tie to the nearest code of the logit, and dark; what is bright begins at 129. Wrong when clean: 0."""
    eye, levels = brightness_meter(), np.array([40, 200, 90, 30], np.float32).reshape(4, 1, 1, 1).repeat(2, axis=2)
    part = Samples({"eye": levels / np.float32(255)}, np.array([0, 1, 0, 1]), np.arange(4))
    data = Dataset("light", (Input("eye", (1, 2, 1)),), ("dark", "bright"), part, part, part, checksum="8" * 64)
    found = minimal_frame(eye, FrameTask(PGD(steps=3), data, 4, FrameBudget(norm, 200)))
    assert sorted(found.sizes) == [0, 39, 72, 89] and found.median().samples == 3
    few = minimal_frame(eye, FrameTask(PGD(steps=3), data, 4, FrameBudget(norm, 50)))
    assert sorted(few.sizes) == [0, 39, np.inf, np.inf] and "2 hold at 50 levels" in few.text()


def test_whole_frames_change_as_told() -> None:
    frames = np.array([[[[10], [250]], [[100], [200]]]], np.uint8)
    assert brighter(frames, -20).reshape(-1).tolist() == [0, 230, 80, 180]
    assert contrasted(frames, 10).reshape(-1).tolist() == [0, 255, 96, 206]  # the mean is 140
    assert turned(frames, 90).reshape(-1).tolist() == [250, 200, 10, 100]
    tried = amounts(8.0)
    assert len(tried) == 32 and tried[-2:].tolist() == [-8, 8] and tried[0] == -0.5


READ: list[tuple[Any, str | None, tuple[str, str, float]]] = [
    (None, None, ("", "pixels", 8)), ("cam=20px", None, ("cam", "patch", 20)), ("15deg", None, ("", "rotation", 15)),
    ("9levels", "brightness", ("", "brightness", 9)), ({"cam": "20%"}, None, ("cam", "contrast", 20)),
    (12, "patch", ("", "patch", 12))]


@pytest.mark.parametrize(("given", "norm", "wanted"), READ)
def test_budgets_are_read_as_people_write_them(given: Any, norm: str | None, wanted: tuple[str, str, float]) -> None:
    name, budget = read_frame_budget(given, norm)
    assert (name, budget.norm, budget.amount) == wanted and size_text(budget.norm, budget.amount) == str(budget)


@pytest.mark.parametrize(("given", "norm", "words"), [
    ("20px", "rotation", "which counts deg"), ("loud", None, "is no budget of a frame"),
    ("0.5px", None, "whole number"),
    ("200deg", None, "give 0 to 180"), (3, "zoom", "use one of pixels"), ({"a": 1, "b": 2}, None, "one budget"),
    (8, None, "a budget of 8 without a unit; give 8levels or 8px or 8% or 8deg")])
def test_nonsense_is_one_line(given: Any, norm: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_frame_budget(given, norm)
    assert str(FrameBudget("patch", 20)) == "20 px"
