"""The operators of random graphs that move codes, and those that enlarge pictures."""

from __future__ import annotations

import numpy as np
from graph_net import GraphNet, entry
from one_operator import Step


@entry("PAD", "PADV2")
def _pad(net: GraphNet, x: int, name: str) -> int:
    source = net.specs[x]
    pairs = net.rng.integers(0, 3, (len(source.shape), 2)) * (np.arange(len(source.shape)) > 0)[:, None]
    y = net.same_grid(x, [int(size + sum(pair)) for size, pair in zip(source.shape, pairs, strict=True)])
    value = [net.constant(net.codes([1], source.dtype), source.dtype, source.scale, source.zero_point)]
    return net.step(name, [x, net.constant(pairs, np.int32), *(value if name == "PADV2" else [])], y)


@entry("RESHAPE")
def _reshape(net: GraphNet, x: int) -> int:
    sizes = [int(size) for size in net.specs[x].shape[1:]]
    shape = [1, int(np.prod(sizes))] if net.chance(0.5) else [1, *sizes[::-1]]
    return net.step("RESHAPE", [x, net.constant(np.array(shape), np.int32)], net.same_grid(x, shape))


@entry("TRANSPOSE")
def _transpose(net: GraphNet, x: int) -> int:
    shape = net.specs[x].shape
    axes = [0, *(int(axis) for axis in 1 + net.rng.permutation(len(shape) - 1))]
    return net.step("TRANSPOSE", [x, net.constant(np.array(axes), np.int32)],
                    net.same_grid(x, [shape[axis] for axis in axes]))


@entry("STRIDED_SLICE")
def _strided_slice(net: GraphNet, x: int) -> int | None:
    shape = net.specs[x].shape
    if len(shape) > 4:
        return None
    begins = [0, *(int(net.rng.integers(size)) for size in shape[1:])]
    ends = [1, *(int(net.rng.integers(begin + 1, size + 1)) for begin, size in
                 zip(begins[1:], shape[1:], strict=True))]
    strides = [1, *(net.pick(1, 1, 2) for _ in shape[1:])]
    y = net.same_grid(x, [len(range(*cut)) for cut in zip(begins, ends, strides, strict=True)])
    return net.step("STRIDED_SLICE", [x, *(net.constant(np.array(one), np.int32) for one in (begins, ends, strides))],
                    y, "StridedSliceOptions")


@entry("CONCATENATION")
def _concatenation(net: GraphNet, x: int) -> int | None:
    if len(net.specs[x].shape) < 2:
        return None
    source, axis = net.specs[x], net.pick(*range(1, len(net.specs[x].shape)))
    part = [int(net.rng.integers(1, 4)) if place == axis else size for place, size in enumerate(source.shape)]
    other = (net.constant(net.codes(part, source.dtype), source.dtype, source.scale, source.zero_point)
             if net.chance(0.5) else net.input(part, source.dtype, scale=source.scale[0], zero=source.zero_point[0]))
    y = net.same_grid(x, [size + part[axis] if place == axis else size for place, size in enumerate(source.shape)])
    return net.step("CONCATENATION", [x, other], y, "ConcatenationOptions", {"axis": axis})


@entry("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")
def _resize(net: GraphNet, x: int, name: str) -> int | None:
    shape = net.specs[x].shape
    if len(shape) != 4:
        return None
    wanted, mode = net.rng.integers(1, net.pick(4, 20, 80), 2), net.pick(0, 1, 2)
    options = "ResizeBilinearOptions" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return net.step(name, [x, net.constant(wanted, np.int32)], net.same_grid(x, [1, *map(int, wanted), shape[3]]),
                    options, {"alignCorners": mode == 1, "halfPixelCenters": mode == 2})


@entry("PACK")
def _pack(net: GraphNet, x: int) -> int | None:
    source = net.specs[x]
    if not 1 <= len(source.shape) <= 4:
        return None
    axis = net.pick(*range(1, len(source.shape) + 1))
    shape = [int(size) for size in source.shape]
    other = net.constant(net.codes(shape, source.dtype), source.dtype, source.scale, source.zero_point)
    return net.step("PACK", [x, other], net.same_grid(x, [*shape[:axis], 2, *shape[axis:]]), "PackOptions",
                    {"axis": axis, "valuesCount": 2})


@entry("GATHER")
def _gather(net: GraphNet, x: int) -> int | None:
    source = net.specs[x]
    if len(source.shape) < 2 or source.dtype != np.int8:
        return None
    axis, shape = net.pick(*range(1, len(source.shape))), [int(size) for size in source.shape]
    if net.chance(0.5):
        return _looked_up(net, x, shape, axis)
    places = net.rng.integers(0, shape[axis], net.pick(1, 2, 3))
    return net.step("GATHER", [x, net.constant(places, np.int32)],
                    net.same_grid(x, [*shape[:axis], len(places), *shape[axis + 1:]]), "GatherOptions", {"axis": axis})


def _looked_up(net: GraphNet, x: int, shape: list[int], axis: int) -> int:
    """At the places of the largest codes, which ARG_MAX computes: of the tensor itself, or of a constant table."""
    found = net.tensor([*shape[:axis], *shape[axis + 1:]], np.int32)
    net.specs[found].scale = net.specs[found].zero_point = []
    places = net.step("ARG_MAX", [x, net.constant(np.array([axis]), np.int32)], found, "ArgMaxOptions")
    sizes = [int(size) for size in net.specs[found].shape]
    if net.chance(0.5) or int(np.prod(shape)) * int(np.prod(sizes)) > 2000:
        table = net.constant(net.codes([shape[axis] + net.pick(0, 2), 3], np.int8), np.int8, [net.scale()],
                             [net.zero(np.int8)])
        return net.step("GATHER", [table, places], net.same_grid(table, [*sizes, 3]), "GatherOptions", {"axis": 0})
    return net.step("GATHER", [x, places], net.same_grid(x, [*shape[:axis], *sizes, *shape[axis + 1:]]),
                    "GatherOptions", {"axis": axis})


