"""Generator and critics."""

from utad_monai.networks.discriminator import Judgement, ModalityCritic, critic_pair
from utad_monai.networks.generator import (
    StudentTranslator,
    TumourAwareGenerator,
    generator_input,
    one_hot_planes,
    student_from_teacher,
    with_target_planes,
)
from utad_monai.networks.translation import Translation

__all__ = [
    "Judgement",
    "ModalityCritic",
    "StudentTranslator",
    "Translation",
    "TumourAwareGenerator",
    "critic_pair",
    "generator_input",
    "one_hot_planes",
    "student_from_teacher",
    "with_target_planes",
]
