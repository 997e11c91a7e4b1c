"""Losses of the translation game and of distillation."""

from utad_monai.losses.adversarial import critic_terms, generator_terms, gradient_penalty
from utad_monai.losses.distillation import distillation_terms
from utad_monai.losses.guidance import tumour_guidance_loss
from utad_monai.losses.least_squares import least_squares_critic_terms, least_squares_generator_terms
from utad_monai.losses.teaching import anchor_terms, teaching_terms
from utad_monai.losses.translation import cycle_loss, identity_loss, local_consistency_loss
from utad_monai.losses.weights import LossWeights

__all__ = [
    "LossWeights",
    "anchor_terms",
    "critic_terms",
    "cycle_loss",
    "distillation_terms",
    "generator_terms",
    "gradient_penalty",
    "identity_loss",
    "least_squares_critic_terms",
    "least_squares_generator_terms",
    "local_consistency_loss",
    "teaching_terms",
    "tumour_guidance_loss",
]
