"""A whole cohort completed: planned, made side by side, accounted for, and handed on as a tree."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from utad_monai.apps.complete.case_completer import CaseCompleter, PlannedVolume
from utad_monai.apps.complete.intensities import (
    LEAST_PATIENTS,
    CohortIntensities,
    completion_intensities,
    kept_intensities,
)
from utad_monai.apps.complete.manifest import CaseResult, log_result, write_manifest
from utad_monai.apps.complete.patient import patient_case, refuse_unusable
from utad_monai.apps.complete.settings import (
    PARTS_FOLDER,
    CompletionSettings,
    Shard,
    ShardError,
    all_accounted,
    held_shard,
    read_accounts,
    write_account,
)
from utad_monai.apps.complete.trees import CompleteCase, Tree, write_tree
from utad_monai.apps.complete.yardsticks import beaten_pairs
from utad_monai.data.cohort import describe
from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.inferers import VolumeTranslator
from utad_monai.keys import CompletionStatus, FusionMethod, InferenceEngine, Modality, ModalitySet, Placing, TreeLayout
from utad_monai.models import TranslatorModel, load_translator
from utad_monai.models.stages import Stage, model_of_run
from utad_monai.models.starter import MEANING, is_starter, load_starter
from utad_monai.models.translator_model import refuse_other_modalities
from utad_monai.runtime.folder_lock import FolderInUseError, locked_folder
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.signals import leave_to_parent
from utad_monai.runtime.workers import one_torch_thread, worker_pool
from utad_monai.transforms import IntensityWindow

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Completion:
    """A way to complete a cohort.

    Attributes:
        dataset_dir: the cohort; or the images of one patient by modality.
        model: file (or package, folder or zip) of a student, or the folder of the run that trained it; None for the
            starter weights that come with UTAD-MONAI.
        output_dir: receives `synthetic/`, the manifest and the tree; outside the cohort.
        settings: what a volume is made of and how.
        workers: processes side by side, each with the model and one case in memory.
        batch_size: slices in one pass.
        device: where to compute.
        resume: whether what is finished is kept.
        tree: a layout in which the whole cohort is handed on, if any.
        placing: how files get into the tree.
        progress: whether to show progress bars.
        shard: the share of the cases that is completed, beside other processes; None for all. The last shard that ends
            writes manifest and tree.
        label_set: what segmentations mean: the name of a label set or a file; empty for what the cohort says.
        as_given: of one patient, whether an image may look like another modality than it is given as.
    """

    dataset_dir: str | Path | Mapping[Modality, Path]
    model: str | Path | None
    _: KW_ONLY
    output_dir: str | Path
    settings: CompletionSettings = field(default_factory=CompletionSettings)
    workers: int = 1
    batch_size: int = 8
    device: str = "cpu"
    resume: bool = True
    tree: TreeLayout | str = ""
    placing: Placing | str = Placing.LINK
    progress: bool = True
    shard: Shard | None = None
    label_set: str | Path = ""
    as_given: bool = False


@dataclass(frozen=True)
class Completed:
    """What became of a completion.

    Attributes:
        cohort: one line on what was found.
        results: one entry for each case, sorted by name.
        tree: the tree, if one was asked.
        waits: why the manifest is not written yet, where other shards are still at work.
    """

    cohort: str
    results: tuple[CaseResult, ...]
    _: KW_ONLY
    tree: Tree | None
    waits: str = ""

    def count(self, status: CompletionStatus) -> int:
        """Return the number of cases with a status."""
        return sum(result.status is status for result in self.results)

    @property
    def flawless(self) -> bool:
        """Whether nothing was refused."""
        return not self.count(CompletionStatus.REFUSED) and not (self.tree and self.tree.problems)


@dataclass(frozen=True)
class Plan:
    """What a completion would do.

    Attributes:
        cohort: one line on what was found.
        model: one line on what would translate.
        cases: for each case the modalities that would be made or kept.
        problems: files that are no case.
    """

    cohort: str
    model: str
    _: KW_ONLY
    cases: Mapping[str, tuple[PlannedVolume, ...]]
    problems: tuple[Finding, ...]


def plan_completion(completion: Completion) -> Plan:
    """Look what a completion would do; nothing is written and no image is opened, only hashed.

    Raises:
        CohortError: when there is no cohort, or output and cohort lie inside each other.
        CheckpointError: when the model cannot be used.
    """
    translator = _model(completion)
    _say_which(completion, translator)
    cohort, cases, problems = _find(completion, translator.modalities)
    settings = completion.settings.of_model(translator)
    known = kept_intensities(cases, translator, settings, completion.output_dir)
    completer = _completer(completion, translator, known or _not_measured(translator))
    planned = {case.case_id: completer.plan(case) for case in _share(completion, cases)}
    return Plan(cohort, _model_line(translator, settings, known), cases=planned, problems=problems)


def complete_cohort(completion: Completion) -> Completed:
    """Make every missing modality of every case; one bad case never stops the others.

    A repetition keeps what is finished and writes the same bytes.

    Raises:
        CohortError: when there is no cohort, or output and cohort lie inside each other.
        CheckpointError: when the model cannot be used.
        FolderInUseError: when another run writes to the output folder.
        OutputError: when the output folder cannot be written, or its disk is full.
    """
    translator = _model(completion)
    cohort, cases, problems = _find(completion, translator.modalities)
    _logger.info("%s", cohort)
    _say_which(completion, translator)
    if isinstance(completion.dataset_dir, Mapping):
        refuse_unusable(cases[0], translator.preprocessing, as_given=completion.as_given)
    _completer(completion, translator, CohortIntensities())  # what is wrong with it is said before a case is opened
    output_dir = Path(completion.output_dir)
    if completion.shard is not None:
        with held_shard(output_dir, [output_dir, output_dir / Stage.SYNTHETIC], completion.shard) as folder:
            intensities = _intensities(completion, cases, translator)
            account = partial(write_account, folder, protocol=_protocol(completion, translator, intensities))
            own = _complete(completion, translator, cases, intensities, account)
        try:
            return merge_shards(completion)  # the last one to end finds all accounts, and nobody at work
        except (FolderInUseError, ShardError) as error:
            return Completed(cohort, tuple(own), tree=None, waits=str(error))
    with locked_folder(output_dir), locked_folder(output_dir / Stage.SYNTHETIC):
        refused = _refused(problems)
        intensities = _intensities(completion, cases, translator)
        write = partial(write_manifest, output_dir, protocol=_protocol(completion, translator, intensities))
        results = _complete(completion, translator, cases, intensities, lambda results: write([*refused, *results]))
        shutil.rmtree(output_dir / PARTS_FOLDER, ignore_errors=True)  # older than this account
        tree = _tree(completion, cases, results)
    return Completed(cohort, _ordered([*refused, *results]), tree=tree)


def merge_shards(completion: Completion) -> Completed:
    """Write the manifest and the tree of a cohort that shards have completed; no case is opened.

    Raises:
        CheckpointError: when the model cannot be used.
        CohortError: when there is no cohort, or output and cohort lie inside each other.
        FolderInUseError: when a shard is still at work.
        OutputError: when the output folder cannot be written, or its disk is full.
        ShardError: when no shard accounts for a case, with this model and these settings.
    """
    translator, output_dir = _model(completion), Path(completion.output_dir)
    cohort, cases, problems = _find(completion, translator.modalities)
    kept = kept_intensities(cases, translator, completion.settings.of_model(translator), output_dir)
    protocol = _protocol(completion, translator, kept or CohortIntensities())
    with locked_folder(output_dir), locked_folder(output_dir / Stage.SYNTHETIC):
        accounts = read_accounts(output_dir, protocol)
        results = [*_refused(problems), *all_accounted([case.case_id for case in cases], accounts)]
        ordered = write_manifest(output_dir, results, protocol)
        tree = _tree(completion, cases, ordered)
    return Completed(cohort, tuple(ordered), tree=tree)


def _complete(
    completion: Completion,
    translator: TranslatorModel,
    cases: Sequence[Case],
    intensities: CohortIntensities,
    account: Callable[[Sequence[CaseResult]], object],
) -> list[CaseResult]:
    """Complete a share of the cases and account for what was done, also when it does not come to its end."""
    results: list[CaseResult] = []
    try:
        for result in _results(completion, translator, _share(completion, cases), intensities):
            log_result(result)
            results.append(result)
    finally:  # an interruption keeps the account of what was made
        account(results)
    return results


def _share(completion: Completion, cases: Sequence[Case]) -> Sequence[Case]:
    return cases if completion.shard is None else completion.shard.of(cases)


def _refused(problems: Sequence[Finding]) -> list[CaseResult]:
    results = [CaseResult.refused_at_once(problem) for problem in problems]
    for refused in results:
        log_result(refused)
    return results


def _ordered(results: Sequence[CaseResult]) -> tuple[CaseResult, ...]:
    return tuple(sorted(results, key=lambda result: result.case_id))


def _not_measured(translator: TranslatorModel) -> CohortIntensities:
    """Return what stands for a cohort's intensities in a plan that opens no image: nothing counts as finished."""
    return CohortIntensities(dict.fromkeys(translator.modalities, IntensityWindow(0.0, 1.0)))


