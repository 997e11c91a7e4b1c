from __future__ import annotations

from typing import Any

import pytest
from ignite.engine import Engine, Events

from utad_monai.handlers import RegularValidation


class Recorder:
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def run(self, epoch: int) -> None:
        self.epochs.append(epoch)


def validated_epochs(interval: int, max_epochs: int) -> list[int]:
    recorder: Any = Recorder()
    trainer = Engine(lambda _engine, _batch: None)
    RegularValidation(recorder, interval).attach(trainer)
    trainer.run([0, 1], max_epochs=max_epochs)
    return list(recorder.epochs)


@pytest.mark.parametrize(
    ("interval", "max_epochs", "expected"),
    [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (2, 4, [2, 4]), (10, 2, [2])],
    ids=["every", "and the last", "the last once", "longer than the run"],
)
def test_validation_is_regular_and_ends_the_run(interval: int, max_epochs: int, expected: list[int]) -> None:
    assert validated_epochs(interval, max_epochs) == expected


def test_a_run_that_is_ended_early_is_validated_at_its_end() -> None:
    recorder: Any = Recorder()
    trainer = Engine(lambda _engine, _batch: None)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=3), trainer.terminate)
    RegularValidation(recorder, 2).attach(trainer)
    trainer.run([0, 1], max_epochs=9)
    assert recorder.epochs == [2, 3]


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 epoch"):
        validated_epochs(0, 1)
