"""Handlers: everything around the training step."""

from utad_monai.handlers.curves import TrainingCurves, training_curves
from utad_monai.handlers.distillation import DistillationHandler
from utad_monai.handlers.health import HealthMonitor
from utad_monai.handlers.monitoring import TrainingHistory, TrainingProgress, flat, scalars, with_every_loss
from utad_monai.handlers.paired import PairedSupervision, SaveTaughtTranslator, Teaching
from utad_monai.handlers.parallel import TrainAsOne, handlers_of_this_rank
from utad_monai.handlers.resume.exact_resume import ExactResume
from utad_monai.handlers.safety import NonFiniteLossError, StopOnNonFinite, TimeBudget
from utad_monai.handlers.sample_grid import SampleGrid
from utad_monai.handlers.saving import GeneratorAverage, SaveBestSegmenter, SaveBestTranslator, typical_windows
from utad_monai.handlers.standard import stateful_parts, training_handlers, validation_handlers
from utad_monai.handlers.starter_anchor import LateCritics, StarterAnchor
from utad_monai.handlers.validation import RegularValidation, SegmentationEvaluator

__all__ = [
    "DistillationHandler",
    "ExactResume",
    "GeneratorAverage",
    "HealthMonitor",
    "LateCritics",
    "NonFiniteLossError",
    "PairedSupervision",
    "RegularValidation",
    "SampleGrid",
    "SaveBestSegmenter",
    "SaveBestTranslator",
    "SaveTaughtTranslator",
    "SegmentationEvaluator",
    "StarterAnchor",
    "StopOnNonFinite",
    "Teaching",
    "TimeBudget",
    "TrainAsOne",
    "TrainingCurves",
    "TrainingHistory",
    "TrainingProgress",
    "flat",
    "handlers_of_this_rank",
    "scalars",
    "stateful_parts",
    "training_curves",
    "training_handlers",
    "typical_windows",
    "validation_handlers",
    "with_every_loss",
]
