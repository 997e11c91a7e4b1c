"""How long stages will take: a few steps of each are done in a folder that is removed afterwards, and timed."""

from __future__ import annotations

import gc
import logging
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, Trainer

from utad_monai.apps.train.plan import TRAININGS, StageRun
from utad_monai.bundle.configs import literal_path
from utad_monai.bundle.run import open_bundle
from utad_monai.data import PreparedCohort
from utad_monai.handlers import SegmentationEvaluator, flat
from utad_monai.handlers.resume.state import iterations_done
from utad_monai.keys import ResumePolicy, Split
from utad_monai.models.stages import Stage, model_path
from utad_monai.runtime.progress import without_bars

_BATCHES = 4
"""Steps of an epoch that are timed; the first one of all is not counted, it is slower."""
_EPOCHS = 2
"""In the first the critics rest, where they do so for a while; in the second they learn."""
_START_SECONDS = 5.0
"""What a stage needs before its first step."""
_QUESTIONS_PER_SLICE = 36 + 16
"""Translations of a slice in an evaluation: twelve pairs by three methods, and sets of several sources."""
_MEASURING = 2.0
"""An evaluation takes so many times as long as its translations: it measures them, too."""


@dataclass(frozen=True)
class Timing:
    """What was timed of a training.

    Attributes:
        resting: seconds of an iteration while the critics rest.
        iteration: seconds of any other iteration.
        validation: seconds of one case (or batch) of a validation.
        around: seconds of a validation that do not depend on the number of cases.
        iterations: of an epoch.
        validated: cases (or batches) of a validation.
    """

    resting: float
    iteration: float
    _: KW_ONLY
    validation: float
    around: float
    iterations: int
    validated: int