@entry("EXPAND_DIMS", "SQUEEZE")
def _axis(net: GraphNet, x: int, name: str) -> int | None:
    shape = [int(size) for size in net.specs[x].shape]
    if name == "EXPAND_DIMS":
        axis = net.pick(*range(1, len(shape) + 1))
        if len(shape) > 4:
            return None
        return net.step(name, [x, net.constant(np.array(axis), np.int32)],
                        net.same_grid(x, [*shape[:axis], 1, *shape[axis:]]), "ExpandDimsOptions")
    ones = [axis for axis, size in enumerate(shape) if axis and size == 1]
    if not ones:
        return None
    return net.step(name, [x], net.same_grid(x, [*shape[:ones[0]], *shape[ones[0] + 1:]]), "SqueezeOptions",
                    {"squeezeDims": np.array(ones[:1], np.int32)})


@entry("SPLIT", "SPLIT_V", "UNPACK")
def _split(net: GraphNet, x: int, name: str) -> int | None:
    """Two or more outputs, of which one is read on."""
    shape = [int(size) for size in net.specs[x].shape]
    axes = [axis for axis, size in enumerate(shape) if axis and (size in (2, 3) or (name != "UNPACK" and size > 1))]
    if not axes:
        return None
    axis = net.pick(*axes)
    size, place = shape[axis], net.constant(np.array(axis), np.int32)
    first = size // 2 if name == "SPLIT" else int(net.rng.integers(1, size))
    if name == "UNPACK":
        made = [net.same_grid(x, [*shape[:axis], *shape[axis + 1:]]) for _ in range(size)]
        net.steps.append(Step(name, [x], made, "UnpackOptions", {"axis": axis, "num": size}))
    elif name == "SPLIT" and size % 2 == 0:
        made = [net.same_grid(x, [*shape[:axis], first, *shape[axis + 1:]]) for _ in "ab"]
        net.steps.append(Step(name, [place, x], made, "SplitOptions", {"numSplits": 2}))
    else:
        made = [net.same_grid(x, [*shape[:axis], part, *shape[axis + 1:]]) for part in (first, size - first)]
        sizes = net.constant(np.array([first, size - first]), np.int32)
        net.steps.append(Step("SPLIT_V", [x, sizes, place], made, "SplitVOptions", {"numSplits": 2}))
    return made[net.pick(*range(len(made)))]


@entry("SPACE_TO_BATCH_ND")
def _dilated(net: GraphNet, x: int) -> int | None:
    """A dilated convolution as three operators, with what is computed alike in between; or strides and pooling."""
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if source.dtype != np.int8 or len(shape) != 4:
        return None
    blocks, pads = [net.pick(1, 2, 3) for _ in "hw"], [[net.pick(0, 1, 2), 0] for _ in "hw"]
    for size, block, pad in zip(shape[1:3], blocks, pads, strict=True):
        pad[1] = -(size + pad[0]) % block
    parts = [(size + sum(pad)) // block for size, block, pad in zip(shape[1:3], blocks, pads, strict=True)]
    kernel, channels = [min(part, net.pick(1, 2)) for part in parts], net.pick(1, 3)
    sizes, given = net.constant(np.array(blocks), np.int32), net.constant(np.array(pads), np.int32)
    batch = int(np.prod(blocks))
    inner = net.step("SPACE_TO_BATCH_ND", [x, sizes, given], net.same_grid(x, [batch, *parts, shape[3]]),
                     "SpaceToBatchNDOptions")
    weights = net.constant(net.codes([channels, *kernel, shape[3]], np.int8), np.int8, [0.02], [0])
    stride = net.pick(1, 1, 2)
    out = [-(-(part - taps + 1) // stride) for part, taps in zip(parts, kernel, strict=True)]
    inner = net.step("CONV_2D", [inner, weights], net.beside(x, [batch, *out, channels]), "Conv2DOptions",
                     {"padding": 1, "strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1,
                      "fusedActivationFunction": net.activation()})
    if net.chance(0.3):
        inner = net.step(("MAX_POOL_2D", "AVERAGE_POOL_2D")[net.pick(0, 1)], [inner],
                         net.same_grid(inner, [batch, *out, channels]), "Pool2DOptions",
                         {"padding": 0, "strideH": 1, "strideW": 1, "filterHeight": net.pick(1, 2), "filterWidth": 2})
    if net.chance(0.5):
        bias = net.constant(net.codes([channels], np.int8), np.int8, [net.scale()], [net.zero(np.int8)])
        scale = float(np.clip(max(net.specs[inner].scale[0], net.specs[bias].scale[0]), 1e-15, 1e15))
        inner = net.step("ADD", [inner, bias], net.beside(x, [batch, *out, channels], scale=scale), "AddOptions")
    whole = [part * block for part, block in zip(out, blocks, strict=True)]
    crops = [[min(pad[0], size - 1), 0] for pad, size in zip(pads, whole, strict=True)]
    found = [1, *(size - sum(crop) for size, crop in zip(whole, crops, strict=True)), channels]
    return net.step("BATCH_TO_SPACE_ND", [inner, sizes, net.constant(np.array(crops), np.int32)],
                    net.same_grid(inner, found), "BatchToSpaceNDOptions")
