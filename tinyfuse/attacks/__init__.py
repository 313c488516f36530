"""Attacks per modality: what an adversary may do (Threat), to what (Target), how (fgsm, pgd)."""

from tinyfuse.attacks.adversarial import Adversarial, cross_entropy, misclassified
from tinyfuse.attacks.audit import audit
from tinyfuse.attacks.fgsm import fgsm
from tinyfuse.attacks.grid import to_codes
from tinyfuse.attacks.guards import refuse_probabilities
from tinyfuse.attacks.keras_target import KerasTarget
from tinyfuse.attacks.pgd import pgd
from tinyfuse.attacks.registry import ATTACKS, ITERATIVE, attack
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient, Target
from tinyfuse.attacks.threat import Threat
from tinyfuse.integer.grid import InputGrid

__all__ = ["ATTACKS", "ITERATIVE", "Adversarial", "Batch", "DifferentiableTarget", "Gradient", "InputGrid",
           "KerasTarget", "Target", "Threat", "attack", "audit", "cross_entropy", "fgsm",
           "misclassified", "pgd", "refuse_probabilities", "to_codes"]
