"""Generator and critics."""

from utad_monai.networks.critics import critic_pair
from utad_monai.networks.discriminator import Judgement, ModalityCritic
from utad_monai.networks.generator import (
    StudentTranslator,
    Translation,
    TumourAwareGenerator,
    one_hot_planes,
    student_from_teacher,
)

__all__ = [
    "Judgement",
    "ModalityCritic",
    "StudentTranslator",
    "Translation",
    "TumourAwareGenerator",
    "critic_pair",
    "one_hot_planes",
    "student_from_teacher",
]
