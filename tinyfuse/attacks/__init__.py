"""Attacks per modality: what an adversary may do (Threat), to what (Target), how (fgsm, pgd, ...)."""

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.corners import corners
from tinyfuse.attacks.evolution import nes, spsa
from tinyfuse.attacks.fgsm import fgsm
from tinyfuse.attacks.guards import refuse_probabilities
from tinyfuse.attacks.losses import LOSSES, loss_and_slope
from tinyfuse.attacks.minimal import minimal_codes, minimal_epsilon
from tinyfuse.attacks.pgd import mim, pgd
from tinyfuse.attacks.registry import ATTACKS, ITERATIVE, attack
from tinyfuse.attacks.square import square
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient, Target
from tinyfuse.attacks.targets.composite import DivaTarget, EnsembleTarget, evasive_rate
from tinyfuse.attacks.targets.keras_target import KerasTarget
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.attacks.universal import universal
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import DOMAINS, DequantisedTarget, code_problem, whole_codes
from tinyfuse.threats.project_codes import to_codes
from tinyfuse.threats.threat import Threat

__all__ = ["ATTACKS", "DOMAINS", "ITERATIVE", "LOSSES", "Adversarial", "Batch", "DequantisedTarget",
           "DifferentiableTarget", "DivaTarget", "EnsembleTarget", "Gradient", "InputGrid", "KerasTarget", "Target",
           "Threat", "TwinTarget", "attack", "audit", "code_problem", "corners", "evasive_rate", "fgsm",
           "loss_and_slope", "mim", "minimal_codes", "minimal_epsilon", "misclassified", "nes", "pgd",
           "refuse_probabilities", "spsa", "square", "to_codes", "universal", "whole_codes"]
