"""The Python door: translate one image, or complete a case, in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor

from utad_monai.apps.complete.completed_image import CompletedImage
from utad_monai.apps.complete.given_image import Array, Image, as_volume, grid_of, like_given, source_image
from utad_monai.apps.complete.intensities import CohortIntensities, calibration_on, measure_cohort
from utad_monai.apps.complete.provenance import WARNINGS, Provenance, meaning
from utad_monai.apps.complete.settings import CompletionSettings
from utad_monai.data.case_volumes import load_stored_images
from utad_monai.data.layouts import Case, find_cases
from utad_monai.data.layouts.unclaimed import unclaimed_warnings
from utad_monai.data.preprocessing import LoadedCase, normalise_volumes
from utad_monai.data.quality.finding import CohortError
from utad_monai.data.quality.guards import input_error, input_warnings
from utad_monai.data.sequences import modality_called
from utad_monai.inferers import SyntheticVolume, TranslationOptions, VolumeTranslator
from utad_monai.keys import IntensityRange, Modality, ModalitySet
from utad_monai.models import TranslatorModel, load_translator
from utad_monai.models.source_choice import usable_sources
from utad_monai.models.starter import is_starter, load_starter
from utad_monai.runtime.workers import default_device
from utad_monai.transforms import IntensityWindow, OrientLPS

_UNIT = IntensityWindow(0.0, 1.0)
_logger = logging.getLogger(__name__)


class Translator:
    """A student, ready to translate.

    Images must be skull-stripped (background 0) and, within a case, lie on one grid. What comes back is synthetic:
    computed, not measured, not for clinical use. `CompletedImage.save` writes it marked so, with its provenance.
    Modalities may be named in any case and as scanners and BraTS name them: `T1ce`, `t1c`, `T1Gd`.

    Args:
        model: the model and its preprocessing.
        device: where to compute; the first GPU, if there is one, when None.
        intensities: those of the model's training cohort, or [0, 1]; of a model that a phantom taught those of `cohort`
            where it is given, else [0, 1].
        batch_size: slices in one pass.
        cohort: what a model that a phantom taught is calibrated on.
        options: how translations become a volume; the model chooses what is left open.
        fields: of `TranslationOptions`, in the place of `options`, such as `uncertainty=True`.

    Raises:
        CheckpointError: when the model is a teacher.
        MissingLibraryError: when a library of the engine is missing.
        TypeError: for a field that there is not.
        ValueError: for an unknown word.

    Examples:
        >>> from utad_monai import Translator
        >>> translator = Translator.from_checkpoint("student/model.safetensors", uncertainty=True)
        >>> t2 = translator.translate("case/case_t1.nii.gz", source="t1", target="t2")
        >>> t2.shape, t2.affine.shape
        (torch.Size([1, 24, 20, 12]), torch.Size([4, 4]))
        >>> made = translator.complete({"t1": "case/case_t1.nii.gz", "flair": "case/case_flair.nii.gz"})
        >>> sorted(made)
        [<Modality.T1CE: 't1ce'>, <Modality.T2: 't2'>]
        >>> made["t1ce"].uncertainty.shape
        torch.Size([1, 24, 20, 12])
        >>> made["t1ce"].save("case_t1ce_synthetic.nii.gz").name
        'case_t1ce_synthetic.nii.gz'
    """

    def __init__(
        self,
        model: TranslatorModel,
        device: torch.device | str | None = None,
        *,
        intensities: IntensityRange | str = IntensityRange.TRAINING,
        batch_size: int = 8,
        cohort: CohortIntensities | None = None,
        options: TranslationOptions | None = None,
        **fields: Any,
    ) -> None:
        if IntensityRange(intensities) is IntensityRange.COHORT and cohort is None:
            raise ValueError("one case has no cohort to take intensities from: use training or unit")
        self.model = model
        self.unit = IntensityRange(intensities) is IntensityRange.UNIT
        self.cohort = cohort or CohortIntensities()
        self.volumes = VolumeTranslator(
            model,
            device or default_device(),
            batch_size=batch_size,
            options=options or TranslationOptions(**fields),
            calibration=self.cohort.calibration,
        )

    def __repr__(self) -> str:
        model, preprocessing = self.model, self.model.preprocessing
        kind = "starter" if is_starter(model) else model.training.get("stage", "student")
        sources = "several sources" if model.generator.several else "one source"
        height, width = preprocessing.image_size
        sizes = zip(preprocessing.frame_size_mm, preprocessing.image_size, strict=True)
        pixels = " x ".join(dict.fromkeys(f"{mm / count:.4g}" for mm, count in sizes))
        return (
            f"<Translator: {kind} of {sources}; {', '.join(model.modalities)}; "
            f"slices of {height} x {width} pixels of {pixels} mm; {self.volumes.slices.device}>"
        )

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> Translator:
        """Load a student from its model file or from a package's folder.

        Args:
            path: the file or folder.
            options: arguments of `Translator`.

        Raises:
            CheckpointError: when it is not a sound student of this project.
        """
        return cls(load_translator(path), **options)

    @classmethod
    def starter(cls, cohort: str | Path | None = None, workers: int = 1, **options: Any) -> Translator:
        """Load the starter weights that come with UTAD-MONAI: taught by a phantom alone, no patient was seen.

        Args:
            cohort: a cohort (folder or CSV table) whose intensities the translations are given; it is read once.
                Without one, and for modalities that it lacks, they get the average contrast of other patients that
                comes with the package, as the command does.
            workers: cases of the cohort that are read at a time.
            options: arguments of `Translator`.

        Raises:
            CheckpointError: when this installation has no starter weights.
            CohortError: when the cohort holds no case.
        """
        model = load_starter()
        cases = [] if cohort is None else find_cases(cohort, model.modalities)
        windows, histograms = measure_cohort(cases, model.preprocessing, workers, progress=False)
        return cls(model, cohort=CohortIntensities(windows, calibration_on(model, histograms)), **options)

    def translate(
        self,
        volume: Image,
        source: Modality | str,
        target: Modality | str,
        spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Array | MetaTensor:
        """Translate one image.

        Args:
            volume: the image.
            source: what it shows.
            target: what to make.
            spacing_mm: voxel size of an array; files and MetaTensors bring theirs.

        Returns:
            An array for an array, else a MetaTensor; shape and affine of the source, background 0.

        Raises:
            CheckpointError: when the model never saw the target.
            InvalidImageError: when the file is refused.
            ValueError: when the image cannot be used, or source and target are the same.
        """
        shown, wanted = (modality_called(name, self.model.modalities) for name in (source, target))
        given = {shown: as_volume(volume, spacing_mm)}
        made = self._make(self._load(given), wanted, (shown,))
        return like_given(volume, given[shown], made.volume)

    def complete(
        self,
        case: Case | str | Path | Mapping[Any, Image],
        spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
        *,
        ignore_unclaimed: bool = False,
        targets: Sequence[Modality | str] = (),
    ) -> dict[Modality, CompletedImage]:
        """Make every modality that a case lacks, but none that an image which no layout takes may be: the log names it.

        Args:
            case: a `Case`, the folder of one case, or its images by modality.
            spacing_mm: voxel size of arrays.
            ignore_unclaimed: whether to make those, too.
            targets: make these alone, of those that it lacks; all of them when empty.

        Raises:
            CohortError: when the folder holds no case, or several.
            CheckpointError: when the model never saw a modality that is missing.
            InvalidImageError: when a file is refused.
            ValueError: when the images cannot be used.
        """
        if isinstance(case, str | Path):
            case = _only_case(case, self.model.modalities)
        doubtful: set[Modality] = set()
        if isinstance(case, Case):
            for warning in unclaimed_warnings(case):
                _logger.warning("%s", warning)
            doubtful = {modality for image in case.unclaimed for modality in image.modalities}
            volumes = load_stored_images(case)
            images: Mapping[Modality, Image] = case.images
        else:
            images = _by_modality(case, self.model.modalities)
            volumes = {modality: as_volume(image, spacing_mm) for modality, image in images.items()}
        loaded = self._load(volumes)
        left = set() if ignore_unclaimed else doubtful
        asked = [modality_called(target, self.model.modalities) for target in targets] or self.model.modalities
        missing = [modality for modality in asked if modality not in volumes and modality not in left]
        name = case.case_id if isinstance(case, Case) else ""
        return {modality: self._completed(name, loaded, modality, images, volumes) for modality in missing}

    def _completed(
        self,
        name: str,
        loaded: LoadedCase,
        target: Modality,
        images: Mapping[Modality, Image],
        volumes: Mapping[Modality, MetaTensor],
    ) -> CompletedImage:
        made = self._make(loaded, target, ())
        image, volume = images[made.sources[0]], volumes[made.sources[0]]
        sources = usable_sources(target, list(images))
        settings = self._settings(target)
        warnings = input_warnings(loaded.only(sources), self.model.known_profiles, self.model.preprocessing)
        return CompletedImage(
            like_given(image, volume, made.volume),
            None if made.uncertainty is None else like_given(image, volume, made.uncertainty),
            made=made,
            provenance=Provenance(
                name,
                target,
                sources=tuple(source_image(source, images[source]) for source in sources),
                model_sha256=self.model.sha256,
                preprocessing=self.model.preprocessing.description(),
                training=dict(self.model.training),
                validation_errors=self.model.source_errors.get(target, {}),
                settings=settings.of_volume(self.volumes, target, self._window(target) or self.volumes.window(target)),
            ),
            grid=grid_of(image, volume),
            said={WARNINGS: [one.phrase for one in warnings]} | meaning(made, self.model, settings.intensities),
        )

    def _settings(self, target: Modality) -> CompletionSettings:
        """Return how a volume is made in the words of a completion."""
        known = IntensityRange.COHORT if target in self.cohort.windows else IntensityRange.TRAINING
        settings = CompletionSettings(
            options=self.volumes.options,
            intensities=IntensityRange.UNIT if self.unit else known,
            calibrate=bool(self.cohort.calibration.maps),
        )
        return settings.of_model(self.model, self.volumes.slices.device)

    def _load(self, volumes: Mapping[Modality, MetaTensor]) -> LoadedCase:
        oriented = {modality: OrientLPS()(volume) for modality, volume in volumes.items()}
        loaded = normalise_volumes(oriented, self.model.preprocessing)  # type: ignore[arg-type]  # MetaTensors stay so
        if error := input_error(loaded):
            raise ValueError(error.phrase)
        for warning in input_warnings(loaded, self.model.known_profiles, self.model.preprocessing):
            _logger.warning("%s", warning.phrase)
        return loaded

    def _make(self, loaded: LoadedCase, target: Modality, sources: tuple[Modality, ...]) -> SyntheticVolume:
        return self.volumes.translate(loaded, target, sources, self._window(target))

    def _window(self, target: Modality) -> IntensityWindow | None:
        """Return the intensities that a target is given; None for those of the model."""
        return _UNIT if self.unit else self.cohort.windows.get(target)


class MissingMRI:
    """Make an image that a patient lacks, called as `MissingMRI` of the `brats` package is.

    Images have the names of BraTS 2023: `t1n` is T1, `t1c` T1ce, `t2f` FLAIR and `t2w` T2. There is no container and
    nothing is downloaded: the starter weights come with the package.

    Args:
        translator: what makes the images; the starter when None.

    Raises:
        CheckpointError: when this installation has no starter weights.

    Examples:
        >>> from utad_monai import MissingMRI
        >>> path = MissingMRI().infer_single(
        ...     t1n="case/case_t1.nii.gz", t2f="case/case_flair.nii.gz", target="t2w", output_file="case-t2w.nii.gz"
        ... )
        >>> path.name
        'case-t2w.nii.gz'
    """

    def __init__(self, translator: Translator | None = None) -> None:
        self.translator = translator or Translator.starter()

    def __repr__(self) -> str:
        return f"MissingMRI({self.translator!r})"

    def infer_single(
        self,
        output_file: str | Path,
        *,
        t1n: Image | None = None,
        t1c: Image | None = None,
        t2f: Image | None = None,
        t2w: Image | None = None,
        target: Modality | str | None = None,
    ) -> Path:
        """Write one image that is missing, marked SYNTHETIC, with its sidecar beside it.

        Args:
            output_file: the image to write, ending in `.nii.gz`. A file that is there and not synthetic stays.
            t1n: T1; skull-stripped, as every image, and on the grid of the others.
            t1c: T1 with contrast agent.
            t2f: FLAIR.
            t2w: T2.
            target: which image to make; it may be left out where three are given.

        Returns:
            The path of the image.

        Raises:
            CheckpointError: when the model never saw the target.
            InvalidImageError: when a file is refused.
            OutputError: when the image cannot be written there.
            ValueError: when none or all images are given, several are missing and no target is named, or the target is
                given.
        """
        given = {"t1n": t1n, "t1c": t1c, "t2f": t2f, "t2w": t2w}
        missing = [name for name, image in given.items() if image is None]
        if not missing or len(missing) == len(given):
            raise ValueError(f"give 1 to 3 of {', '.join(given)}, not {len(given) - len(missing)}")
        if target is None and len(missing) > 1:
            raise ValueError(f"{', '.join(missing)} are missing: choose one, such as target={missing[0]!r}")
        modalities = self.translator.model.modalities
        wanted = modality_called(target or missing[0], modalities)
        if wanted not in [modality_called(name, modalities) for name in missing]:
            raise ValueError(f"{target} is given: choose one of {', '.join(missing)} as target")
        images = {name: image for name, image in given.items() if image is not None}
        return self.translator.complete(images, targets=[wanted])[wanted].save(output_file)


def _by_modality(images: Mapping[Any, Image], modalities: ModalitySet) -> dict[Modality, Image]:
    """Return images by what they show.

    Raises:
        ValueError: for a name that is none of the modalities, or two of one.
    """
    named: dict[Modality, Image] = {}
    for name, image in images.items():
        modality = modality_called(name, modalities)
        if modality in named:
            raise ValueError(f"two images are given as {modality}: give one")
        named[modality] = image
    return named


def _only_case(folder: str | Path, modalities: ModalitySet) -> Case:
    cases = find_cases(folder, modalities)
    if len(cases) != 1:
        raise CohortError.of(folder, f"holds {len(cases)} cases", "give the folder of one case")
    return cases[0]
