"""Precision recipes: how many bits each layer's weights and activations get, uniformly, per modality or per layer.

Names decode. ``w6`` gives every weight 6 bits and ``w6a7`` every activation 7 as well; ``image6-audio9-shared8`` gives
6 bits to the layers that only see the image, 9 to those that only see the audio and 8 to the rest, and
``image-w6a7-audio-w9a8-shared-w8a8`` sets activations too. Names of methods may follow, ``w4-mse-gptq-bias``: how the
weights are brought to few bits. ``minmax6`` is the float simulation of Nakano et al. 2024. Anything finer is a TOML
file with ``[[layer]]`` rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tinyfuse.core import toml
from tinyfuse.core.errors import RecipeError, nearest

BITS = range(2, 10)
ACTIVATION_BITS = range(6, 10)
BRANCHES = ("image", "audio", "shared")
SCHEMES = ("symmetric", "minmax")
METHODS = {
    "mse": "clip each channel's range where the squared rounding error is least",
    "gptq": "round weights one by one, each making up for the errors of those before it",
    "bias": "correct biases for the mean error of the rounded weights",
    "qat": "train on with the weights and activations quantised",
}
"""How weights are brought to few bits, in the order of their use; without any: nearest code of the whole range."""

EXAMPLE = """\
name = "image6-audio9-late8"   # used in file names and tables
scheme = "symmetric"           # deployed integers; "minmax" is the papers' float simulation

[weights]
image = 6                      # layers that only see the image
audio = 9                      # layers that only see the audio
shared = 8                     # all others

[activations]                  # optional, 8 where nothing is said
image = 8
audio = 8
shared = 7

[[layer]]                      # by layer name; a later rule wins over an earlier one and over the tables above
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


@dataclass(frozen=True)
class Activations:
    """Activation bits by branch."""

    image: int = 8
    audio: int = 8
    shared: int = 8