def _find(completion: Completion, modalities: ModalitySet) -> tuple[str, Sequence[Case], tuple[Finding, ...]]:
    if isinstance(completion.dataset_dir, Mapping):
        case = patient_case(completion.dataset_dir, completion.output_dir, modalities)
        return f"one patient ({', '.join(case.images)}), called {case.case_id} after the output folder", [case], ()
    _refuse_nesting(Path(completion.dataset_dir), Path(completion.output_dir))
    found = look_for_cases(completion.dataset_dir, modalities, completion.label_set)
    if not found.cases:
        raise CohortError(found.problems)
    for warning in found.warnings:
        if not warning.case_id:  # those of a case stand in its result
            _logger.warning("%s", warning)
    return describe(list(found.cases), completion.dataset_dir), found.cases, found.problems


def _refuse_nesting(dataset_dir: Path, output_dir: Path) -> None:
    """Keep originals and results apart: neither may lie inside the other."""
    cohort = (dataset_dir.parent if dataset_dir.is_file() else dataset_dir).resolve()
    output = output_dir.resolve()
    if cohort.is_relative_to(output) or output.is_relative_to(cohort):
        reason = f"the output and the cohort {dataset_dir} lie inside each other"
        raise CohortError.of(output_dir, reason, "choose an output folder beside the cohort")


