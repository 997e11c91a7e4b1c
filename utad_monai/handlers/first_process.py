"""Which handlers run where, when several processes train one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.handlers import LrScheduleHandler

from utad_monai.distributed import rank, world_size
from utad_monai.handlers.distillation import DistillationHandler
from utad_monai.handlers.generator_average import GeneratorAverage
from utad_monai.handlers.late_critics import LateCritics
from utad_monai.handlers.non_finite import StopOnNonFinite
from utad_monai.handlers.paired_supervision import PairedSupervision
from utad_monai.handlers.starter_anchor import StarterAnchor
from utad_monai.handlers.teaching import Teaching
from utad_monai.handlers.train_as_one import TrainAsOne

_EVERYWHERE = (
    DistillationHandler,
    GeneratorAverage,
    LateCritics,
    LrScheduleHandler,
    PairedSupervision,
    StarterAnchor,
    StopOnNonFinite,
    Teaching,
)
"""Handlers that change the training itself; all others (validation, pictures, tables, bars) happen once."""


def handlers_of_this_rank(handlers: Sequence[Any]) -> list[Any]:
    """Return all handlers on the first process, and elsewhere only those that change the training itself.

    Where there are several processes, one more makes them train as one.
    """
    together = [TrainAsOne()] if world_size() > 1 else []
    return together + [handler for handler in handlers if rank() == 0 or isinstance(handler, _EVERYWHERE)]
