"""Attacks by input: what an adversary may do (Threat), to what (Target), how (FGSM, PGD, ...)."""

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.attack import ATTACKS, Attack, SampleAttack
from tinyfuse.attacks.evolution import NES, SPSA
from tinyfuse.attacks.losses import loss_and_slope
from tinyfuse.attacks.pgd import DIVA, FGM, FGSM, MIM, PGD
from tinyfuse.attacks.profiles import Profile, attack_of
from tinyfuse.attacks.query_search import Corners
from tinyfuse.attacks.square import Square
from tinyfuse.attacks.target import DifferentiableTarget, Gradient, Target
from tinyfuse.attacks.targets.composite import DequantisedTarget, DivaTarget, EnsembleTarget
from tinyfuse.attacks.targets.keras_target import KerasTarget
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.attacks.universal import Universal
from tinyfuse.attacks.universal_pgd import UniversalPGD
from tinyfuse.data.samples import Batch
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.threat import Threat

__all__ = ["ATTACKS", "DIVA", "FGM", "FGSM", "MIM", "NES", "PGD", "SPSA", "Adversarial", "Attack", "Batch", "Corners",
           "DequantisedTarget", "DifferentiableTarget", "DivaTarget", "EnsembleTarget", "Gradient", "InputGrid",
           "KerasTarget", "Profile", "SampleAttack", "Square", "Target", "Threat", "TwinTarget", "Universal",
           "UniversalPGD", "attack_of", "audit", "code_problem", "loss_and_slope", "misclassified"]
