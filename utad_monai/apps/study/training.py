"""Train everything that a study compares, side by side, and what is trained already not again."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from utad_monai.apps.study.plan import StudyMethod, StudyPlan
from utad_monai.bundle.configs import bundles_dir, literal_path
from utad_monai.bundle.run import run_bundle
from utad_monai.errors import expected_cause
from utad_monai.keys import FOUR_MODALITIES
from utad_monai.models.stages import MODEL_FILE, Stage, StudyError, present_model
from utad_monai.runtime.files import read_record, write_json
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.workers import worker_pool

DONE_FILE = "trained.json"
LOG_FILE = "training.log"

_logger = logging.getLogger(__name__)


def train_all(plan: StudyPlan, dataset_dir: str | Path, output_dir: str | Path, workers: int = 1) -> None:
    """Train every method and segmentation network of a plan that is not trained yet.

    Args:
        plan: what to train.
        dataset_dir: the cohort.
        output_dir: folder of the study.
        workers: trainings side by side, each in its own process; 1 trains in this process.

    Raises:
        StudyError: when a training fails, or was made with other settings before.
    """
    output = Path(output_dir)
    waiting = {method.name: method for method in plan.trainings if not is_trained(method, plan, output)}
    if not waiting:
        return
    prepare_study_cohort(plan, dataset_dir, output)
    graph = {name: {method.after} & set(waiting) for name, method in waiting.items()}
    jobs = {name: _Job(method, plan, str(dataset_dir), output) for name, method in waiting.items()}
    with _side_by_side(workers) as submit:
        for name in progress_bar(_in_order(graph, jobs, submit), "Training", total=len(jobs), unit="method"):
            _logger.info("%s is trained", name)


def is_trained(method: StudyMethod, plan: StudyPlan, output: Path) -> bool:
    """Tell whether a training is done.

    Raises:
        StudyError: when it was done with other settings.
    """
    done = plan.stage_dir(method.name, output) / DONE_FILE
    if not done.is_file():
        return False
    if (read_record(done) or {}).get("settings") != plan.settings(method):
        reason = f"{method.name} was trained with other settings"
        raise StudyError(done.parent, reason, "remove the folder, or use another --output")
    return True


def prepare_study_cohort(plan: StudyPlan, dataset_dir: str | Path, output: Path) -> Any:
    """Prepare the cohort once, before trainings ask for it side by side, and return it (`PreparedCohort`).

    Raises:
        StudyError: when its modalities are not the four.
    """
    parser = ConfigParser()
    parser.read_config([bundles_dir() / file for file in (f"{Stage.SEGMENTATION}.json", *plan.overlays)])
    places = {"dataset_dir": literal_path(dataset_dir), "output_dir": literal_path(output)}
    parser.update({**plan.cohort_overrides, **places})
    cohort = parser.get_parsed_content("cohort")
    if cohort.store.preprocessing.modalities != FOUR_MODALITIES:
        raise StudyError(output, f"a study is of {', '.join(FOUR_MODALITIES)}", "leave out parts of its overrides")
    return cohort


class _Job:
    """One training as a call without arguments, which can be sent to another process."""

    def __init__(self, method: StudyMethod, plan: StudyPlan, dataset_dir: str, output: Path) -> None:
        self.name = method.name
        self.folder = plan.stage_dir(method.name, output)
        self.settings = plan.settings(method)
        self.files = [str(bundles_dir() / file) for file in (f"{method.bundle}.json", *self.settings["overlays"])]
        places: dict[str, str | Path] = {"dataset_dir": dataset_dir, "output_dir": output, "stage_dir": self.folder}
        self.overrides = {name: literal_path(place) for name, place in places.items()}
        if method.bundle == Stage.STUDENT and method.after:
            self.overrides["teacher_dir"] = literal_path(plan.stage_dir(method.after, output))

    def __call__(self) -> None:
        begin = time.monotonic()
        try:
            run_bundle(run_id="training", config_file=self.files, **self.overrides, **self.settings["overrides"])
        except Exception as error:  # MONAI wraps what a config raises; the innermost error says what is wrong
            cause = expected_cause(error) or _innermost(error)
            raise StudyError("", f"training {self.name} failed: {cause}") from error
        if not present_model(model := self.folder / MODEL_FILE).is_file():
            raise StudyError("", f"training {self.name} left no {model}")
        minutes = round((time.monotonic() - begin) / 60, 2)
        write_json(self.folder / DONE_FILE, {"settings": self.settings, "minutes": minutes})


def _innermost(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _in_order(
    graph: Mapping[str, set[str]], jobs: Mapping[str, _Job], submit: Callable[[_Job], Future[None]]
) -> Iterator[str]:
    """Submit every job as soon as what it builds on is done; yield the names as they are done."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    running: dict[Future[None], str] = {}
    while sorter.is_active():
        running |= {submit(jobs[name]): name for name in sorter.get_ready()}
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
            sorter.done(name := running.pop(future))
            yield name


@contextmanager
def _side_by_side(workers: int) -> Iterator[Callable[[_Job], Future[None]]]:
    """Give a function that runs a job: in this process, or in one of several."""
    if workers == 1:
        yield _run_here
        return
    with worker_pool(workers) as pool:
        try:
            yield lambda job: pool.submit(_run_logged, job)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_here(job: _Job) -> Future[None]:
    future: Future[None] = Future()
    job()
    future.set_result(None)
    return future


def _run_logged(job: _Job) -> None:
    """Run a job in its own process, what it prints in its own file: several progress bars make no readable screen."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / LOG_FILE).open("w", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    job()
