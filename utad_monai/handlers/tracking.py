"""Experiment tracking: what `--tracking mlflow` of MONAI's bundles records of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from monai.handlers import MLFlowHandler

from utad_monai.handlers.scalars import scalars


def with_every_loss(handlers: Sequence[Any]) -> list[Any]:
    """Return handlers of a trainer, of which those that track experiments record every loss of a `TranslationTrainer`.

    MONAI adds its own tracking handler to a bundle's handlers. It expects the list of one output per image that a
    supervised trainer gives, where a `TranslationTrainer` gives one dictionary of losses per batch.
    """
    for handler in handlers:
        if isinstance(handler, MLFlowHandler):
            handler.output_transform = partial(_losses, handler.output_transform)
    return list(handlers)


def _losses(of_supervised: Callable[[Any], Any], output: Any) -> Any:
    return scalars(output) if isinstance(output, Mapping) else of_supervised(output)
