"""Recipes: how many bits each layer's weights and activations get, uniformly, by input or by layer.

Names decode, for networks with any inputs. ``w6`` gives every weight 6 bits and ``w6a7`` every activation 7 as well.
``camera4-mic6-shared8`` gives 4 bits to the layers that only the input ``camera`` reaches, 6 to those that only ``mic``
reaches and 8 to the rest; ``camera-w6a7-mic-w9a8-shared-w8a8`` sets activations too. Names of methods may follow,
``w4-mse-gptq-bias``: how the weights are brought to few bits. ``minmax6`` is the float simulation of Nakano et al.
2024. Anything finer is a TOML file with ``[[layers]]`` rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from tinyfuse.core import toml
from tinyfuse.core.errors import RecipeError, UsageError, nearest
from tinyfuse.core.strict import decode, encode
from tinyfuse.data.samples import check_input_name
from tinyfuse.nn.origin import SHARED
from tinyfuse.quantize.roundings import ROUNDINGS

BITS = range(2, 10)
ACTIVATION_BITS = range(6, 10)
QAT = "qat"
# How weights are brought to few bits, in the order of their use; without any: nearest code of the whole range.
METHODS = {name: rounding.meaning for name, rounding in ROUNDINGS.items()} | {
    QAT: "train on with the weights and activations quantised"}

EXAMPLE = """\
name = "camera6-mic9-late8"    # used in file names and tables
scheme = "symmetric"           # deployed integers; "minmax" is the papers' float simulation

[weights]                      # by the names of the network's inputs
camera = 6                     # layers that only the input "camera" reaches
mic = 9                        # layers that only the input "mic" reaches
shared = 8                     # layers that several inputs reach, and inputs without a line of their own

[activations]                  # optional, 8 where nothing is said
camera = 8
mic = 8
shared = 7

