"""Which handlers run where, when several processes train one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.handlers import LrScheduleHandler

from utad_monai.distributed import rank
from utad_monai.handlers.distillation import DistillationHandler
from utad_monai.handlers.generator_average import GeneratorAverage
from utad_monai.handlers.non_finite import StopOnNonFinite
from utad_monai.handlers.paired_supervision import PairedSupervision

_EVERYWHERE = (DistillationHandler, GeneratorAverage, LrScheduleHandler, PairedSupervision, StopOnNonFinite)
"""Handlers that change the training itself; all others (validation, pictures, tables, bars) happen once."""


def handlers_of_this_rank(handlers: Sequence[Any]) -> list[Any]:
    """Return all handlers on the first process, and elsewhere only those that change the training itself."""
    return [handler for handler in handlers if rank() == 0 or isinstance(handler, _EVERYWHERE)]
