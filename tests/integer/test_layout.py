"""RESHAPE, TRANSPOSE, STRIDED_SLICE, PAD and PADV2 of the twin against TFLite Micro."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

TYPES = st.sampled_from([np.int8, np.int16, np.float32])
SEEDS = st.integers(0, 2**32 - 1)


def tensor(shape, dtype, zero=0, **more):
    return Spec(shape, dtype, [], [], **more) if dtype == np.float32 else Spec(
        shape, dtype, [0.1], [zero if dtype == np.int8 else 0], **more)


def integers(values, dtype=np.int32):
    return Spec(np.shape(values), dtype, [], [], data=np.array(values, dtype))


def one(name, source, target, constants, options="", values=None, dtype=np.int8, zero=0):
    specs = [tensor(source, dtype, zero, name="x"), tensor(target, dtype, zero), *constants]
    step = Step(name, [0, *range(2, 2 + len(constants))], [1], options, values or {})
    return build(specs, [step], [0], [1])


def values_of(shape, dtype, rng):
    if dtype == np.float32:
        return rng.normal(size=(3, *shape[1:])).astype(np.float32)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, (3, *shape[1:])).astype(dtype)


def moves_gradients_like_codes(data, values):
    """These operators are linear: the gradient must be the transpose of what happens to the values."""
    twin, rng = twin_of(data), np.random.default_rng(0)
    node = twin.steps[0].node
    moved, zeros = values.astype(np.float64), np.zeros_like(values)
    out, saved = node.forward([values])
    gradient = rng.normal(size=out.shape).astype(np.float32)
    change = out.astype(np.float64) - node.forward([zeros])[0].astype(np.float64)
    found, = node.backward(saved, gradient)
    return found.dtype == np.float32 and np.isclose((found * moved).sum(), (gradient * change).sum(), rtol=1e-9)


def check(data, values):
    assert differing(data, [values]) == 0
    assert moves_gradients_like_codes(data, values)


@settings(max_examples=30, deadline=None)
@given(TYPES, SEEDS)
def test_reshape(dtype, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, rng.integers(1, 4))
    source, target = (1, *rng.permutation(sizes)), (1, *rng.permutation(sizes), 1)
    check(one("RESHAPE", source, target, [integers(target)], "ReshapeOptions", dtype=dtype),
          values_of(source, dtype, rng))


@settings(max_examples=30, deadline=None)
@given(TYPES, SEEDS)
def test_transpose(dtype, seed):
    rng = np.random.default_rng(seed)
    source = (1, *rng.integers(1, 5, rng.integers(1, 5)))
    axes = [0, *(1 + rng.permutation(len(source) - 1))]
    data = one("TRANSPOSE", source, [source[axis] for axis in axes], [integers(axes)], "TransposeOptions", dtype=dtype)
    check(data, values_of(source, dtype, rng))


def cut(size, rng):
    """Begin, end, stride, masked begin, masked end, dropped axis, and how many places are left (1 or more)."""
    while True:
        begin, end, stride = *rng.integers(-size - 2, size + 3, 2).tolist(), int(rng.choice([1, 1, 2, 3, -1, -2]))
        masks = (rng.random(2) < 0.3).tolist()
        if stride > 0 and -size <= begin < size and not masks[0] and rng.random() < 0.3:
            return begin, end, stride, *masks, True, 1
        left = len(range(size)[slice(None if masks[0] else begin, None if masks[1] else end, stride)])
        if left:
            return begin, end, stride, *masks, False, left


@settings(max_examples=60, deadline=None)
@given(TYPES, SEEDS)
def test_strided_slice(dtype, seed):
    rng = np.random.default_rng(seed)
    source = (1, *rng.integers(1, 7, rng.integers(1, 4)).tolist())
    cuts = [(0, 1, 1, False, False, False, 1), *(cut(size, rng) for size in source[1:])]
    masks = [sum(1 << axis for axis, one_cut in enumerate(cuts) if one_cut[place]) for place in (3, 4, 5)]
    target = [one_cut[6] for one_cut in cuts if not one_cut[5]]
    data = one("STRIDED_SLICE", source, target, [integers([c[place] for c in cuts]) for place in (0, 1, 2)],
               "StridedSliceOptions", dict(zip(("beginMask", "endMask", "shrinkAxisMask"), masks, strict=True)),
               dtype=dtype)
    check(data, values_of(source, dtype, rng))


@settings(max_examples=40, deadline=None)
@given(TYPES, SEEDS, st.booleans())
def test_pad(dtype, seed, given_value):
    rng = np.random.default_rng(seed)
    source = (1, *rng.integers(1, 5, rng.integers(1, 5)))
    pairs = [[0, 0], *rng.integers(0, 4, (len(source) - 1, 2)).tolist()]
    zero = int(rng.integers(-128, 128))
    constants = [integers(pairs, np.int32)]
    if given_value:
        constants.append(tensor((1,), dtype, zero, data=values_of((1, 1), dtype, rng)[0]))
    target = [size + sum(pair) for size, pair in zip(source, pairs, strict=True)]
    name = "PADV2" if given_value else "PAD"
    check(one(name, source, target, constants, "PadV2Options" if given_value else "PadOptions", dtype=dtype, zero=zero),
          values_of(source, dtype, rng))


def slice_of(begin, end, stride, target, **options):
    return one("STRIDED_SLICE", (1, 6), target, [integers(begin), integers(end), integers(stride)],
               "StridedSliceOptions", options)


@pytest.mark.parametrize("data, message", [
    (lambda: one("RESHAPE", (1, 6), (2, 3), [integers([2, 3])]), "cannot be taken for a batch"),
    (lambda: one("RESHAPE", (1, 6), (1, 6), [integers([1, 6])] * 2), "it takes 1 to 2"),
    (lambda: build([tensor((1, 6), np.int8), tensor((1, 6), np.int8), Spec((1,), np.int32, [], [])],
                   [Step("RESHAPE", [0, 2], [1])], [0, 2], [1]), "needs it constant"),
    (lambda: one("TRANSPOSE", (1, 6), (1, 6), []), "it takes 2"),
    (lambda: one("RESHAPE", (1, 6), (1, 5), [integers([1, 5])]), "changes the number of values"),
    (lambda: one("TRANSPOSE", (1, 1, 6), (1, 1, 6), [integers([1, 0, 2])]), "leaves the first in its place"),
    (lambda: one("TRANSPOSE", (1, 2, 2), (1, 2, 2), [integers([0, 1, 1])]), "must be a permutation"),
    (lambda: one("TRANSPOSE", (1, 2, 3), (1, 2, 3), [integers([0, 2, 1])]), r"computes \[1, 3, 2\]"),
    (lambda: one("PAD", (1, 6), (3, 6), [integers([[1, 1], [0, 0]])]), "cannot be taken for a batch"),
    (lambda: one("PAD", (1, 6), (1, 5), [integers([[0, 0], [-1, 0]])]), "two numbers from 0"),
    (lambda: one("PAD", (1, 6), (1, 7), [integers([[0, 0], [1, 0]], np.int64)]), "must be a constant int32"),
    (lambda: one("PADV2", (1, 6), (1, 7), [integers([[0, 0], [1, 0]]), tensor((1,), np.int8, 9, data=np.ones(1))]),
     "one padding value"),
    (lambda: slice_of([0], [1], [1], (1, 6)), "a begin, an end and a stride"),
    (lambda: slice_of([0, 1], [1, 4], [1, 0], (1, 3)), "keeps nothing"),
    (lambda: slice_of([0, 4], [1, 2], [1, 1], (1, 1)), "keeps nothing"),
    (lambda: slice_of([0, 9], [1, 2], [1, 1], (1,), shrinkAxisMask=2), "allowed are -6 to 5"),
    (lambda: slice_of([0, 1], [1, 2], [1, -1], (1,), shrinkAxisMask=2), "with a positive stride"),
    (lambda: slice_of([0, 0], [1, 6], [1, 1], (6,), shrinkAxisMask=1), "cannot be taken for a batch"),
    (lambda: slice_of([0, 1], [1, 4], [1, 1], (1, 3), ellipsisMask=1), "ellipsis"),
    (lambda: slice_of([0, 1], [1, 4], [1, 1], (1, 3), offset=True), "offset"),
    (lambda: slice_of([0, 1], [1, 4], [1, 1], (1, 4)), r"computes \[1, 3\]")])
def test_what_moves_the_batch_or_is_wrong_is_refused(data, message):
    with pytest.raises(ModelError, match=message):
        twin_of(data())
