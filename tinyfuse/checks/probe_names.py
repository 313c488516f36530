"""The names of probe rows: measurements that are no accuracies of an attack, and that a check needs."""

from __future__ import annotations

AUDIT = "audit"
ZERO_BUDGET = "zero-budget"
FGSM_EQUALS_PGD1 = "fgsm-equals-pgd1"
UNBOUNDED = "unbounded"
NOISE = "noise"
BLACK_BOX_ONLY = "black-box-only"
DOUBLE_STEPS = "double-steps"
DOUBLE_STEPS_LOSS = "double-steps-loss"
DOUBLE_RESTARTS = "double-restarts"
LOSS_FALLS = "loss-falls"
SOFTMAX_OUTPUT = "softmax-output"
ZERO_GRADIENT = ("zero-gradient", "zero-gradient-image", "zero-gradient-audio")
BAD_GRADIENT = "bad-gradient"
SATURATED_LOSS = "saturated-loss"
REPEAT = "repeat"
STEP_BELOW_CODE = "step-below-code"
PLANTED = "planted"
ANALYTIC = "analytic"
CERTIFICATE = "certificate"
LABEL_SOURCE = "label-source"
PADDING_SHARE = "padding-share"

PROBES: dict[str, str] = {
    AUDIT: "adversarial inputs outside their threat, of n audited; 0 is right",
    ZERO_BUDGET: "verdicts on n samples that an attack with ε = 0 changes; 0 is right",
    FGSM_EQUALS_PGD1: "coordinates in which FGSM and one PGD step of the whole budget differ; 0 is right",
    UNBOUNDED: "accuracy when the attack may change all inputs over their full range; 0 is right",
    NOISE: "accuracy under random corners of the ball minus that under FGSM, same samples; not below 0",
    BLACK_BOX_ONLY: "share that an attack without gradients broke after every attack with gradients had failed",
    DOUBLE_STEPS: "change in accuracy when the steps of PGD are doubled",
    DOUBLE_STEPS_LOSS: "relative change of the mean loss when the steps of PGD are doubled",
    DOUBLE_RESTARTS: "change in accuracy when the restarts of PGD are doubled",
    LOSS_FALLS: "share of (sample, window of steps) in which the loss fell",
    SOFTMAX_OUTPUT: "1 if the outputs look like probabilities, 0 if they are logits",
    **{name: "share of samples whose gradient is 0 at every coordinate" +
             (f" of {name.removeprefix('zero-gradient-')}" if name != "zero-gradient" else "") +
             ", with straight-through rounding" for name in ZERO_GRADIENT},
    BAD_GRADIENT: "samples of n whose gradient is not finite or missing; 0 is right",
    SATURATED_LOSS: "share of samples with a float32 probability of exactly 1 for their class",
    REPEAT: "verdicts that differ between two runs or batch sizes; 0 is right",
    STEP_BELOW_CODE: "1 if a step is below half a code on a model that rounds, 0 otherwise",
    PLANTED: "share of samples on which PGD gets as far as the best random corner, planted as adversarial; 1 is right",
    ANALYTIC: "samples of n on which FGSM or PGD misses the known answer of a linear model; 0 is right",
    CERTIFICATE: "samples of n broken although a sound certificate, a closed form, rules it out; 0 is right",
    LABEL_SOURCE: "1 if the attack used true labels, 0 if it used the model's own answers",
    PADDING_SHARE: "share of the perturbation's L1 size that lies in constant padding",
}
"""Name -> what ``value`` means. ``detail`` of a row says where (modality, budget, attack) and is quoted."""
