"""Precision recipes: how many bits each layer's weights get, uniformly, per modality or per layer.

Names decode. ``w6`` gives every weight 6 bits; ``image6-audio9-shared8`` gives 6 bits to the layers that only
see the image, 9 to those that only see the audio and 8 to the rest; ``minmax6`` is the float simulation of
Nakano et al. 2024. Anything finer is a TOML file with ``[[layer]]`` rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tinyfuse import tables
from tinyfuse.errors import RecipeError, nearest

BITS = range(2, 10)
BRANCHES = ("image", "audio", "shared")
SCHEMES = ("symmetric", "minmax")

EXAMPLE = """\
name = "image6-audio9-late8"   # used in file names and tables
scheme = "symmetric"           # deployed integers; "minmax" is the papers' float simulation

[weights]
image = 6                      # layers that only see the image
audio = 9                      # layers that only see the audio
shared = 8                     # all others

[[layer]]                      # by layer name; a later rule wins over an earlier one and over [weights]
pattern = "shared_block3_*"
bits = 7
"""


@dataclass(frozen=True)
class LayerRule:
    """``bits`` for every layer whose name matches the shell-style ``pattern``."""

    pattern: str
    bits: int


@dataclass(frozen=True)
class Precision:
    """Weight bits by branch, then by layer rules. Activations have 8 bits."""

    name: str
    image: int
    audio: int
    shared: int
    layers: tuple[LayerRule, ...] = ()
    scheme: str = "symmetric"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", self.name) or "__" in self.name:
            raise RecipeError(f"recipe name '{self.name}' cannot be a file name: use up to 63 letters, digits, "
                              "'.', '-' and single '_'")
        if self.scheme not in SCHEMES:
            raise RecipeError(f"recipe '{self.name}': scheme '{self.scheme}' is unknown"
                              f"{nearest(self.scheme, SCHEMES)}; allowed: {', '.join(SCHEMES)}")
        for bits in (self.image, self.audio, self.shared, *(rule.bits for rule in self.layers)):
            if isinstance(bits, bool) or not isinstance(bits, int) or bits not in BITS:
                raise RecipeError(f"recipe '{self.name}': {bits!r} bits; a width is a whole number from "
                                  f"{BITS[0]} to {BITS[-1]}")

    def bits_for(self, layer: str, branch: str) -> int:
        """Bits of layer ``layer`` whose inputs belong to ``branch`` (image, audio or shared)."""
        for rule in reversed(self.layers):
            if fnmatchcase(layer, rule.pattern):
                return rule.bits
        return int(getattr(self, branch))

    def check_layers(self, names: Sequence[str]) -> None:
        """Raise :class:`RecipeError` if a rule matches none of the layer ``names``."""
        for rule in self.layers:
            if not any(fnmatchcase(name, rule.pattern) for name in names):
                raise RecipeError(f"recipe '{self.name}': no layer matches '{rule.pattern}'"
                                  f"{nearest(rule.pattern, names)}; layers: {', '.join(names)}")

    def to_table(self) -> dict[str, Any]:
        """The TOML form that :func:`from_table` reads."""
        table: dict[str, Any] = {"name": self.name, "scheme": self.scheme, "weights": {
            "image": self.image, "audio": self.audio, "shared": self.shared}}
        if self.layers:
            table["layer"] = [{"pattern": rule.pattern, "bits": rule.bits} for rule in self.layers]
        return table


def from_table(table: Mapping[str, Any], where: str) -> Precision:
    """A recipe from its TOML table; ``where`` names the file in errors. Unknown keys are errors."""
    tables.check_keys(table, ("name", "scheme", "weights", "layer"), where, RecipeError, required=("name", "weights"))
    weights, rules = table["weights"], table.get("layer", [])
    if not (isinstance(weights, Mapping) and isinstance(table["name"], str) and isinstance(rules, list)
            and all(isinstance(rule, Mapping) for rule in rules)):
        raise RecipeError(f"{where}: 'name' is a string, 'weights' a table and 'layer' an array of tables")
    tables.check_keys(weights, BRANCHES, f"{where} [weights]", RecipeError, required=BRANCHES)
    for rule in rules:
        tables.check_keys(rule, ("pattern", "bits"), f"{where} [[layer]]", RecipeError, required=("pattern", "bits"))
    return Precision(table["name"], weights["image"], weights["audio"], weights["shared"],
                     tuple(LayerRule(str(rule["pattern"]), rule["bits"]) for rule in rules),
                     str(table.get("scheme", "symmetric")))


def precision(name_or_path: str | Path) -> Precision:
    """The recipe of that name (``w2``..``w9``, ``minmax2``.., ``image6-audio9-shared8``) or in that TOML file."""
    text = str(name_or_path)
    if text.endswith(".toml"):
        return from_table(tables.read(text, RecipeError), text)
    if match := re.fullmatch(r"(w|minmax)(\d)", text):
        bits = int(match[2])
        return Precision(text, bits, bits, bits, scheme="minmax" if match[1] == "minmax" else "symmetric")
    if match := re.fullmatch(r"image(\d)-audio(\d)-shared(\d)", text):
        return Precision(text, int(match[1]), int(match[2]), int(match[3]))
    raise RecipeError(f"unknown recipe '{text}': give w6, minmax6, image6-audio9-shared8 (each width from "
                      f"{BITS[0]} to {BITS[-1]}) or the path of a .toml file")
