"""Losses of the translation game and of distillation."""

from utad_monai.losses.adversarial import (
    AdversarialLoss,
    LeastSquaresLoss,
    WassersteinLoss,
    gradient_penalty,
    loss_of_game,
)
from utad_monai.losses.consistency import cycle_loss, identity_loss, local_consistency_loss, tumour_guidance_loss
from utad_monai.losses.distillation import anchor_terms, distillation_terms, teaching_terms
from utad_monai.losses.weights import LossWeights

__all__ = [
    "AdversarialLoss",
    "LeastSquaresLoss",
    "LossWeights",
    "WassersteinLoss",
    "anchor_terms",
    "cycle_loss",
    "distillation_terms",
    "gradient_penalty",
    "identity_loss",
    "local_consistency_loss",
    "loss_of_game",
    "teaching_terms",
    "tumour_guidance_loss",
]