@dataclass(frozen=True)
class Precision:
    """Weight bits and ``activations`` by branch, then by layer rules; ``methods``: see :data:`METHODS`."""

    name: str
    image: int
    audio: int
    shared: int
    layers: tuple[LayerRule, ...] = ()
    scheme: str = "symmetric"
    activations: Activations = Activations()
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", self.name) or "__" in self.name:
            raise RecipeError(f"recipe name '{self.name}' cannot be a file name: use up to 63 letters, digits, "
                              "'.', '-' and single '_'")
        if self.scheme not in SCHEMES:
            raise RecipeError(f"recipe '{self.name}': scheme '{self.scheme}' is unknown"
                              f"{nearest(self.scheme, SCHEMES)}; allowed: {', '.join(SCHEMES)}")
        rules = self.layers
        self._check_widths(BITS, "bits", (self.image, self.audio, self.shared, *(rule.bits for rule in rules)))
        self._check_widths(ACTIVATION_BITS, "activation bits", (*astuple(self.activations),
                                                                *(rule.activation_bits for rule in rules)))
        self._check_methods()

    def _check_widths(self, allowed: range, what: str, given: Sequence[int | None]) -> None:
        for bits in given:
            if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int) or bits not in allowed):
                raise RecipeError(f"recipe '{self.name}': {bits!r} {what}; a width is a whole number from "
                                  f"{allowed[0]} to {allowed[-1]}")

    def _check_methods(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise RecipeError(f"recipe '{self.name}': unknown method '{method}'{nearest(str(method), METHODS)}; "
                                  f"allowed: {', '.join(METHODS)}")
        if list(self.methods) != [method for method in METHODS if method in self.methods]:
            raise RecipeError(f"recipe '{self.name}': methods {', '.join(self.methods)}; name each once, in the order "
                              f"{', '.join(METHODS)}")
        if self.scheme == "minmax" and (self.methods or self.activation_widths() != {8}):
            raise RecipeError(f"recipe '{self.name}': scheme 'minmax' rounds weights alone, to the nearest; leave out "
                              "methods and activations")

    def bits_for(self, layer: str, branch: str) -> int:
        """Weight bits of layer ``layer`` whose inputs belong to ``branch`` (image, audio or shared)."""
        return self._width(layer, "bits", int(getattr(self, branch)))

    def activation_bits_for(self, layer: str, branch: str) -> int:
        """Bits of what layer ``layer`` of ``branch`` (image, audio or shared) hands on after its activation."""
        return self._width(layer, "activation_bits", int(getattr(self.activations, branch)))

    def _width(self, layer: str, kind: str, default: int) -> int:
        for rule in reversed(self.layers):
            bits = getattr(rule, kind)
            if bits is not None and fnmatchcase(layer, rule.pattern):
                return int(bits)
        return default

    def activation_widths(self) -> set[int]:
        """All activation widths that the recipe names."""
        return {*astuple(self.activations), *(rule.activation_bits for rule in self.layers
                                              if rule.activation_bits is not None)}

    def check_layers(self, names: Sequence[str]) -> None:
        """Raise :class:`RecipeError` if a rule matches none of the layer ``names``."""
        for rule in self.layers:
            if not any(fnmatchcase(name, rule.pattern) for name in names):
                raise RecipeError(f"recipe '{self.name}': no layer matches '{rule.pattern}'"
                                  f"{nearest(rule.pattern, names)}; layers: {', '.join(names)}")

    def to_table(self) -> dict[str, Any]:
        """The TOML form that :func:`from_table` reads."""
        table: dict[str, Any] = {"name": self.name, "scheme": self.scheme}
        if self.methods:
            table["methods"] = list(self.methods)
        table["weights"] = {"image": self.image, "audio": self.audio, "shared": self.shared}
        if self.activations != Activations():
            table["activations"] = asdict(self.activations)
        if self.layers:
            table["layer"] = [{key: value for key, value in asdict(rule).items() if value is not None}
                              for rule in self.layers]
        return table


def from_table(table: Mapping[str, Any], where: str) -> Precision:
    """A recipe from its TOML table; ``where`` names the file in errors. Unknown keys are errors."""
    toml.check_keys(table, ("name", "scheme", "methods", "weights", "activations", "layer"), where, RecipeError,
                      required=("name", "weights"))
    weights, activations = table["weights"], table.get("activations", {})
    rules, methods = table.get("layer", []), table.get("methods", [])
    if not (isinstance(weights, Mapping) and isinstance(activations, Mapping) and isinstance(table["name"], str)
            and isinstance(rules, list) and all(isinstance(rule, Mapping) for rule in rules)
            and isinstance(methods, list)):
        raise RecipeError(f"{where}: 'name' is a string, 'methods' an array of strings, 'weights' and 'activations' "
                          "are tables and 'layer' is an array of tables")
    toml.check_keys(weights, BRANCHES, f"{where} [weights]", RecipeError, required=BRANCHES)
    toml.check_keys(activations, BRANCHES, f"{where} [activations]", RecipeError)
    return Precision(table["name"], weights["image"], weights["audio"], weights["shared"],
                     tuple(_rule(rule, where) for rule in rules), str(table.get("scheme", "symmetric")),
                     Activations(**activations), tuple(methods))


def _rule(rule: Mapping[str, Any], where: str) -> LayerRule:
    toml.check_keys(rule, ("pattern", "bits", "activation_bits"), f"{where} [[layer]]", RecipeError,
                      required=("pattern",))
    if len(rule) == 1:
        raise RecipeError(f"{where} [[layer]]: '{rule['pattern']}' sets nothing; give bits, activation_bits or both")
    return LayerRule(str(rule["pattern"]), rule.get("bits"), rule.get("activation_bits"))


def precision(name_or_path: str | Path) -> Precision:
    """The recipe of that name or in that TOML file; see the head of this file for the names."""
    text = str(name_or_path)
    if text.endswith(".toml"):
        return from_table(toml.read(text, RecipeError), text)
    base, methods = text, list[str]()
    while (split := base.rpartition("-"))[2] in METHODS:
        base, methods = split[0], [split[2], *methods]
    if match := re.fullmatch(r"minmax(\d)", text):
        bits = int(match[1])
        return Precision(text, bits, bits, bits, scheme="minmax")
    if match := re.fullmatch(r"w(\d)(?:a(\d))?", base):
        weights, activations = [int(match[1])] * 3, [int(match[2] or 8)] * 3
    elif match := re.fullmatch(r"image(\d)-audio(\d)-shared(\d)", base):
        weights, activations = [int(bits) for bits in match.groups()], [8] * 3
    elif match := re.fullmatch(r"image-w(\d)a(\d)-audio-w(\d)a(\d)-shared-w(\d)a(\d)", base):
        weights, activations = ([int(bits) for bits in match.groups()[start::2]] for start in (0, 1))
    else:
        raise RecipeError(f"unknown recipe '{text}': give w6, w6a7, w4-mse-gptq-bias, image6-audio9-shared8, "
                          f"image-w6a7-audio-w9a8-shared-w8a8 (weights from {BITS[0]} to {BITS[-1]} bits, activations "
                          f"from {ACTIVATION_BITS[0]} to {ACTIVATION_BITS[-1]}), minmax6 or the path of a .toml file")
    image, audio, shared = weights
    return Precision(text, image, audio, shared, activations=Activations(*activations), methods=tuple(methods))