def _model(completion: Completion) -> TranslatorModel:
    """Return the student, or the starter where none is given; one of other modalities than the four fills no tree."""
    translator = load_starter() if completion.model is None else load_translator(model_of_run(completion.model))
    if completion.tree:
        refuse_other_modalities(completion.model or "the starter", translator, f"the tree {completion.tree}")
    return translator


def _say_which(completion: Completion, translator: TranslatorModel) -> None:
    """Name the model that was found in a run's folder."""
    if completion.model is not None and (found := model_of_run(completion.model)) != Path(completion.model):
        _logger.info("model: %s (the %s)", found, translator.training.get("stage", "model"))


def _model_line(
    translator: TranslatorModel, settings: CompletionSettings, intensities: CohortIntensities | None
) -> str:
    """Say what translates, and what gives its volumes their intensities; empty for a training's own intensities."""
    if not settings.calibrate and not is_starter(translator):
        return ""
    if is_starter(translator):
        name = MEANING
    else:
        name = "a model that was " + ("taught by a phantom" if translator.taught else "trained on a cohort")
    if not settings.calibrate:
        return f"{name}; not calibrated"
    if intensities is None:
        return f"{name}; to be calibrated on this cohort"
    maps = intensities.calibration.maps
    if not maps and not translator.taught:
        return f"{name}; not calibrated: no modality is shown by {LEAST_PATIENTS} patients of this cohort"
    found = ", ".join(f"{m} of {chosen.patients}" for m, chosen in maps.items() if not chosen.typical)
    lent = ", ".join(f"{m} of {chosen.patients}" for m, chosen in maps.items() if chosen.typical)
    line = f"{name}; calibrated on this cohort's patients ({found or 'none of them shows any modality'})"
    return f"{line}, and on the average that comes with UTAD-MONAI ({lent})" if lent else line


