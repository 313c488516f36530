"""Which layer's rounding or removal moves the smallest budget that breaks a sample (Li et al. 2021, question 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.analyses.analysis import Advance, Finding, Quantity, register
from tinyfuse.analyses.budget_search import InOneNorm, find_smallest
from tinyfuse.analyses.integer_layers import IntegerLayers, weighted_layers
from tinyfuse.analyses.potency import RANGES, SMALLEST
from tinyfuse.analyses.subject import BATCH, AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.attacks.target import DifferentiableTarget
from tinyfuse.attacks.targets.keras_target import KerasTarget
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Samples
from tinyfuse.integer.undouble import undoubled
from tinyfuse.nn.batch_norm_folding import deployed_layers, folded
from tinyfuse.nn.kernels import kernel_of, set_kernel
from tinyfuse.nn.origin import parents, seen_inputs
from tinyfuse.quantize.weight_codes import level

SEED = 0
NOTHING = "none"


@register
@dataclass(frozen=True)
class Modules(InOneNorm):
    """The smallest budget on all inputs when one layer has weights of ``bits`` bits, or gives its training mean.

    ``layers``: names of those that are changed, one at a time (default: each that has weights). ``mean_samples``:
    training samples over which outputs are averaged. The attack is that of the analysis bands. Of integers the codes of
    the weights are rounded, and each channel of a layer gives its mean code.
    """

    name = "modules"
    title = "Layers rounded or removed, one at a time"
    least = at_least(bits=2, steps=1, levels=2, largest=0, mean_samples=1)
    quantities = (
        Quantity("smallest budget with a change", "median smallest ε", "ranges", f"{SMALLEST}{RANGES}, with this "
                 "layer changed", ("layer", "change")),
        Quantity("shift of the smallest budget", "shift of the smallest ε", "ranges", "median over samples that are "
                 "right and broken both times of the smallest budget with the change minus that without",
                 ("layer", "change")),
        Quantity("accuracy with a change", "accuracy", "share", "share of samples that are right with this layer "
                 "changed", ("layer", "change")),
    )
    layers: tuple[str, ...] = ()
    bits: int = 4
    mean_samples: int = 100

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return 1 + 2 * len(self._names(subject))

    def _names(self, subject: AnalysisSubject) -> list[str]:
        if subject.twin is not None:
            known = list(weighted_layers(undoubled(subject.twin.model.graph)))
        else:
            assert subject.network is not None
            known = [layer.name for layer in deployed_layers(subject.network.model)]
        for name in self.layers:
            if name not in known:
                raise UsageError(f"modules: no layer '{name}' with weights{nearest(name, known)}; there are "
                                 f"{', '.join(known)}")
        return [name for name in known if not self.layers or name in self.layers]

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        names, layers, search = self._names(subject), self._changeable(subject), self.search()

        def found(target: DifferentiableTarget) -> np.ndarray:
            return find_smallest(replace(subject, target=target), samples, subject.input_names, search).epsilon

        before = found(layers.target)
        yield from _findings(before, before, {"layer": NOTHING, "change": NOTHING})
        advance()
        for name in names:
            for change, apply in ((f"{self.bits} bits", layers.rounded(name, self.bits)),
                                  ("mean", layers.removed(name))):
                with apply as target:
                    yield from _findings(before, found(target), {"layer": name, "change": change})
                advance(note=f"{name} {change}")

    def _changeable(self, subject: AnalysisSubject) -> Gated | IntegerLayers:
        known = subject.dataset.train.balanced(self.mean_samples, seed=SEED)
        if subject.twin is not None:
            return IntegerLayers(subject.twin.model, known)
        assert subject.network is not None
        return Gated(subject.network.model, known)


def _findings(before: np.ndarray, after: np.ndarray, of: Mapping[str, str]) -> Iterator[Finding]:
    n, right = len(after), after[after > 0]
    both = (before > 0) & (after > 0) & np.isfinite(before) & np.isfinite(after)
    yield Finding("accuracy with a change", of, float(np.mean(after > 0)), n)
    yield Finding("smallest budget with a change", of, float(np.median(right)) if len(right) else None, len(right),
                  each=after)
    shift = float(np.median((after - before)[both])) if both.any() else None
    yield Finding("shift of the smallest budget", of, shift, int(both.sum()))


class Gated:
    """A network as it is deployed, with a gate behind each layer that has weights: open, or its mean over ``samples``.

    ``target``: the network as it stands; its inputs are those that ``model`` looks at.
    """

    def __init__(self, model: Any, samples: Samples) -> None:
        plain = folded(model)
        self._names = [layer.name for layer in deployed_layers(plain)]
        self.model = _with_gates(plain, self._names)
        for layer in plain.layers:
            if layer.weights:
                self.model.get_layer(layer.name).set_weights(layer.get_weights())
        self._learn_means(samples)
        self.target = KerasTarget(self.model, seen_inputs(model), batch_size=BATCH)

    def _learn_means(self, samples: Samples) -> None:
        import tf_keras

        outputs = [self.model.get_layer(name).output for name in self._names]
        inputs = {name: samples.inputs[name] for name in self.model.input_shape}
        found = tf_keras.Model(self.model.input, outputs).predict(inputs, batch_size=BATCH, verbose=0)
        for name, values in zip(self._names, found if len(outputs) > 1 else [found], strict=True):
            self._gate(name).mean.assign(values.mean(axis=0))

    def _gate(self, name: str) -> Any:
        return self.model.get_layer(_gate_name(name))

    @contextmanager
    def removed(self, name: str) -> Iterator[KerasTarget]:
        """Let the layer ``name`` give its mean."""
        self._gate(name).open.assign(0.0)
        try:
            yield self.target
        finally:
            self._gate(name).open.assign(1.0)

    @contextmanager
    def rounded(self, name: str, bits: int) -> Iterator[KerasTarget]:
        """Round the weights of the layer ``name`` to ``bits`` bits, symmetric with one scale per output channel."""
        layer = self.model.get_layer(name)
        kernel, bias = kernel_of(layer), np.asarray(layer.bias, np.float64)
        set_kernel(layer, rounded_kernel(kernel, bits), bias)
        try:
            yield self.target
        finally:
            set_kernel(layer, kernel, bias)


def rounded_kernel(kernel: np.ndarray, bits: int) -> np.ndarray:
    """Round ``kernel`` [..., o] to the nearest of 2 level + 1 values between -max|w| and max|w| of each channel."""
    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1))) / level(bits)
    scale = np.where(scale > 0, scale, 1.0)
    return np.asarray(np.rint(kernel / scale) * scale)


def _gate_name(layer: str) -> str:
    return f"{layer}_gate"


def _with_gates(model: Any, names: list[str]) -> Any:
    """Build ``model`` anew with a gate behind each of the layers ``names``; fresh weights."""
    import tf_keras

    class Gate(tf_keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.open = self.add_weight("open", shape=(), initializer="ones", trainable=False)
            self.mean = self.add_weight("mean", shape=tuple(shape[1:]), initializer="zeros", trainable=False)

        def call(self, given: Any) -> Any:
            return self.open * given + (1.0 - self.open) * self.mean

    inputs = {name: tf_keras.Input(shape[1:], name=name) for name, shape in model.input_shape.items()}
    tensors = dict[str, Any](inputs)
    for layer in model.layers:
        if layer.name in inputs:
            continue
        sources = [tensors[parent.name] for parent in parents(layer)]
        made = type(layer).from_config(layer.get_config())(sources if len(sources) > 1 else sources[0])
        tensors[layer.name] = Gate(name=_gate_name(layer.name))(made) if layer.name in names else made
    return tf_keras.Model(inputs, tensors[model.output._keras_history.layer.name], name=model.name)
