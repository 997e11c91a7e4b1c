"""What to do after a stage, or before it: the commands, with the overlays and places that the user gave."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from utad_monai.models.stages import MODEL_FILE, Stage, bundle_of, model_path

OUTPUT = "output"
"""Where the bundles write when nobody says where."""
_PLACES = ("dataset_dir", "output_dir", "device", "on_bad_case", "label_set")
"""Overrides that every stage of a run is given alike."""
_TRAININGS = (Stage.SEGMENTATION, Stage.TEACHER, Stage.STUDENT)
_OF_ONE_BUNDLE = ("paired", "augmentation", "gap_tolerant")
_OF_TRANSLATORS = (*_OF_ONE_BUNDLE, "published")
"""Packaged overlays that the segmentation has no use for."""


def stage_command(stage: Stage, names: Sequence[str], given: Mapping[str, str]) -> str:
    """Return the command that runs a stage like the one that a user ran.

    Args:
        stage: which to run.
        names: the configs that the user named: a bundle, then overlays.
        given: the overrides that the user gave, as they were written.
    """
    words = [bundle_of(stage), *_overlays(stage, names)]
    places = [word for key in _PLACES if key in given for word in (f"--{key}", given[key])]
    return shlex.join(["utad-monai", "run", *words, *(["--", *places] if places else [])])


def _overlays(stage: Stage, names: Sequence[str]) -> list[str]:
    if stage not in _TRAININGS:
        return []
    crosses = (names[0] == Stage.SEGMENTATION) is not (stage == Stage.SEGMENTATION)
    unfit = _OF_TRANSLATORS if crosses else _OF_ONE_BUNDLE
    return [name for name in names[1:] if Path(name).stem not in unfit]


def next_commands(names: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Return what a user does after a bundle that ran to its end: the next stage, or what a finished model is for.

    Args:
        names: the configs that the user named: a bundle, then overlays.
        given: the overrides that the user gave, as they were written.
    """
    output = given.get("output_dir", OUTPUT)
    ran = Path(names[0]).stem
    cohort = given.get("dataset_dir", "COHORT")
    if ran == bundle_of(Stage.EVALUATION):
        return [shlex.join(["utad-monai", "report", output, *_cohort_option(given)])]
    if ran not in _TRAININGS:
        return []
    missing = [stage for stage in _TRAININGS if not model_path(output, stage).is_file()]
    commands = [stage_command(stage, names, given) for stage in (missing or [Stage.EVALUATION])[:1]]
    if Stage.STUDENT not in missing:
        student = str(Path(output) / Stage.STUDENT / MODEL_FILE)
        completed = str(Path(output) / "completed")
        commands.append(shlex.join(["utad-monai", "complete", cohort, "--model", student, "--output", completed]))
    return commands


def _cohort_option(given: Mapping[str, str]) -> list[str]:
    return ["--dataset", given["dataset_dir"]] if "dataset_dir" in given else []
