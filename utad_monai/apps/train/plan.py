"""Which stages a cohort can be given, with which settings, and what is left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from utad_monai.apps.train.preset import Preset
from utad_monai.bundle.configs import bundles_dir, has_key, literal_path, refuse_unknown_overrides
from utad_monai.bundle.run import override_texts, values_of
from utad_monai.bundle.trust import ConfigFileError
from utad_monai.data import PreparedCohort
from utad_monai.data.layouts import look_for_cases
from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import OnBadCase, Pairs, Split, TrainPreset
from utad_monai.models.stages import Stage, bundle_of
from utad_monai.runtime.console import counted

TRAININGS = (Stage.SEGMENTATION, Stage.TEACHER, Stage.STUDENT)
"""In their order: validations of teacher and student measure Dice by the segmentation network."""
_TITLES = {
    Stage.SEGMENTATION: "segmentation network on real images (it measures Dice)",
    Stage.TEACHER: "teacher, from the starter weights: images and tumour masks",
    Stage.STUDENT: "student, distilled from the teacher: needs no mask",
    Stage.EVALUATION: "evaluation",
}
_PLACES = ("dataset_dir", "output_dir", "stage_dir", "teacher_dir", "pairs")


@dataclass(frozen=True)
class TrainSettings:
    """What a user asks for.

    Attributes:
        dataset_dir: the cohort, a folder or a table.
        output_dir: receives everything.
        preset: the sizes, or `auto`.
        pairs: whether true targets of patients who have them are used.
        device: `auto`, or what torch calls it.
        on_bad_case: whether bad cases stop everything or are left out.
        label_set: what segmentations mean; empty for what the cohort says.
        overrides: of any key of the stages' configs, `--key value`.
    """

    dataset_dir: Path
    output_dir: Path
    _: KW_ONLY
    preset: TrainPreset = TrainPreset.AUTO
    pairs: Pairs = Pairs.AUTO
    device: str = "auto"
    on_bad_case: OnBadCase = OnBadCase.REFUSE
    label_set: str = ""
    overrides: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class StageRun:
    """One stage as `run_bundle` takes it.

    Attributes:
        stage: which.
        files: its bundle and overlays.
        given: its overrides.
    """

    stage: Stage
    files: tuple[Path, ...]
    _: KW_ONLY
    given: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What the stage is, in a few words."""
        return _TITLES[self.stage]

    @property
    def run_id(self) -> str:
        """What is run of its bundle."""
        return "training" if self.stage in TRAININGS else "run"

    @property
    def config(self) -> ConfigParser:
        """Its config with everything that overrides it, not yet parsed."""
        parser = ConfigParser()
        parser.read_config([str(file) for file in self.files])
        parser.update(dict(self.given))
        return parser


def stage_runs(settings: TrainSettings, preset: Preset, workers: int) -> dict[Stage, StageRun]:
    """Return every stage with its settings; an override goes to each stage that has its key.

    Args:
        settings: what the user asks for.
        preset: sizes and lengths.
        workers: cases that are prepared side by side.

    Raises:
        UnknownOverrideError: when no stage has the key of an override.
        WrongValueError: when a knob has a value that it must not have.
        ConfigFileError: when an override is none, or is what an option of the command says.
    """
    texts = override_texts(settings.overrides)
    for key in texts:
        if key in _PLACES:
            remedy = "see utad-monai train --help"
            raise ConfigFileError("", f"--{key} is chosen by the command's own arguments", remedy)
    common: dict[str, Any] = {
        "dataset_dir": literal_path(settings.dataset_dir),
        "output_dir": literal_path(settings.output_dir),
        "on_bad_case": str(settings.on_bad_case),
        "label_set": literal_path(settings.label_set),
        "pairs": str(settings.pairs),
        "workers": workers,
    } | ({} if settings.device == "auto" else {"device": settings.device})
    runs, known = {}, set[str]()
    for stage in (*TRAININGS, Stage.EVALUATION):
        overlays = preset.overlays if stage in TRAININGS else ()
        files = tuple(bundles_dir() / name for name in (f"{bundle_of(stage)}.json", *overlays))
        config = ConfigParser(config=ConfigParser.load_config_files([str(file) for file in files]))
        own = {key: text for key, text in texts.items() if has_key(config, key)}
        known |= set(own)
        wanted = {key: value for key, value in common.items() if has_key(config, key)}
        given = {**wanted, **preset.overrides.get(stage, {}), **values_of(config, own)}
        runs[stage] = StageRun(stage, files, given=given)
    if unknown := [f"--{key}={text}" for key, text in texts.items() if key not in known]:
        files = runs[Stage.TEACHER].files
        refuse_unknown_overrides(["run", "--config_file", str([str(file) for file in files]), *unknown])
    return runs