def _completer(completion: Completion, translator: TranslatorModel, intensities: CohortIntensities) -> CaseCompleter:
    settings = completion.settings.of_model(translator, completion.device)
    volumes = VolumeTranslator(
        translator,
        completion.device,
        batch_size=completion.batch_size,
        options=settings.options,
        threads=_threads(completion, settings),
        calibration=intensities.calibration,
    )
    output_dir, resume = Path(completion.output_dir), completion.resume
    folder = output_dir / Stage.SYNTHETIC
    return CaseCompleter(
        volumes,
        folder,
        settings=settings,
        windows=intensities.windows,
        resume=resume,
        manifest_dir=output_dir,
        beaten=beaten_pairs(translator, completion.model),
    )


def _threads(completion: Completion, settings: CompletionSettings) -> int:
    """Return the threads of a worker's engine: its share of the cores when its bytes do not depend on their number."""
    alone = settings.options.engine is not InferenceEngine.OPENVINO
    return 1 if alone else max(1, (os.cpu_count() or 1) // completion.workers)


def _intensities(completion: Completion, cases: Sequence[Case], translator: TranslatorModel) -> CohortIntensities:
    """Return the cohort's intensities as far as they are needed, and say what makes the volumes."""
    settings = completion.settings.of_model(translator, completion.device)
    fusion = completion.settings.options.fusion
    if translator.generator.several and fusion is not FusionMethod.BEST:
        _logger.warning("--fuse %s has no effect: this model takes all sources at once", fusion)
    found = completion_intensities(
        cases, translator, settings, completion.output_dir, completion.workers, progress=completion.progress
    )
    line = _model_line(translator, settings, found)
    if line:
        _logger.info("%s", line)
    return found


def _results(
    completion: Completion, translator: TranslatorModel, cases: Sequence[Case], intensities: CohortIntensities
) -> Iterator[CaseResult]:
    """Yield the result of each case, in this process or from several, in the order of the cases.

    Torch computes on one thread in each process: a volume has the same bytes whatever the number of workers and cores.
    """
    with ExitStack() as stack:
        stack.enter_context(one_torch_thread())
        if completion.workers <= 1:
            results: Iterator[CaseResult] = map(_completer(completion, translator, intensities).complete, cases)
        else:
            pool = stack.enter_context(
                worker_pool(completion.workers, _Worker.begin, (completion, intensities), threads=1)
            )
            results = pool.map(_Worker.complete, cases)
        yield from progress_bar(results, "Completing", total=len(cases), unit="case", show=completion.progress)


class _Worker:
    """What a worker process keeps between cases."""

    completer: CaseCompleter

    @classmethod
    def begin(cls, completion: Completion, intensities: CohortIntensities) -> None:
        leave_to_parent()
        cls.completer = _completer(completion, _model(completion), intensities)

    @classmethod
    def complete(cls, case: Case) -> CaseResult:
        return cls.completer.complete(case)


def _protocol(completion: Completion, translator: TranslatorModel, intensities: CohortIntensities) -> dict[str, Any]:
    settings = completion.settings.of_model(translator, completion.device)
    calibration = {"calibration": intensities.summary()} if settings.calibrate else {}
    line = _model_line(translator, settings, intensities)
    return {
        "model_sha256": translator.sha256,
        "model_training": dict(translator.training),
        "settings": settings.description(),
        "preprocessing": translator.preprocessing.description(),
        **calibration,
        **({"model": line} if line else {}),
    }


def _tree(completion: Completion, cases: Sequence[Case], results: Sequence[CaseResult]) -> Tree | None:
    """Write the tree of all cases that have four modalities now."""
    if not completion.tree:
        return None
    output_dir = Path(completion.output_dir)
    usable = [result for result in results if not result.refused]
    made = {r.case_id: {volume.target: output_dir / volume.file for volume in r.made} for r in usable}
    bad_segmentation = {result.case_id for result in usable if result.problems}
    complete = [
        CompleteCase(replace(case, segmentation=None) if case.case_id in bad_segmentation else case, made[case.case_id])
        for case in cases
        if case.case_id in made and all(missing in made[case.case_id] for missing in case.missing)
    ]
    return write_tree(complete, completion.tree, completion.placing, completion.output_dir, completion.progress)
