"""The handlers that every training of a generator has, and the parts of a training that its states hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.engines import Evaluator
from monai.handlers import LrScheduleHandler, TensorBoardStatsHandler
from torch import nn

from utad_monai.data import EvaluationCases, PreparedCohort
from utad_monai.engines import Optimisation
from utad_monai.handlers.curves import TrainingCurves
from utad_monai.handlers.distillation import DistillationHandler
from utad_monai.handlers.health import HealthMonitor
from utad_monai.handlers.monitoring import TrainingHistory, TrainingProgress, flat, scalars
from utad_monai.handlers.resume.exact_resume import Stateful
from utad_monai.handlers.safety import StopOnNonFinite, TimeBudget
from utad_monai.handlers.sample_grid import SampleGrid
from utad_monai.handlers.saving import BestSoFar, GeneratorAverage, SaveBestTranslator
from utad_monai.handlers.starter_anchor import StarterAnchor
from utad_monai.handlers.validation import RegularValidation, SegmentationEvaluator
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import Split
from utad_monai.models.stages import HISTORY_FILE, MODEL_FILE
from utad_monai.networks import ModalityCritic, TumourAwareGenerator

_LOGGED_ITERATIONS = 10
"""Losses go to TensorBoard once in so many iterations."""
_STATE_NAMES = {
    BestSoFar: "saver",
    DistillationHandler: "distillation",
    GeneratorAverage: "average",
    HealthMonitor: "health",
    RegularValidation: "validation",
    SegmentationEvaluator: "downstream",
    StarterAnchor: "anchor",
    TimeBudget: "time_budget",
    TrainingHistory: "history",
}
"""Under which name a training state holds what a handler knows."""


def training_handlers(
    *,
    description: str,
    stage_dir: str | Path,
    validator: Evaluator,
    val_interval: int,
    average: GeneratorAverage,
    optimisation: Optimisation,
    time_budget: TimeBudget,
    health: bool = True,
) -> list[Any]:
    """Return the handlers of a generator's training in the order in which they run.

    The average follows each step; a validation comes before the history that records it.

    Args:
        description: shown beside the progress bar.
        stage_dir: receives `history.csv`, `progress.png`, `health.csv` and TensorBoard's files.
        validator: runs every `val_interval` epochs.
        val_interval: epochs from one validation to the next.
        average: of the generator's weights.
        optimisation: its schedules take a step per epoch.
        time_budget: ends the training.
        health: whether the balance of critics and generator is watched.
    """
    watched = [HealthMonitor(folder=stage_dir, validator=validator)] if health else []
    history = TrainingHistory(Path(stage_dir) / HISTORY_FILE, validator)
    log = TensorBoardStatsHandler(log_dir=str(stage_dir), output_transform=scalars, iteration_log=_LOGGED_ITERATIONS)
    return [
        average,
        StopOnNonFinite(),
        *(LrScheduleHandler(one, print_lr=False) for one in optimisation.schedules.values()),  # type: ignore[arg-type]
        time_budget,
        RegularValidation(validator, val_interval),
        log,
        history,
        TrainingCurves(stage_dir, history, validator=validator),
        *watched,
        TrainingProgress(description, time_budget.minutes, validator=validator),
    ]


def validation_handlers(
    *,
    output_dir: str | Path,
    stage_dir: str | Path,
    cohort: PreparedCohort,
    generator: TumourAwareGenerator,
    critics: tuple[ModalityCritic, ModalityCritic],
    translator: SliceTranslator,
    cases: EvaluationCases,
    downstream_interval: int,
    training: Mapping[str, Any],
    close_up: Callable[[Mapping[Any, Any]], Mapping[Any, Any]] | None = None,
) -> list[Any]:
    """Return the handlers of a generator's validator: Dice, the best model, pictures and TensorBoard.

    Args:
        output_dir: folder of the run, where the segmentation network may be.
        stage_dir: receives the model, `samples/` and TensorBoard's files.
        cohort: its complete validation cases are segmented; its training cases describe the model.
        generator: what is saved: the average of the generator in training.
        critics: saved with it.
        translator: translates by this generator.
        cases: what the validator looks at.
        downstream_interval: validations from one measurement of Dice to the next.
        training: how the model is made, kept in its file.
        close_up: of `SampleGrid`.
    """
    segmented = EvaluationCases(cohort.store, cohort.complete_cases(Split.VALIDATION))
    folder = Path(stage_dir)
    return [
        SegmentationEvaluator(output_dir, segmented, translator=translator, interval=downstream_interval),
        SaveBestTranslator(
            folder / MODEL_FILE,
            generator,
            store=cohort.store,
            training_cases=cohort.cases(Split.TRAIN),
            training=training,
            critics=critics,
        ),
        SampleGrid(folder / "samples", cases, translator=translator, log_dir=stage_dir, close_up=close_up),
        TensorBoardStatsHandler(log_dir=str(stage_dir), iteration_log=False),
    ]


def stateful_parts(
    *, networks: Mapping[str, nn.Module], optimisation: Optimisation, handlers: Sequence[Any]
) -> dict[str, Stateful]:
    """Return everything that changes in a generator's training, by the name that its states have for it.

    Args:
        networks: those that are trained, by name.
        optimisation: of these.
        handlers: of the trainer and of the validator, lists of handlers among them.

    Raises:
        ValueError: when two handlers would have one name: a resumed training would not be the same.
    """
    parts: dict[str, Any] = dict(networks)
    parts |= {f"{name}_optimizer": optimizer for name, optimizer in optimisation.optimizers.items()}
    parts |= {f"{name}_schedule": schedule for name, schedule in optimisation.schedules.items()}
    for handler in flat(handlers):
        if hasattr(handler, "load_state_dict"):
            name = _state_name(handler)
            if name in parts:
                raise ValueError(f"two handlers of a training have the state {name!r}: leave one of them out")
            parts[name] = handler
    return parts


def _state_name(handler: Any) -> str:
    """Return the name of a handler's state; a handler of a user's own has that of its class."""
    names = (name for kind, name in _STATE_NAMES.items() if isinstance(handler, kind))
    return next(names, type(handler).__name__)
