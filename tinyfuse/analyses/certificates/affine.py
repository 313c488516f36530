"""What an operator is to linear bounds: a linear map of its inputs' codes, a constant, and slack for its roundings.

An output code is clamp(round(v)) with v = sum_i A_i x_i + c in output codes. TFLite Micro rounds twice: first to a
multiple of 2^shift, then to a whole code, so that round(v) lies within ``slack`` of v. ``size`` bounds, by output,
the sum of the absolute values of all terms of v at any codes: what float64 can lose of v is a small share of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.analyses.certificates.linear_maps import MAPS, positions
from tinyfuse.analyses.certificates.rules import Site
from tinyfuse.integer.arithmetic import TYPE_RANGE, quantize_multiplier
from tinyfuse.integer.operators.binary import LEFT_SHIFT
from tinyfuse.tflite.graph import Tensor

Back = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Affine:
    """``back``: for each computed input, coefficients float64 [m, *output] to those of the input [m, *input].

    ``constant``, ``slack``, ``size``: float64 that broadcast to [*output]. ``terms``: products that make one sum.
    ``span``: (lower, upper) codes of the inputs [n, ...] to the least and largest v, without the errors of float64.
    ``forth``: values of the inputs [n, ...], not whole, to v [n, ...]; for what needs no proof.
    """

    back: tuple[Back, ...]
    constant: np.ndarray
    slack: np.ndarray
    size: np.ndarray
    terms: int
    span: Callable[..., tuple[np.ndarray, np.ndarray]]
    forth: Callable[..., np.ndarray]


def slack_of(shift: np.ndarray | int) -> np.ndarray:
    """Return how far two roundings of a rescaling with this ``shift`` lie from its exact value at most."""
    exponent = np.minimum(np.asarray(shift, np.float64), 0.0)
    return np.asarray(0.5 + np.where(exponent < 0, 0.5 * 2.0**exponent, 0.0))


def factor_of(multiplier: int, shift: int) -> float:
    """Return what a multiplier and its shift stand for, exactly."""
    return float(multiplier * 2.0 ** (shift - 31))


def affine_of(site: Site) -> Affine | None:
    """Return the affine form of an operator, or None where it has none: its interval bounds it then."""
    build = AFFINE.get(site.operator.name)
    return None if build is None else build(site)


def reach_of(tensor: Tensor) -> int:
    """Return the largest distance of a code from the zero point."""
    low, high = TYPE_RANGE[tensor.dtype]
    return max(high - tensor.zero, tensor.zero - low)


def _weighted(site: Site) -> Affine:
    node, linear = site.node, MAPS[site.operator.name](site.node)
    if node.wide_sums:
        small = np.where(node.multiplier < 0x7FFF0000, (node.multiplier + (1 << 15)) >> 16, 0x7FFF)
        factor, slack = small * 2.0 ** (node.shift - 15), np.full(len(small), 0.5)
    else:
        factor, slack = node.codes_per_sum, slack_of(node.shift)
    weights = linear.weights.astype(np.float64)
    sizes = np.abs(weights)
    shift = linear.forth(np.full((1, *node.input_shape), -float(node.zero_in)), weights)[0]
    largest = float(reach_of(site.sources[0]) + 2 * abs(node.zero_in))
    reach = linear.forth(np.full((1, *node.input_shape), largest), sizes)
    constant = (shift + node.bias) * factor + node.zero_out

    def span(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        middle = linear.forth((low + high) / 2, weights)
        wide = linear.forth((high - low) / 2, sizes)
        return (middle - wide) * factor + constant, (middle + wide) * factor + constant

    return Affine((lambda found: linear.back(np.ascontiguousarray(found * factor), weights),), constant, slack,
                  (reach[0] + np.abs(node.bias)) * factor + abs(node.zero_out), positions(linear, site.operator.name),
                  span, lambda values: np.asarray(linear.forth(values, weights) * factor + constant))


def _added(site: Site) -> Affine:
    """ADD and SUB: see :mod:`tinyfuse.integer.operators.binary`."""
    node, tensors, target = site.node, [site.graph.tensors[i] for i in site.operator.inputs], site.target
    bits, twice = LEFT_SHIFT[target.dtype], 2.0 * max(tensor.unit for tensor in tensors)
    final = quantize_multiplier(twice / ((1 << bits) * target.unit))
    own = [quantize_multiplier(tensor.unit / twice) for tensor in tensors]
    signs = (1.0, 1.0 if site.operator.name == "ADD" else -1.0)
    factors = [sign * factor_of(*one) * (1 << bits) * factor_of(*final) for sign, one in zip(signs, own, strict=True)]
    slack = slack_of(final[1]) + factor_of(*final) * sum(float(slack_of(shift)) for _, shift in own)
    constant = np.full(target.shape[1:], float(target.zero))
    for operand, tensor, factor in zip(node.operands, tensors, factors, strict=True):
        codes = 0.0 if operand.constant is None else operand.constant.reshape(target.shape[1:]).astype(np.float64)
        constant = constant + factor * (codes - tensor.zero)
    computed = [(operand, factor) for operand, factor in zip(node.operands, factors, strict=True)
                if operand.constant is None]
    size = abs(target.zero) + sum(abs(factor) * (reach_of(tensor) + 2 * abs(tensor.zero))
                                  for tensor, factor in zip(tensors, factors, strict=True))

    def back(operand: Any, factor: float) -> Back:
        return lambda found: operand.gradient_of((found * factor).reshape(len(found), -1))

    def span(*ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [constant, constant]
        for (operand, factor), low, high in zip(computed, ends[::2], ends[1::2], strict=True):
            both = [factor * operand.rows_of(one).reshape(-1, *target.shape[1:]) for one in (low, high)]
            found = [total + one for total, one in zip(found, both if factor > 0 else both[::-1], strict=True)]
        return found[0], found[1]

    def forth(*values: np.ndarray) -> np.ndarray:
        return span(*(end for one in values for end in (one, one)))[0]

    return Affine(tuple(back(*one) for one in computed), constant, np.asarray(slack), np.asarray(float(size)), 2, span,
                  forth)


def _averaged(site: Site) -> Affine:
    node = site.node
    shares = 1.0 / node.count[0]

    def back(found: np.ndarray) -> np.ndarray:
        spread = np.zeros((len(found), *node.source_shape))
        for read, served in node.taps():
            spread[read] += (found * shares)[served]
        return spread

    def means(codes: np.ndarray) -> np.ndarray:
        total = np.zeros((len(codes), *node.target_shape))
        for read, served in node.taps():
            total[served] += codes[read]
        return np.asarray(total * shares)

    size = float(max(map(abs, TYPE_RANGE[node.dtype])))
    return Affine((back,), np.zeros(1), np.asarray(0.5), np.asarray(size), int(node.count.max()),
                  lambda low, high: (means(low), means(high)), means)


def _mean(site: Site) -> Affine:
    node = site.node
    factor, zero = factor_of(node.multiplier, node.shift), node.zero_in * node.count
    constant = np.asarray(node.zero_out - factor * zero)

    def back(found: np.ndarray) -> np.ndarray:
        spread = (found * factor).reshape(-1, *node.with_ones[1:])
        return np.ascontiguousarray(np.broadcast_to(spread, (len(found), *node.source_shape)))

    def values(codes: np.ndarray) -> np.ndarray:
        return np.asarray(codes.sum(axis=node.axes) * factor + constant).reshape(-1, *node.target_shape)

    size = factor * node.count * (reach_of(site.sources[0]) + 2 * abs(node.zero_in)) + abs(node.zero_out)
    return Affine((back,), constant, slack_of(node.shift), np.asarray(float(size)), node.count,
                  lambda low, high: (values(low), values(high)), values)


def _moved(site: Site) -> Affine:
    """An operator that moves codes: no rounding at all."""
    node, count = site.node, len(site.sources)
    zeros = [np.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in site.sources]

    def back(place: int) -> Back:
        return lambda found: np.asarray(node.backward(None, found)[place])

    def span(*ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kinds = [tensor.dtype for tensor in site.sources]
        low, high = (node.forward([codes.astype(kind) for codes, kind in zip(given, kinds, strict=True)])[0]
                     for given in (ends[::2], ends[1::2]))
        return low.astype(np.float64), high.astype(np.float64)

    numbers = np.arange(1.0, math.prod(site.target.shape[1:]) + 1).reshape(1, *site.target.shape[1:])
    targets = [back(place)(numbers).reshape(-1).astype(np.int64) - 1 for place in range(count)]
    constant = node.forward(zeros)[0][0].astype(np.float64)

    def forth(*values: np.ndarray) -> np.ndarray:
        found = np.repeat(constant.reshape(1, -1), len(values[0]), axis=0)
        for target, one in zip(targets, values, strict=True):
            found[:, target] = one.reshape(len(one), -1)
        return found.reshape(-1, *constant.shape)

    most = max(map(abs, TYPE_RANGE[site.target.dtype]))
    return Affine(tuple(back(place) for place in range(count)), constant, np.asarray(0.0), np.asarray(float(most)), 1,
                  span, forth)


AFFINE: dict[str, Callable[[Site], Affine]] = {
    **dict.fromkeys(MAPS, _weighted), **dict.fromkeys(("ADD", "SUB"), _added), "AVERAGE_POOL_2D": _averaged,
    **dict.fromkeys(("MEAN", "SUM"), _mean),
    **dict.fromkeys(("RESHAPE", "TRANSPOSE", "CONCATENATION", "PACK", "PAD", "PADV2", "DEPTH_TO_SPACE",
                     "SPACE_TO_DEPTH"), _moved)}
"""Builtin name -> its affine form; other operators keep their interval."""