[[layers]]                     # by layer name; a later rule wins over an earlier one and over the tables above
pattern = "shared_block3_*"
bits = 7                       # of weights
activation_bits = 8            # either may be left out
"""


@dataclass(frozen=True)
class LayerRule:
    """Weight ``bits`` and ``activation_bits`` (None: as without the rule) for layers that match a shell ``pattern``."""

    pattern: str
    bits: int | None = None
    activation_bits: int | None = None

    def __post_init__(self) -> None:
        if self.bits is None and self.activation_bits is None:
            raise RecipeError(f"recipe: the layer rule '{self.pattern}' sets nothing; give bits or activation_bits")


@dataclass(frozen=True)
class Recipe:
    """Bits of ``weights`` and ``activations`` by branch, then by rules for ``layers``; ``methods``: :data:`METHODS`.

    A branch is the input that alone reaches a layer, or "shared", whose bits inputs without a key have too.
    """

    name: str
    weights: Mapping[str, int] = field(hash=False)
    layers: tuple[LayerRule, ...] = ()
    scheme: Literal["symmetric", "minmax"] = "symmetric"
    activations: Mapping[str, int] = field(default_factory=dict, hash=False)
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", self.name) or "__" in self.name:
            raise RecipeError(f"recipe name '{self.name}' cannot be a file name: use up to 120 letters, digits, '.', "
                              "'-' and single '_'")
        if SHARED not in self.weights:
            raise RecipeError(f"recipe '{self.name}': weights without '{SHARED}'; give its bits, which all layers have "
                              "that no other key names")
        for branch in {*self.weights, *self.activations} - {SHARED}:
            try:
                check_input_name(branch)
            except UsageError as error:
                raise RecipeError(f"recipe '{self.name}': {error}") from error
        self._check_widths(BITS, "bits", [*self.weights.values(), *(rule.bits for rule in self.layers)])
        self._check_widths(ACTIVATION_BITS, "activation bits",
                           [*self.activations.values(), *(rule.activation_bits for rule in self.layers)])
        self._check_methods()

    def _check_widths(self, allowed: range, what: str, given: Sequence[int | None]) -> None:
        for bits in given:
            if bits is not None and bits not in allowed:
                raise RecipeError(f"recipe '{self.name}': {bits!r} {what}; a width is a whole number from "
                                  f"{allowed[0]} to {allowed[-1]}")

    def _check_methods(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise RecipeError(f"recipe '{self.name}': unknown method '{method}'{nearest(method, METHODS)}; "
                                  f"allowed: {', '.join(METHODS)}")
        if list(self.methods) != [method for method in METHODS if method in self.methods]:
            raise RecipeError(f"recipe '{self.name}': methods {', '.join(self.methods)}; name each once, in the order "
                              f"{', '.join(METHODS)}")
        if self.scheme == "minmax" and (self.methods or self.activation_widths() != {8}):
            raise RecipeError(f"recipe '{self.name}': scheme 'minmax' rounds weights alone, to the nearest; leave out "
                              "methods and activations")

    def bits_for(self, layer: str, branch: str) -> int:
        """Find the weight bits of layer ``layer`` of ``branch`` (an input's name or "shared")."""
        return self._width(layer, "bits", self.weights.get(branch, self.weights[SHARED]))

    def activation_bits_for(self, layer: str, branch: str) -> int:
        """Find the bits of what layer ``layer`` of ``branch`` hands on after its activation."""
        return self._width(layer, "activation_bits", self.activations.get(branch, self.activations.get(SHARED, 8)))

    def _width(self, layer: str, kind: str, default: int) -> int:
        for rule in reversed(self.layers):
            bits = getattr(rule, kind)
            if bits is not None and fnmatchcase(layer, rule.pattern):
                return int(bits)
        return default

    def activation_widths(self) -> set[int]:
        """Collect all activation widths that the recipe names; 8 where it leaves layers without one."""
        rules = {rule.activation_bits for rule in self.layers if rule.activation_bits is not None}
        return {*self.activations.values(), self.activations.get(SHARED, 8), *rules}

    def check_network(self, layer_names: Sequence[str], input_names: Sequence[str]) -> None:
        """Raise RecipeError if a key is no input of a network, or a rule matches none of its weighted layers."""
        for branch in (*self.weights, *self.activations):
            if branch not in (allowed := (*input_names, SHARED)):
                raise RecipeError(f"recipe '{self.name}': the network has no input '{branch}'"
                                  f"{nearest(branch, allowed)}; name {', '.join(allowed)}")
        self.check_rules(self.layers, layer_names)

    def check_rules(self, rules: Iterable[LayerRule], layer_names: Sequence[str]) -> None:
        """Raise RecipeError if one of ``rules`` matches none of the layers ``layer_names``."""
        for rule in rules:
            if not any(fnmatchcase(name, rule.pattern) for name in layer_names):
                raise RecipeError(f"recipe '{self.name}': no layer matches '{rule.pattern}'"
                                  f"{nearest(rule.pattern, layer_names)}; layers: {', '.join(layer_names)}")

    def to_table(self) -> dict[str, Any]:
        """Write the TOML form that :func:`from_table` reads."""
        return {key: value for key, value in encode(self).items() if value}


def from_table(table: Any, where: str) -> Recipe:
    """Read the recipe in a TOML table; ``where`` names the file in errors."""
    return decode(Recipe, table, where, RecipeError)


def uniform(bits: int, methods: Sequence[str] = ()) -> Recipe:
    """Make the recipe that gives all weights ``bits``, by ``methods``: w6, w4-mse-gptq-bias."""
    return Recipe("-".join([f"w{bits}", *methods]), {SHARED: bits}, methods=tuple(methods))


def mix_name(weights: Mapping[str, int]) -> str:
    """Name the recipe with these weight bits by branch, "shared" last: camera4-mic6-shared8."""
    ordered = (*(branch for branch in weights if branch != SHARED), SHARED)
    return "-".join(f"{branch}{weights[branch]}" for branch in ordered)


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read the recipe of that name or in that TOML file; the head of this file describes the names."""
    text = str(name_or_path)
    if text.endswith(".toml"):
        return from_table(toml.read(text, RecipeError), text)
    base, methods = text, list[str]()
    while (split := base.rpartition("-"))[2] in METHODS:
        base, methods = split[0], [split[2], *methods]
    if match := re.fullmatch(r"minmax(\d)", text):
        return Recipe(text, {SHARED: int(match[1])}, scheme="minmax")
    if widths := _widths(base):
        return Recipe(text, {branch: int(weight) for branch, weight, _ in widths}, methods=tuple(methods),
                      activations={branch: int(bits) for branch, _, bits in widths if bits})
    raise RecipeError(f"unknown recipe '{text}': give w6, w6a7, w4-mse-gptq-bias, camera4-mic6-shared8 (names of the "
                      f"network's inputs), camera-w6a7-mic-w9a8-shared-w8a8, minmax6 or the path of a .toml file; "
                      f"weights have {BITS[0]} to {BITS[-1]} bits, activations {ACTIVATION_BITS[0]} to "
                      f"{ACTIVATION_BITS[-1]}")


def _widths(base: str) -> list[tuple[str, str, str]]:
    """Read (branch, weight bits, activation bits or nothing) off a name without methods; nothing if it is none."""
    if match := re.fullmatch(r"w(\d)(?:a(\d))?", base):
        return [(SHARED, match[1], match[2])]
    full = re.fullmatch(r"(?:\w+-w\da\d-)+shared-w\da\d", base, re.ASCII)
    if not (full or re.fullmatch(r"(?:\w+?\d-)+shared\d", base, re.ASCII)):
        return []
    found = re.findall(r"(\w+)-w(\d)a(\d)" if full else r"(\w+)(\d)()", base, re.ASCII)
    if len({branch for branch, _, _ in found}) < len(found):
        raise RecipeError(f"recipe '{base}' names an input twice; give each input's bits once")
    return found
