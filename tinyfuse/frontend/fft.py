"""A real FFT whose operations have one order, so that C on any core gives the same bits: in float32 or fixed point.

The ``size`` samples are ``size / 2`` complex numbers; a mixed-radix FFT, decimated in time (Cooley and Tukey, 1965),
with butterflies of 2, 3, 4 and 5, transforms those; one more step makes the frequencies of the real samples of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.errors import DataError

RADICES = (5, 3, 4, 2)
Planes = tuple[np.ndarray, np.ndarray]
"""Real and imaginary part."""


@dataclass(frozen=True)
class Arithmetic:
    """What numbers are held in, and how two of them are multiplied; sums are sums."""

    hold: Callable[[np.ndarray], np.ndarray]
    times: Callable[[np.ndarray, np.ndarray], np.ndarray]


FLOAT32 = Arithmetic(lambda values: np.asarray(values, np.float32), lambda a, b: np.asarray(a * b))
POINT = 30
"""Bits behind the point of a number between -1 and 1 in fixed point."""
FIXED = Arithmetic(lambda values: np.round(np.asarray(values, np.float64) * 2**POINT).astype(np.int64),
                   lambda a, b: np.asarray((a * b + (1 << (POINT - 1))) >> POINT))
"""32 bits, held in int64; products go to the nearest, halves up."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One pass: butterflies of ``radix`` numbers that lie ``span`` apart.

    ``twiddles``: [span, radix - 1, 2], by what numbers 1 to radix - 1 are multiplied before.
    """

    radix: int
    span: int
    twiddles: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class FftPlan:
    """The tables of an FFT of ``size`` real samples.

    ``order`` int [size / 2]: the complex number that comes to each place before the first stage. ``split`` [size / 4
    (rounded down) + 1, 2]: cos and sin of 2 pi k / size. ``arithmetic`` holds these and the samples.
    """

    size: int
    order: np.ndarray = field(repr=False)
    stages: tuple[Stage, ...]
    split: np.ndarray = field(repr=False)
    arithmetic: Arithmetic = FLOAT32


def plan_fft(size: int, arithmetic: Arithmetic = FLOAT32) -> FftPlan:
    """Plan an FFT of ``size`` real samples; DataError unless half of it is a product of 2, 3 and 5."""
    half = size // 2
    radices = _factors(half) if size % 2 == 0 and size >= 4 else None
    if radices is None:
        near = next(one for one in range(size + 1, 4 * size + 8) if one % 2 == 0 and _factors(one // 2) is not None)
        raise DataError(f"an FFT of {size} samples has no C code; give an even size of factors 2, 3 and 5, such as "
                        f"{near}")
    stages, span = [], 1
    for radix in radices:
        steps = np.outer(np.arange(span), np.arange(1, radix)) / (radix * span)
        stages.append(Stage(radix, span, arithmetic.hold(_circle(steps, -1))))
        span *= radix
    split = arithmetic.hold(_circle(np.arange(half // 2 + 1) / size, 1))
    return FftPlan(size, _order(half, radices), tuple(stages), split, arithmetic)


def _factors(size: int) -> list[int] | None:
    found = []
    for radix in RADICES:
        while size % radix == 0:
            found.append(radix)
            size //= radix
    return found if size == 1 else None


def _circle(turns: np.ndarray, sign: int) -> np.ndarray:
    """Write cos and ``sign`` times sin of whole ``turns``, [..., 2]; what should be 0 is 0."""
    angle = 2 * np.pi * turns
    both = np.stack([np.cos(angle), sign * np.sin(angle)], axis=-1)
    return np.asarray(np.where(np.abs(both) < 1e-12, 0.0, both))


def _order(size: int, radices: Sequence[int]) -> np.ndarray:
    if not radices:
        return np.zeros(1, np.int64)
    *rest, last = radices
    inner = _order(size // last, rest)
    return np.concatenate([last * inner + part for part in range(last)])


def power_spectra(plan: FftPlan, samples: np.ndarray) -> np.ndarray:
    """Compute 4 times the power of each frequency, [size / 2 + 1, n], of samples [size, n].

    Both are held as the plan's arithmetic has it. In fixed point powers have as many bits as they take, and 4 times the
    sum of the samples' sizes fits 32.
    """
    real, imaginary = samples[0::2][plan.order], samples[1::2][plan.order]
    for stage in plan.stages:
        real, imaginary = _pass(stage, real, imaginary, plan.arithmetic)
    return _split(plan, real, imaginary)


def _pass(stage: Stage, real: np.ndarray, imaginary: np.ndarray, arithmetic: Arithmetic) -> Planes:
    shape = (len(real) // (stage.radix * stage.span), stage.radix, stage.span, real.shape[1])
    real, imaginary = real.reshape(shape), imaginary.reshape(shape)
    parts = [(real[:, place], imaginary[:, place]) for place in range(stage.radix)]
    if stage.span > 1:
        turned = [(stage.twiddles[:, place, :1], stage.twiddles[:, place, 1:]) for place in range(stage.radix - 1)]
        parts = [parts[0], *(_times(arithmetic, a, w) for a, w in zip(parts[1:], turned, strict=True))]
    made = _BUTTERFLIES[stage.radix](parts, arithmetic)
    joined = [np.stack(planes, axis=1).reshape(-1, shape[-1]) for planes in zip(*made, strict=True)]
    return joined[0], joined[1]


def _times(arithmetic: Arithmetic, a: Planes, w: Planes) -> Planes:
    times = arithmetic.times
    return times(a[0], w[0]) - times(a[1], w[1]), times(a[0], w[1]) + times(a[1], w[0])


def _add(a: Planes, b: Planes) -> Planes:
    return a[0] + b[0], a[1] + b[1]


def _minus(a: Planes, b: Planes) -> Planes:
    return a[0] - b[0], a[1] - b[1]


def _scaled(arithmetic: Arithmetic, a: Planes, by: float) -> Planes:
    held = arithmetic.hold(np.array(by))
    return arithmetic.times(a[0], held), arithmetic.times(a[1], held)


def _turned(a: Planes, b: Planes) -> Planes:
    """Compute a - i b."""
    return a[0] + b[1], a[1] - b[0]


def _turned_back(a: Planes, b: Planes) -> Planes:
    """Compute a + i b."""
    return a[0] - b[1], a[1] + b[0]


def _butterfly2(a: list[Planes], arithmetic: Arithmetic) -> list[Planes]:
    return [_add(a[0], a[1]), _minus(a[0], a[1])]


def _butterfly3(a: list[Planes], arithmetic: Arithmetic) -> list[Planes]:
    both, apart = _add(a[1], a[2]), _scaled(arithmetic, _minus(a[1], a[2]), np.sqrt(0.75))
    middle = _add(a[0], _scaled(arithmetic, both, -0.5))
    return [_add(a[0], both), _turned(middle, apart), _turned_back(middle, apart)]


def _butterfly4(a: list[Planes], arithmetic: Arithmetic) -> list[Planes]:
    even, odd = _add(a[0], a[2]), _add(a[1], a[3])
    apart, turned = _minus(a[0], a[2]), _minus(a[1], a[3])
    return [_add(even, odd), _turned(apart, turned), _minus(even, odd), _turned_back(apart, turned)]


def _butterfly5(a: list[Planes], arithmetic: Arithmetic) -> list[Planes]:
    def by(planes: Planes, wave: Callable[[float], float], fifths: int) -> Planes:
        return _scaled(arithmetic, planes, wave(2 * np.pi * fifths / 5))

    outer, inner = _add(a[1], a[4]), _add(a[2], a[3])
    outer_apart, inner_apart = _minus(a[1], a[4]), _minus(a[2], a[3])
    near = _add(_add(a[0], by(outer, np.cos, 1)), by(inner, np.cos, 2))
    far = _add(_add(a[0], by(outer, np.cos, 2)), by(inner, np.cos, 1))
    steep = _add(by(outer_apart, np.sin, 1), by(inner_apart, np.sin, 2))
    flat = _minus(by(outer_apart, np.sin, 2), by(inner_apart, np.sin, 1))
    return [_add(a[0], _add(outer, inner)), _turned(near, steep), _turned(far, flat), _turned_back(far, flat),
            _turned_back(near, steep)]


_BUTTERFLIES = {2: _butterfly2, 3: _butterfly3, 4: _butterfly4, 5: _butterfly5}


def _split(plan: FftPlan, real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """Make 4 times the powers of the real samples' frequencies of the complex transform [size / 2, n]."""
    half, times = len(real), plan.arithmetic.times
    powers = np.empty((half + 1, real.shape[1]), real.dtype)
    sum_, difference = real[0] + imaginary[0], real[0] - imaginary[0]
    powers[0], powers[half] = 4 * (sum_ * sum_), 4 * (difference * difference)
    k = np.arange(1, half // 2 + 1)
    cos, sin = plan.split[k, :1], plan.split[k, 1:]
    even = real[k] + real[half - k], imaginary[k] - imaginary[half - k]
    odd = imaginary[k] + imaginary[half - k], real[half - k] - real[k]
    odd = times(odd[0], cos) + times(odd[1], sin), times(odd[1], cos) - times(odd[0], sin)
    low, high = _add(even, odd), _minus(even, odd)
    powers[half - k] = high[0] * high[0] + high[1] * high[1]
    powers[k] = low[0] * low[0] + low[1] * low[1]  # behind the line above: of the middle both say the same
    return powers
