"""The course of a training as a picture: losses and validation scores over the epochs."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas
from ignite.engine import Engine, Events

from utad_monai.handlers.monitoring import TrainingHistory
from utad_monai.models.stages import PROGRESS_FILE
from utad_monai.runtime.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_logger = logging.getLogger(__name__)
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's eight colours, which colour-blind readers can tell apart."""
_DASHES = ("-", "--", ":")
"""Lines beyond the eighth begin the colours again, and are dashed."""
_COUNTS = ("epoch", "iteration")


def training_curves(history: pandas.DataFrame) -> Figure:
    """Draw the loss terms and validation scores of a `history.csv`, a panel each; what was not recorded has none.

    Raises:
        ImportError: when matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    groups = {title: names for title, names in _groups(history).items() if names}
    figure = Figure(figsize=(4.6 * max(1, len(groups)), 3.4), layout="constrained", dpi=110)
    panels = figure.subplots(1, max(1, len(groups)), squeeze=False)[0]
    for axis, (title, names) in zip(panels, groups.items(), strict=False):
        for place, name in enumerate(names):
            known = history[["epoch", name]].dropna()
            dashes = _DASHES[place // len(PALETTE) % len(_DASHES)]
            colour = PALETTE[place % len(PALETTE)]
            marker = "o" if len(known) < 2 or title == "validation" else ""
            label = name.split("/")[-1].replace("_", " ")
            axis.plot(known["epoch"], known[name], dashes, label=label, color=colour, marker=marker, markersize=3)
        ends = (history["epoch"].min() - 0.5, history["epoch"].max() + 0.5)
        axis.set(title=title, xlabel="epoch", xlim=ends)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6)
    return figure


def _groups(history: pandas.DataFrame) -> dict[str, list[str]]:
    names = [str(name) for name in history if name not in _COUNTS and history[name].notna().any()]
    critic = [name for name in names if name.startswith("critic")]
    generator = [name for name in names if name == "loss" or name.startswith("generator/")]
    scores = [name for name in names if name not in {*critic, *generator}]
    return {"losses of the critics": critic, "losses": generator, "validation": scores}


class TrainingCurves:
    """After each validation, write the curves so far to `progress.png`; without matplotlib one line says so.

    Args:
        folder: of the stage.
        history: what is drawn.
        validator: runs at the epochs after which a picture is written.
    """

    def __init__(self, folder: str | Path, history: TrainingHistory, *, validator: Engine) -> None:
        self.path = Path(folder) / PROGRESS_FILE
        self.history = history
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        """Register on the trainer; attach it after the history."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw when this epoch was validated."""
        if self.validator.state.epoch == engine.state.epoch and _can_draw():
            write_curves(self.path, self.history.rows)


def write_curves(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the picture of some epochs, atomically.

    Args:
        path: the PNG file.
        rows: what `history.csv` has, one dictionary an epoch.
    """
    figure = training_curves(pandas.DataFrame(rows))
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


@cache  # said once
def _can_draw() -> bool:
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    _logger.info("no %s is drawn: matplotlib is not installed", PROGRESS_FILE)
    return False
