"""The runtime's fixed-point functions give the twin's integers on random and extreme arguments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, FLAGS, RUNTIME

from tinyfuse.integer.arithmetic import rescale, rescale64
from tinyfuse.integer.operators.fixed_point import divide_by_power, exp_negative, reciprocal_of_one_plus

MAIN = """
#include <stdio.h>
#include "tny_softmax.h"
int main(void)
{
  int64_t given[4], found;
  while (fread(given, sizeof given, 1, stdin) == 1) {
    const tny_scale_t scale = {(int32_t)given[2], (int32_t)given[3]};
    const int32_t x = (int32_t)given[1];
    switch (given[0]) {
      case 0: found = tny_rescale(x, scale); break;
      case 1: found = tny_rescale_long(given[1], scale); break;
      case 2: found = tny_round_shift(x, scale.shift); break;
      case 3: found = tny_exp(x); break;
      default: found = tny_reciprocal(x); break;
    }
    fwrite(&found, sizeof found, 1, stdout);
  }
  return 0;
}
"""
LOW, HIGH = -(1 << 31), (1 << 31) - 1


def arguments(rng: np.random.Generator, n: int, low: int, high: int) -> np.ndarray:
    """From ``low`` to ``high`` of all magnitudes, and multiples of powers of two: exact halves are among them."""
    found = rng.integers(low, high + 1, n) >> rng.integers(0, 31, n)
    found[::3] = found[::3] >> 7 << 7
    return np.concatenate([found, [low, high, low + 1, high - 1, 0, 1, -1][:7 if low < 0 < high else 2]])


def cases(rng: np.random.Generator) -> list[tuple[int, int, int, int, int]]:
    """(function, argument, multiplier, shift, expected)."""
    found = []
    for x in arguments(rng, 4000, LOW, HIGH).tolist():
        multiplier = int(rng.choice([1 << 30, int(rng.integers(1 << 30, 1 << 31)), HIGH, 0]))
        shift = int(rng.integers(-30, 32))
        found.append((0, x, multiplier, shift, rescale(np.int64(x), np.int64(multiplier), np.int64(-shift))))
        shift = int(rng.integers(0, 32))
        found.append((2, x, 0, shift, divide_by_power(np.int64(x), np.int64(shift))))
        wide, shift = x << int(rng.integers(0, 16)), int(rng.integers(-14, 32))
        short = min((multiplier + (1 << 15)) >> 16, 0x7FFF)
        found.append((1, wide, short, 15 + shift, rescale64(np.int64(wide), np.int64(multiplier), np.int64(-shift))))
    found += [(3, x, 0, 0, exp_negative(np.int64(x), 5)) for x in arguments(rng, 2000, -(31 << 26), 0).tolist()]
    found += [(4, x, 0, 0, reciprocal_of_one_plus(np.int64(x))) for x in arguments(rng, 2000, 0, HIGH).tolist()]
    return [(*case[:4], int(case[4])) for case in found]


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_every_result_is_the_twins(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(MAIN)
    subprocess.run([COMPILER, *FLAGS, f"-I{RUNTIME}", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    table = np.array(cases(np.random.default_rng(0)), np.int64)
    ran = subprocess.run(["./main"], cwd=tmp_path, input=table[:, :4].tobytes(), check=True, capture_output=True)
    found = np.frombuffer(ran.stdout, np.int64)
    assert found.shape == (len(table),)
    wrong = {name: int(np.sum((found != table[:, 4]) & (table[:, 0] == number))) for number, name in
             enumerate(("rescale", "rescale64", "divide_by_power", "exp", "reciprocal"))}
    assert set(wrong.values()) == {0}, wrong
