"""Rows of measured firmware for the tests of what reads them."""

from __future__ import annotations

from typing import Any

from tinyfuse.core.results import Row, row_key, validate


def firmware_row(precision: str, core: str = "m4", **changes: Any) -> Row:
    """A plausible "firmware" row of the early fusion; the file is that of the model rows of tests/evaluate."""
    fields = {"model": "early", "precision": precision, "core": core, "optimize": "ram",
              "compiler": "arm-none-eabi-gcc", "emulator": "qemu-system-arm", "flash_bytes": 70_000,
              "code_bytes": 5_000, "weight_bytes": 60_000, "table_bytes": 5_000, "ram_bytes": 20_480,
              "arena_bytes": 20_000, "stack_bytes": 480, "instructions": 13_000_000 if core == "m4" else 5_000_000,
              "samples": 3, "values": 30, "differing": 0, "file_sha256": "a", "runtime_sha256": "r", "seed": 0,
              "data_checksum": "c", **changes}
    return validate({"kind": "firmware", "key": row_key(fields), **fields})
