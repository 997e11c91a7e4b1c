"""Ignite engines: training, validation, evaluation and volume synthesis."""

from utad_monai.engines.evaluations import gap_questions
from utad_monai.engines.evaluator import CaseEvaluator, TranslationEvaluator
from utad_monai.engines.generator_trainer import GeneratorTrainer, TranslationEvents
from utad_monai.engines.measurements import evaluation_protocol
from utad_monai.engines.schedules import Optimisation, adam_with_decay, linear_decay
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.engines.validators import TeachingValidator, TranslationValidator
from utad_monai.keys import ValidationMetric

__all__ = [
    "CaseEvaluator",
    "GeneratorTrainer",
    "Optimisation",
    "TeachingValidator",
    "TranslationEvaluator",
    "TranslationEvents",
    "TranslationTrainer",
    "TranslationValidator",
    "ValidationMetric",
    "adam_with_decay",
    "evaluation_protocol",
    "gap_questions",
    "linear_decay",
]
