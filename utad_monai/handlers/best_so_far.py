"""Which validation was the best: what decides whether a model is saved, also after a training was resumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class BestSoFar:
    """Remember the greatest value, and the model file that belongs to it.

    Args:
        path: the model file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.best: float | None = None

    def is_better(self, value: float) -> bool:
        """Tell whether a value is greater than all before, and remember it then.

        The first one always is, so that no run ends without a model; when it is NaN, any number is better.
        """
        if self.best is not None and not math.isnan(self.best) and not value > self.best:
            return False
        self.best = value
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far; None before the first."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the best value of an earlier run.

        Raises:
            FileNotFoundError: when there is a value and its model is gone.
        """
        if state_dict["best"] is not None and not self.path.is_file():
            raise FileNotFoundError(f"the best model so far, {self.path}, is missing")
        self.best = state_dict["best"]
