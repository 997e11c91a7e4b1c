"""What a study compares: methods and segmentation networks, each a configuration of the same engines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from utad_monai.bundle.configs import bundles_dir
from utad_monai.bundle.trust import UntrustedConfigError, refuse_untrusted_file
from utad_monai.data.quality.case_name import unsafe_name
from utad_monai.keys import Modality
from utad_monai.models.stages import Stage

TEACHER = "utad_teacher"
"""The method that students learn from."""
SEGMENTATION = "segmentation"
"""The segmentation network on four real modalities."""
AUGMENTED_SEGMENTATION = "segmentation_augmented"
"""The same, trained on real and synthetic images."""
TOLERANT_SEGMENTATION = "segmentation_tolerant"
"""The same, trained with modalities absent; a study's config may lack it."""

METHODS_DIR = "methods"
"""Folder of the study's output where every other training keeps its model."""
_NO_LIMIT = {"max_epochs": 100_000, "decay_epochs": 50_000}
"""Epochs of a training that ends by time: both are scaled to the minutes."""


@dataclass(frozen=True)
class StudyMethod:
    """One training: a bundle and what differs from it.

    Attributes:
        name: how it is called in the tables.
        bundle: `teacher`, `student` or `segmentation`.
        overlays: bundle files laid over it, by name.
        overrides: keys and values.
        note: what a reader must know of it.
        after: name of the training that it builds on; empty for none.
    """

    name: str
    bundle: str
    _: KW_ONLY
    overlays: Sequence[str] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    after: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """What a study compares.

    Attributes:
        reference: the method that all others are compared with; the segmentation is augmented with its images.
        methods: what is compared.
        segmenters: the networks that measure the methods.
        overlays: bundle files laid over every training.
        cohort_overrides: keys and values of every training: how the cohort is split and prepared.
        method_overrides: keys and values of every method: the common budget.
        segmenter_overrides: keys and values of every segmentation network.
        method_overlays: bundle files laid over every method, under `overlays`.
    """

    reference: str
    methods: tuple[StudyMethod, ...]
    _: KW_ONLY
    segmenters: tuple[StudyMethod, ...]
    overlays: tuple[str, ...] = ()
    cohort_overrides: Mapping[str, Any] = field(default_factory=dict)
    method_overrides: Mapping[str, Any] = field(default_factory=dict)
    segmenter_overrides: Mapping[str, Any] = field(default_factory=dict)
    method_overlays: tuple[str, ...] = ()

    @property
    def trainings(self) -> tuple[StudyMethod, ...]:
        """Everything that is trained."""
        return (*self.methods, *self.segmenters)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the methods that are neither a student nor a student's teacher."""
        teachers = {TEACHER, *(method.after for method in self.methods)}
        return tuple(method.name for method in self.methods if method.name not in teachers and not method.after)

    def settings(self, method: StudyMethod) -> dict[str, Any]:
        """Return the overlays and overrides of one training, as plain data."""
        segments = method.bundle == Stage.SEGMENTATION
        common = self.segmenter_overrides if segments else self.method_overrides
        first = () if segments else self.method_overlays
        return {
            "overlays": [*first, *self.overlays, *method.overlays],
            "overrides": {**self.cohort_overrides, **common, **method.overrides},
        }

    def stage_dir(self, name: str, output: Path) -> Path:
        """Return where a training keeps its model: teacher, student and segmentation where other bundles look."""
        places = {
            TEACHER: Stage.TEACHER,
            self.reference: Stage.STUDENT,
            SEGMENTATION: Stage.SEGMENTATION,
            TOLERANT_SEGMENTATION: Stage.TOLERANT,
        }
        return output / places[name] if name in places else output / METHODS_DIR / name


def single_segmentation(modality: Modality) -> str:
    """Return the name of the segmentation network that sees one modality only."""
    return f"{SEGMENTATION}_{modality}"


def load_plan(
    preset: str,
    methods: Sequence[str] = (),
    config_file: str | Path = "",
    cohort_overrides: Mapping[str, Any] | None = None,
    method_overrides: Mapping[str, Any] | None = None,
    *,
    segmenter_overrides: Mapping[str, Any] | None = None,
    minutes: float = 0.0,
    trusted: bool = False,
) -> StudyPlan:
    """Read a plan.

    Args:
        preset: a preset's name in the config.
        methods: names of the only methods to compare, the reference always among them; empty for all.
        config_file: a study config; the packaged `study.json` by default.
        cohort_overrides: keys and values laid over the preset's.
        method_overrides: keys and values laid over the preset's.
        segmenter_overrides: keys and values laid over the preset's.
        minutes: training time of every method, instead of the preset's number of epochs; 0 for the epochs.
        trusted: whether the config may hold code.

    Raises:
        UntrustedConfigError: when a config that is not trusted could run code or leave the study's folder.
        ValueError: when the preset or a method is unknown, or the minutes are negative.
    """
    path = Path(config_file) if config_file else bundles_dir() / "study.json"
    if config_file and not trusted:
        refuse_untrusted_file(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    _refuse_strange_names(content, path)
    if preset not in content["presets"]:
        raise ValueError(f"{path}: no preset {preset!r}; there are {', '.join(content['presets'])}")
    if minutes < 0:
        raise ValueError(f"minutes must not be negative, got {minutes}")
    known = {name: StudyMethod(name, **entry) for name, entry in content["methods"].items()}
    unknown = sorted(set(methods) - set(known))
    if unknown:
        raise ValueError(f"{path}: no method {', '.join(unknown)}; there are {', '.join(known)}")
    reference, common = content["reference"], content["presets"][preset]
    wanted = _with_what_they_build_on({*methods, reference} if methods else known, known)
    budget = {**_NO_LIMIT, "max_minutes": minutes} if minutes else {}
    return StudyPlan(
        reference,
        tuple(method for name, method in known.items() if name in wanted),
        segmenters=tuple(StudyMethod(name, **entry) for name, entry in content["segmenters"].items()),
        overlays=tuple(common["overlays"]),
        cohort_overrides={**common["cohort"], **(cohort_overrides or {})},
        method_overrides={**common["methods"], **(method_overrides or {}), **budget},
        segmenter_overrides={**common["segmenters"], **(segmenter_overrides or {})},
        method_overlays=tuple(common.get("method_overlays", ())),
    )


def _with_what_they_build_on(names: Iterable[str], known: Mapping[str, StudyMethod]) -> set[str]:
    wanted = set(names)
    while missing := {known[name].after for name in wanted if known[name].after} - wanted:
        wanted |= missing
    return wanted


def _refuse_strange_names(content: Mapping[str, Any], path: Path) -> None:
    """Refuse names that would lead out of the packaged bundles or of the study's folder."""
    trainings = [content["methods"], content["segmenters"]]
    entries = [entry for group in trainings for entry in group.values()]
    presets = content["presets"].values()
    overlays = [name for entry in (*entries, *presets) for name in entry.get("overlays", ())]
    overlays += [name for preset in presets for name in preset.get("method_overlays", ())]
    for name in (*overlays, *(f"{entry['bundle']}.json" for entry in entries)):
        if not (bundles_dir() / name).is_file() or Path(name).name != name:
            raise UntrustedConfigError(path, f"{name!r:.200} is no packaged bundle", f"name one of {bundles_dir()}")
    for name in (*content["methods"], *content["segmenters"]):
        if reason := unsafe_name(name):
            raise UntrustedConfigError(path, f"the name {name!r:.200} {reason}", "methods are folders, rename it")
