"""Critics that come late: first the anchors hold, then texture is judged."""

from __future__ import annotations

from dataclasses import replace

from ignite.engine import Events

from utad_monai.engines.translation_trainer import TranslationTrainer


class LateCritics:
    """Keep the adversarial and the modality term out of the generator's loss in the first epochs.

    The critics rest, but for the last of these epochs, in which they learn.

    Args:
        epochs: how many; 0 changes nothing, as in the paper.
    """

    def __init__(self, epochs: int = 0) -> None:
        self.epochs = epochs

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer; the weights that it has now are those of the later epochs."""
        self._later = engine.loss_weights
        engine.critics_from_epoch = self.epochs
        if self.epochs > 0:
            engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: TranslationTrainer) -> None:
        """Choose the weights of this epoch; in every iteration, as a training may resume within an epoch."""
        late = engine.state.epoch > self.epochs
        engine.critics_rest = engine.state.epoch < self.epochs
        engine.loss_weights = self._later if late else replace(self._later, adversarial=0.0, modality=0.0)