def refuse_untrainable(settings: TrainSettings) -> None:
    """Refuse a cohort that nothing can be trained on, before it is prepared.

    Raises:
        CohortError: when there is no case, or none with a segmentation.
    """
    found = look_for_cases(settings.dataset_dir, label_set=settings.label_set)
    if not found.cases:
        raise CohortError(found.problems)
    if all(case.segmentation is None for case in found.cases):
        reason = "no case has a segmentation (seg): nothing can be trained"
        remedy = f"utad-monai complete {settings.dataset_dir} --output OUT needs none: it uses the starter weights"
        raise CohortError.of(settings.dataset_dir, reason, remedy)


@dataclass(frozen=True)
class Plan:
    """What will be done with a cohort.

    Attributes:
        runs: the stages, in their order.
        notes: what is left out and why, and what pairs mean here, one line each.
    """

    runs: tuple[StageRun, ...]
    notes: tuple[str, ...]


def plan_of(cohort: PreparedCohort, runs: Mapping[Stage, StageRun], pairs: Pairs) -> Plan:
    """Decide what a prepared cohort allows.

    Args:
        cohort: the split, prepared cohort.
        runs: every stage.
        pairs: whether true targets may be used.
    """
    notes = [_pairs_note(cohort, pairs)]
    wanted = dict(runs)
    for split in (Split.TRAIN, Split.VALIDATION):
        if Stage.SEGMENTATION in wanted and not cohort.complete_cases(split):
            reason = f"no {split} case has all images and a segmentation"
            notes.append(f"left out: segmentation network, Dice, evaluation and report, because {reason}")
            del wanted[Stage.SEGMENTATION], wanted[Stage.EVALUATION]
    if Stage.EVALUATION in wanted and "split" not in wanted[Stage.EVALUATION].given:
        tested = next((s for s in (Split.TEST, Split.VALIDATION) if cohort.cases(s, with_segmentation=True)), None)
        run = wanted[Stage.EVALUATION]
        if tested is None:
            notes.append("left out: evaluation and report, because no test or validation case has a segmentation")
            del wanted[Stage.EVALUATION]
        else:
            wanted[Stage.EVALUATION] = StageRun(run.stage, run.files, given={**run.given, "split": str(tested)})
            if tested is not Split.TEST:
                notes.append("evaluated on the validation cases, because no test case has a segmentation")
    return Plan(tuple(wanted.values()), tuple(notes))


def _pairs_note(cohort: PreparedCohort, pairs: Pairs) -> str:
    cases = cohort.cases(Split.TRAIN, with_segmentation=True)
    patients = {case.patient_id for case in cases}
    having = {case.patient_id for case in cases if len(case.modalities) > 1}
    training = counted(len(patients), "training patient")
    if pairs is Pairs.NEVER:
        return f"pairs never: {training}, without looking at true targets (the paper's setting)"
    of_whom = f"of {training}" if len(having) < len(patients) else f"({training})"
    return f"pairs auto: trained with pairs of {counted(len(having), 'patient')} {of_whom}; --pairs never for none"
