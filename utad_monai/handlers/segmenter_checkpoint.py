"""Save the best segmentation network of a training run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from utad_monai.checkpoints import Segmenter, save_segmenter
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.handlers.best_so_far import BestSoFar
from utad_monai.keys import Modality

_logger = logging.getLogger(__name__)


class SaveBestSegmenter(BestSoFar):
    """After each validation, save the network when the validator's key metric is the best so far.

    Args:
        path: the model file, replaced atomically.
        network: the network that was validated.
        arguments: constructor arguments of the MONAI UNet, as plain data.
        preprocessing: what the network was fed with.
        modalities: its input channels.
    """

    def __init__(
        self,
        path: str | Path,
        network: nn.Module,
        arguments: Mapping[str, Any],
        preprocessing: Preprocessing,
        modalities: Sequence[Modality | str] = tuple(Modality),
    ) -> None:
        super().__init__(path)
        self.network = network
        self.arguments = dict(arguments)
        self.preprocessing = preprocessing
        self.modalities = tuple(map(Modality, modalities))

    def attach(self, engine: Engine) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the network when it is the best so far."""
        value = float(engine.state.metrics[engine.state.key_metric_name])  # type: ignore[attr-defined]
        if not self.is_better(value):
            return
        save_segmenter(self.path, Segmenter(self.network, self.preprocessing, self.arguments, self.modalities))
        _logger.info("epoch %d: mean Dice %.4f is the best so far, saved %s", engine.state.epoch, value, self.path)
