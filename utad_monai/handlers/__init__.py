"""Handlers: everything around the training step."""

from utad_monai.handlers.checkpointing import SaveBestTranslator, typical_windows
from utad_monai.handlers.distillation import DistillationHandler
from utad_monai.handlers.first_process import handlers_of_this_rank
from utad_monai.handlers.generator_average import GeneratorAverage
from utad_monai.handlers.health import HealthMonitor
from utad_monai.handlers.history import TrainingHistory
from utad_monai.handlers.late_critics import LateCritics
from utad_monai.handlers.non_finite import NonFiniteLossError, StopOnNonFinite
from utad_monai.handlers.paired_supervision import PairedSupervision
from utad_monai.handlers.progress import TrainingProgress
from utad_monai.handlers.resume import ExactResume
from utad_monai.handlers.sample_grid import SampleGrid
from utad_monai.handlers.scalars import scalars
from utad_monai.handlers.segmentation_evaluator import SegmentationEvaluator
from utad_monai.handlers.segmenter_checkpoint import SaveBestSegmenter
from utad_monai.handlers.starter_anchor import StarterAnchor
from utad_monai.handlers.taught_translator import SaveTaughtTranslator
from utad_monai.handlers.teaching import Teaching
from utad_monai.handlers.time_budget import TimeBudget
from utad_monai.handlers.tracking import with_every_loss
from utad_monai.handlers.train_as_one import TrainAsOne
from utad_monai.handlers.validation import RegularValidation

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
    "TrainingHistory",
    "TrainingProgress",
    "handlers_of_this_rank",
    "scalars",
    "typical_windows",
    "with_every_loss",
]
