"""The course of a training run, one line per epoch, in a CSV beside the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas
from ignite.engine import Engine, Events

from utad_monai.tables import write_table


class TrainingHistory:
    """Average the loss terms of each epoch, add the validation metrics, and rewrite `history.csv`.

    Args:
        path: the CSV file; one row per epoch.
        validator: engine whose metrics are recorded at the epochs in which it ran; None for none.
    """

    def __init__(self, path: str | Path, validator: Engine | None = None) -> None:
        self.path = Path(path)
        self.validator = validator
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = defaultdict(float)

    def attach(self, engine: Engine) -> None:
        """Register on the trainer; attach it after the handler that runs the validation."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _add(self, engine: Engine) -> None:
        for name, value in engine.state.output.items():  # type: ignore[union-attr]
            self._sums[str(name)] += value

    def __call__(self, engine: Engine) -> None:
        """Write the epoch's row."""
        length = engine.state.epoch_length or 1
        row = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        self.rows.append(row | {name: value / length for name, value in self._sums.items()} | self._validation(engine))
        self._sums.clear()
        write_table(self.path, pandas.DataFrame(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far and the sums of the current epoch."""
        return {"rows": [dict(row) for row in self.rows], "sums": dict(self._sums)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the rows and sums of an earlier run; the file is rewritten at the end of the epoch."""
        self.rows = [dict(row) for row in state_dict["rows"]]
        self._sums = defaultdict(float, state_dict["sums"])

    def _validation(self, engine: Engine) -> dict[str, float]:
        if self.validator is None or self.validator.state.epoch != engine.state.epoch:
            return {}
        return {name: float(value) for name, value in self.validator.state.metrics.items()}
