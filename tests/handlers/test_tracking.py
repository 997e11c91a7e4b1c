from __future__ import annotations

from ignite.handlers import TerminateOnNan
from monai.handlers import MLFlowHandler, from_engine

from utad_monai.handlers import with_every_loss


def tracking_handler() -> MLFlowHandler:
    """Return the handler as MONAI's settings make it, without its store."""
    handler = MLFlowHandler.__new__(MLFlowHandler)
    handler.output_transform = from_engine(["loss"], first=True)
    return handler


def test_every_loss_of_a_translation_is_tracked() -> None:
    (handler,) = with_every_loss([tracking_handler()])
    assert handler.output_transform({"loss": 1, "critic_loss": 2.5}) == {"loss": 1.0, "critic_loss": 2.5}


def test_the_loss_of_a_supervised_training_is_tracked_as_before() -> None:
    (handler,) = with_every_loss([tracking_handler()])
    assert handler.output_transform([{"loss": 1.5}, {"loss": 1.5}]) == 1.5


def test_other_handlers_stay_as_they_are() -> None:
    others = [TerminateOnNan()]
    assert with_every_loss(others) == others
