"""The names of probe rows: measurements that are no accuracies of an attack, and that a check needs."""

from __future__ import annotations

MEANINGS: dict[str, str] = {
    "audit": "adversarial inputs outside their threat, of n audited; 0 is right",
    "zero-budget": "verdicts on n samples that an attack with ε = 0 changes; 0 is right",
    "fgsm-equals-pgd1": "coordinates in which FGSM and one PGD step of the whole budget differ; 0 is right",
    "unbounded": "accuracy when the attack may change all inputs over their full range; 0 is right",
    "noise": "accuracy under random corners of the ball minus that under FGSM, same samples; not below 0",
    "black-box-only": "share that an attack without gradients broke after every attack with gradients had failed",
    "double-steps": "change in accuracy when the steps of PGD are doubled",
    "double-steps-loss": "relative change of the mean loss when the steps of PGD are doubled",
    "double-restarts": "change in accuracy when the restarts of PGD are doubled",
    "loss-falls": "share of (sample, window of steps) in which the loss fell",
    "softmax-output": "1 if the outputs look like probabilities, 0 if they are logits",
    "zero-gradient": "share of samples whose gradient is 0 at every coordinate, with straight-through rounding",
    "bad-gradient": "samples of n whose gradient is not finite or missing; 0 is right",
    "saturated-loss": "share of samples with a float32 probability of exactly 1 for their class",
    "repeat": "verdicts that differ between two runs or batch sizes; 0 is right",
    "step-below-code": "1 if a step is below half a code on a model that rounds, 0 otherwise",
    "planted": "share of samples on which PGD gets as far as the best random corner, planted there; 1 is right",
    "analytic": "samples of n on which FGSM or PGD misses the known answer of a linear model; 0 is right",
    "certificate": "samples of n broken although a sound certificate, a closed form, rules it out; 0 is right",
    "label-source": "1 if the attack used true labels, 0 if it used the model's own answers",
    "alone": "accuracy from one input alone, the others at their training mean; of \"all\" of them; \"none\": chance",
    "swapped": "accuracy when an input comes from samples of other classes, where it seems silent alone",
    "padding-share": "share of the perturbation's L1 size that lies in constant padding",
}
"""Kind -> what ``value`` means. ``detail`` of a row says where (input, budget, attack) and is quoted."""

PER_INPUT = ("zero-gradient", "alone", "swapped")
"""Kinds with the name of an input behind them."""


def kind_of(name: str) -> str:
    """The kind of the probe called ``name``, which may have the name of an input behind it."""
    return next((kind for kind in PER_INPUT if name.startswith(f"{kind}-")), name)


def meaning(name: str) -> str:
    """What the value of the probe called ``name`` means."""
    said, one = MEANINGS[kind_of(name)], name.removeprefix(kind_of(name)).removeprefix("-")
    if kind_of(name) == "alone" and one:
        beside = {"all": "accuracy from all inputs", "none": "chance: the share of the most frequent class"}
        return beside.get(one, f"accuracy from {one} alone, the others at their training mean")
    return said.replace("coordinate", f"coordinate of {one}").replace("an input", one) if one else said
