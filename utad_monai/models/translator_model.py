"""A trained generator on disk: weights plus the plain-data description that is needed to rebuild and use it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

from utad_monai.data.intensity import IntensityProfile, profiles_as_data, profiles_from_data
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.errors import CheckpointError
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet
from utad_monai.models.content import UNUSABLE, ModelKind, read_content, save_content
from utad_monai.models.filling import filled, refuse_absurd_preprocessing
from utad_monai.models.package_file import PackageFile, model_sha256
from utad_monai.models.source_choice import SourceErrors, best_source, usable_sources
from utad_monai.models.stages import present_model
from utad_monai.networks import ModalityCritic, StudentTranslator, TumourAwareGenerator
from utad_monai.transforms import IntensityWindow

HISTOGRAM_BINS = 256
"""Shares of [0, 1] in a reference histogram."""


@dataclass(frozen=True)
class TranslatorModel:
    """A trained generator and everything that its use depends on.

    Attributes:
        generator: the network, in evaluation mode.
        preprocessing: what its inputs must have gone through.
        target_windows: typical intensity window of each modality in the training cohort, in file units.
        source_errors: for each target the error of translations from each source on the validation split, less is
            better; it ranks and weighs sources.
        intensity_profiles: what the brain intensities of the training images of each modality look like.
        critics: the critics it was trained against (whole image, tumour image), if they were kept.
        training: how it was made: plain data for people and sidecars.
        reference_histograms: the intensities that the network paints healthy brain with, for each modality 256 shares
            of [0, 1]; a calibration starts from them. Of a network that was trained on a cohort: the cohort's.
        sha256: hash of the file it came from; empty before it is saved.
    """

    generator: TumourAwareGenerator
    preprocessing: Preprocessing
    _: KW_ONLY
    target_windows: Mapping[Modality, IntensityWindow] = field(default_factory=dict)
    source_errors: SourceErrors = field(default_factory=dict)
    intensity_profiles: Mapping[Modality, IntensityProfile] = field(default_factory=dict)
    critics: tuple[ModalityCritic, ModalityCritic] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    reference_histograms: Mapping[Modality, Sequence[float]] = field(default_factory=dict)
    sha256: str = ""

    @property
    def modalities(self) -> ModalitySet:
        """The modalities that it knows."""
        return self.preprocessing.modalities

    @property
    def taught(self) -> bool:
        """Whether a phantom taught it, and no cohort: it paints the phantom's contrast, in no file units."""
        return bool(self.reference_histograms) and not self.target_windows

    @property
    def known_profiles(self) -> Mapping[Modality, IntensityProfile] | None:
        """What the images of its training look like; None of a model that a phantom taught to take any."""
        return None if self.taught else self.intensity_profiles

    def best_source(self, target: Modality, available: tuple[Modality, ...]) -> Modality:
        """Return the available source with the smallest validation error (`utad_monai.models.source_choice`).

        Raises:
            ValueError: when nothing but the target is available.
        """
        return best_source(self.source_errors, target, available)

    def sources(self, target: Modality, available: Sequence[Modality]) -> tuple[Modality, ...]:
        """Return what a translation starts from: the best source, or all of a generator of several sources.

        Raises:
            ValueError: when nothing but the target is available.
        """
        usable = usable_sources(target, available)
        return usable if self.generator.several else (self.best_source(target, usable),)


def refuse_other_modalities(path: str | Path, translator: TranslatorModel, what: str) -> None:
    """Stop where something is about the four modalities alone.

    Args:
        path: the model's file, or where the model is used.
        translator: the model.
        what: what is about the four.

    Raises:
        CheckpointError: when the model knows others.
    """
    if translator.modalities != FOUR_MODALITIES:
        knows, four = ", ".join(translator.modalities), ", ".join(FOUR_MODALITIES)
        raise CheckpointError(path, f"knows {knows}, and {what} is of {four}", "do without")


def save_translator(path: str | Path, translator: TranslatorModel) -> None:
    """Write a translator to one safetensors file, atomically.

    Raises:
        CheckpointError: when a weight is not finite, or the description no plain data; an older file stays.
    """
    weights = {"generator": translator.generator.state_dict()}
    description = translator_description(translator)
    if translator.critics is not None:
        weights |= {f"critic_{place}": critic.state_dict() for place, critic in enumerate(translator.critics)}
        description["critic"] = translator.critics[0].description()
    save_content(path, ModelKind.TRANSLATOR, weights, description)