class _Stopwatch:
    """Time the iterations of a trainer by epoch, and its validation."""

    def __init__(self, trainer: Trainer, validator: Evaluator) -> None:
        self.seconds: dict[int, list[float]] = {}
        self.validated: list[float] = []
        self.end = 0.0
        self._mark = 0.0
        trainer.add_event_handler(Events.ITERATION_STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        trainer.add_event_handler(Events.COMPLETED, self._end)
        validator.add_event_handler(Events.ITERATION_STARTED, self._begin)
        validator.add_event_handler(Events.ITERATION_COMPLETED, self._validation)

    def _begin(self, _: Engine) -> None:
        self._mark = _now()

    def _iteration(self, engine: Engine) -> None:
        self.seconds.setdefault(engine.state.epoch, []).append(_now() - self._mark)

    def _validation(self, _: Engine) -> None:
        self.validated.append(_now() - self._mark)
        self._mark = _now()

    def _end(self, _: Engine) -> None:
        self.end = _now() - self._mark


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def estimate(runs: Sequence[StageRun], output: Path, cohort: PreparedCohort) -> dict[str, float]:
    """Return the seconds that each stage will take, by its name; those that are finished take none.

    Args:
        runs: the stages, in their order.
        output: folder of the run; the rehearsal has a hidden folder in it, which is gone afterwards.
        cohort: the prepared cohort.
    """
    seconds: dict[str, float] = {}
    timing: Timing | None = None
    with _rehearsal_folder(output) as folder, _quiet():
        for run in runs:
            anew = run.given.get("resume") == ResumePolicy.NEVER
            done, finished = (0, False) if anew else iterations_done(output / run.stage / "resume")
            if run.stage not in TRAININGS:
                seconds[run.stage] = _evaluation_seconds(run, cohort, timing)
            elif finished:
                seconds[run.stage] = 0.0
            else:
                timing = rehearse(run, folder, output)
                whole = training_seconds(run, timing, cohort)
                share = done / max(1, timing.iterations * int(run.config["max_epochs"]))
                seconds[run.stage] = _START_SECONDS + whole * (1 - min(1.0, share))
    return seconds


@contextmanager
def _rehearsal_folder(output: Path) -> Iterator[Path]:
    folder = output / ".rehearsal"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with without_bars():
            yield
    finally:
        logging.disable(logging.NOTSET)


def rehearse(run: StageRun, folder: Path, output: Path) -> Timing:
    """Do a few steps of a training and validate two cases.

    Args:
        run: the training.
        folder: receives what it writes.
        output: folder of the run, where a teacher may be; else that of the rehearsal teaches the student.
    """
    given = {
        **run.given,
        "stage_dir": literal_path(folder / run.stage),
        "resume": str(ResumePolicy.NEVER),
        "val_interval": _EPOCHS,
    }
    if run.stage is Stage.STUDENT:
        there = model_path(output, Stage.TEACHER).is_file()
        given["teacher_dir"] = literal_path((output if there else folder) / Stage.TEACHER)
    if "critics_from_epoch" in run.config:
        given["critics_from_epoch"] = min(_EPOCHS, int(run.config["critics_from_epoch"]))
    parser = open_bundle(run.files, run_id="training", **given).parser
    trainer, validator = parser.get_parsed_content("train#trainer"), parser.get_parsed_content("validate#evaluator")
    for handler in flat(parser.get_parsed_content("validate#handlers")):
        if isinstance(handler, SegmentationEvaluator):
            handler.load_state_dict({"runs": 1})  # the first validation is no longer one that measures Dice
    iterations, validated = trainer.state.epoch_length, validator.state.epoch_length
    begin = _now()
    _shorten(trainer, _BATCHES)
    loading = (_now() - begin) / trainer.state.epoch_length
    _shorten(validator, 2)
    trainer.state.max_epochs = _EPOCHS
    watch = _Stopwatch(trainer, validator)
    trainer.run()
    first, second = (watch.seconds[epoch] for epoch in (1, _EPOCHS))
    return Timing(
        loading + median(first[1:] or first),
        loading + median(second),
        validation=watch.validated[-1],
        around=watch.end,
        iterations=iterations,
        validated=validated,
    )


def _shorten(engine: Any, length: int) -> None:
    """Let an engine see the first batches of its loader alone, which are loaded now."""
    engine.data_loader = list(islice(engine.data_loader, length))
    engine.state.epoch_length = len(engine.data_loader)


def training_seconds(run: StageRun, timing: Timing, cohort: PreparedCohort) -> float:
    """Return how long a training takes from its first step to its last, by what was timed.

    Args:
        run: the training.
        timing: of its rehearsal.
        cohort: its complete validation cases are segmented now and then.
    """
    config = run.config
    if minutes := _number(config, "max_minutes"):
        return 60 * minutes
    epochs = int(config["max_epochs"])
    resting = min(epochs, max(0, int(_number(config, "critics_from_epoch")) - 1))
    steps = timing.iterations * (resting * timing.resting + (epochs - resting) * timing.iteration)
    validations = math.ceil(epochs / int(config["val_interval"]))
    seconds = steps + validations * (timing.around + timing.validation * timing.validated)
    if interval := int(_number(config, "downstream_interval")):
        seconds += math.ceil(validations / interval) * _downstream_seconds(config, timing, cohort)
    return seconds


def _downstream_seconds(config: Any, timing: Timing, cohort: PreparedCohort) -> float:
    cases = cohort.complete_cases(Split.VALIDATION)
    slices = sum(len(case.brain_pixels) for case in cases)
    return slices * len(cohort.store.preprocessing.modalities) * _slice_seconds(config, timing, cohort)


def _slice_seconds(config: Any, timing: Timing, cohort: PreparedCohort) -> float:
    """Return the seconds of one translation of one slice: a validation goes there and back for every pair."""
    cases = cohort.cases_to_score() or list(cohort.store.cases.values())
    slices = len(cases[-1].brain_pixels) / max(1, int(_number(config, "val_slice_step")))
    several = len(cohort.store.preprocessing.modalities)
    return timing.validation / max(1.0, slices * several * (several - 1) * 2)


def _evaluation_seconds(run: StageRun, cohort: PreparedCohort, timing: Timing | None) -> float:
    if timing is None:
        return 60.0  # everything is trained: nothing was timed
    cases = cohort.cases(str(run.given["split"]), with_segmentation=True)
    slices = sum(len(case.brain_pixels) for case in cases)
    step = {"val_slice_step": 4}
    return _START_SECONDS + _MEASURING * slices * _QUESTIONS_PER_SLICE * _slice_seconds(step, timing, cohort)


def _number(config: Any, key: str) -> float:
    """Return a number of a config; 0 where it has none."""
    value = config.get(key, 0)
    return float(value) if isinstance(value, int | float) else 0.0