def translator_description(translator: TranslatorModel) -> dict[str, Any]:
    """Return everything about a translator but its weights and critics, as plain data."""
    description: dict[str, Any] = {
        "generator": translator.generator.description(),
        "preprocessing": translator.preprocessing.description(),
        "target_windows": {str(m): [w.lower, w.upper] for m, w in translator.target_windows.items()},
        "source_errors": {
            str(target): {str(source): float(error) for source, error in errors.items()}
            for target, errors in translator.source_errors.items()
        },
        "intensity_profiles": profiles_as_data(translator.intensity_profiles),
        "training": dict(translator.training),
    }
    if translator.reference_histograms:
        description["reference_histograms"] = {str(m): list(h) for m, h in translator.reference_histograms.items()}
    return description


def load_translator(path: str | Path) -> TranslatorModel:
    """Read a translator; the file is data only, nothing in it can run, and torch's random state stays as it is.

    Args:
        path: a model file (also `model.pt` of an earlier version), starter weights, or a package (`utad-monai
            package`): its folder, or a zip file of it. Of a package `models/model.pt` is hashed.

    Raises:
        CheckpointError: when the file is not a sound translator of this project.
    """
    path = present_model(path)
    content = read_content(path, ModelKind.TRANSLATOR)
    weights, description = content["weights"], content["description"]
    try:
        preprocessing = Preprocessing.from_description(description["preprocessing"])
        refuse_absurd_preprocessing(path, preprocessing)
        named = preprocessing.modalities.named
        windows = {named(m): _window(*window) for m, window in description["target_windows"].items()}
        errors = {
            named(target): {named(source): float(error) for source, error in errors.items()}
            for target, errors in description["source_errors"].items()
        }
        profiles = profiles_from_data(description["intensity_profiles"])
        generator = filled(path, lambda: TumourAwareGenerator(**description["generator"]), weights["generator"])
        if generator.modalities != len(preprocessing.modalities):
            raise ValueError(f"{generator.modalities} modalities, called {', '.join(preprocessing.modalities)}")
        critics = _critics(path, weights, description)
        training = dict(description.get("training", {}))
        histograms = {named(m): _histogram(h) for m, h in description.get("reference_histograms", {}).items()}
    except CheckpointError:
        raise
    except UNUSABLE as error:
        raise CheckpointError(path, f"has an unusable description ({error})") from error
    digest = model_sha256(path)
    return TranslatorModel(
        generator,
        preprocessing,
        target_windows=windows,
        source_errors=errors,
        intensity_profiles=profiles,
        critics=critics,
        training=training,
        reference_histograms=histograms,
        sha256=digest,
    )


def _window(lower: float, upper: float) -> IntensityWindow:
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise ValueError(f"the intensity window [{lower}, {upper}] is not finite")
    return IntensityWindow(lower, upper)


def _histogram(shares: Sequence[float]) -> tuple[float, ...]:
    histogram = tuple(map(float, shares))
    if (
        len(histogram) != HISTOGRAM_BINS
        or not all(share >= 0 for share in histogram)
        or not math.isfinite(sum(histogram))
    ):
        raise ValueError(f"a reference histogram needs {HISTOGRAM_BINS} shares of at least 0")
    return histogram


def _critics(
    path: str | Path, weights: Mapping[str, Any], description: Mapping[str, Any]
) -> tuple[ModalityCritic, ModalityCritic] | None:
    if "critic" not in description:
        return None
    first, second = (
        filled(path, lambda: ModalityCritic(**description["critic"]), weights[f"critic_{place}"]) for place in (0, 1)
    )
    return first, second


def fill_from_package(network: StudentTranslator, package: str | Path) -> TranslatorModel:
    """Load a package's weights into the network that its config built; `configs/inference.json` calls it.

    Args:
        network: `network_def`; its generator receives the weights and becomes part of the result.
        package: the package's folder.

    Returns:
        The translator whose generator is that of `network`.

    Raises:
        CheckpointError: when the package is unsound, or its two configs describe different networks.
    """
    translator = load_translator(package)
    if network.generator.description() != translator.generator.description():
        reason = f"describes another network than {PackageFile.TRANSLATOR.value}"
        raise CheckpointError(Path(package) / PackageFile.INFERENCE, reason, "write the package again")
    network.generator.load_state_dict(translator.generator.state_dict())
    network.eval()
    return replace(translator, generator=network.generator)
