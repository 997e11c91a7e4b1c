"""Models on disk: weights plus the plain-data description that is needed to rebuild and use them."""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from transforms import IntensityWindow
from utad_monai import __version__
from utad_monai.atomic import atomic_path
from utad_monai.data.intensity_profile import IntensityProfile, profiles_as_data, profiles_from_data
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.keys import Modality
from utad_monai.networks import ModalityCritic, TumourAwareGenerator, critic_pair
from utad_monai.packaging.layout import weights_file
from utad_monai.source_choice import SourceErrors, best_source
from utad_monai.stages import Stage, existing_model

Arguments = ParamSpec("Arguments")
Model = TypeVar("Model")

_TRANSLATOR = "translator"
_SEGMENTER = "segmenter"
_FORMATS = {_TRANSLATOR: 2, _SEGMENTER: 1}
"""Raised whenever the description of a kind gets another form."""
_UNUSABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What rebuilding a network from a description of the wrong form raises."""


class CheckpointError(ValueError):
    """A model file that must not be used.

    Args:
        path: the file.
        reason: what is wrong, in a few words.
        remedy: what the user can do about it.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str = "use a model file written by this project") -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path}: checkpoint {reason}; {remedy}")


def _keeping_the_random_state(load: Callable[Arguments, Model]) -> Callable[Arguments, Model]:
    """Make a function that rebuilds networks leave torch's random state alone.

    Networks draw weights before they are filled; a training that also loads a model would otherwise draw other numbers
    than the same training that finds none.
    """

    @functools.wraps(load)
    def loading(*arguments: Arguments.args, **named: Arguments.kwargs) -> Model:
        with torch.random.fork_rng(devices=[]):
            return load(*arguments, **named)

    return loading


@dataclass(frozen=True)
class Translator:
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
        sha256: hash of the file it came from; empty before it is saved.
    """

    generator: TumourAwareGenerator
    preprocessing: Preprocessing
    target_windows: Mapping[Modality, IntensityWindow] = field(default_factory=dict)
    source_errors: SourceErrors = field(default_factory=dict)
    intensity_profiles: Mapping[Modality, IntensityProfile] = field(default_factory=dict)
    critics: tuple[ModalityCritic, ModalityCritic] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def best_source(self, target: Modality, available: tuple[Modality, ...]) -> Modality:
        """Return the available source with the smallest validation error; modality order decides between unknown ones.

        Raises:
            ValueError: when nothing but the target is available.
        """
        return best_source(self.source_errors, target, available)


def save_translator(path: str | Path, translator: Translator) -> None:
    """Write a translator to one file, atomically.

    Raises:
        CheckpointError: when a weight is not finite; an older file stays.
    """
    weights = {"generator": translator.generator.state_dict()}
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
    if translator.critics is not None:
        weights |= {f"critic_{place}": critic.state_dict() for place, critic in enumerate(translator.critics)}
        description["critic"] = translator.critics[0].description()
    _save(path, _TRANSLATOR, weights, description)


@_keeping_the_random_state
def load_translator(path: str | Path) -> Translator:
    """Read a translator; the file is data only, nothing in it can run, and torch's random state stays as it is.

    Args:
        path: a model file, or the folder of a package (`utad-monai package`), whose `models/model.pt` is hashed then.

    Raises:
        CheckpointError: when the file is not a sound translator of this project.
    """
    weights, description = _load(path, _TRANSLATOR)
    try:
        generator = TumourAwareGenerator(**description["generator"])
        preprocessing = Preprocessing.from_description(description["preprocessing"])
        windows = {Modality(m): IntensityWindow(*window) for m, window in description["target_windows"].items()}
        errors = {
            Modality(target): {Modality(source): float(error) for source, error in errors.items()}
            for target, errors in description["source_errors"].items()
        }
        profiles = profiles_from_data(description["intensity_profiles"])
        critics = _critics(path, weights, description)
        _fill(path, generator, weights["generator"])
    except CheckpointError:
        raise
    except _UNUSABLE as error:
        raise CheckpointError(path, f"has an unusable description ({error})") from error
    training = description.get("training", {})
    return Translator(
        generator, preprocessing, windows, errors, profiles, critics, training, file_sha256(weights_file(path))
    )


def _critics(
    path: str | Path, weights: Mapping[str, Any], description: Mapping[str, Any]
) -> tuple[ModalityCritic, ModalityCritic] | None:
    if "critic" not in description:
        return None
    pair = ModalityCritic(**description["critic"]), ModalityCritic(**description["critic"])
    for place, critic in enumerate(pair):
        _fill(path, critic, weights[f"critic_{place}"])
    return pair


@dataclass(frozen=True)
class Segmenter:
    """A trained segmentation network: some or all modalities in, WT, TC and ET out.

    Attributes:
        network: MONAI UNet, `(B, C, H, W)` in [-1, 1] to `(B, 3, H, W)` logits, in evaluation mode.
        preprocessing: what its inputs must have gone through.
        arguments: constructor arguments of the UNet.
        modalities: its C input channels; all four by default.
        sha256: hash of the file it came from; empty before it is saved.
    """

    network: nn.Module
    preprocessing: Preprocessing
    arguments: Mapping[str, Any]
    modalities: tuple[Modality, ...] = tuple(Modality)
    sha256: str = ""


def save_segmenter(path: str | Path, segmenter: Segmenter) -> None:
    """Write a segmentation network to one file, atomically.

    Raises:
        CheckpointError: when a weight is not finite; an older file stays.
    """
    description = {
        "unet": dict(segmenter.arguments),
        "preprocessing": segmenter.preprocessing.description(),
        "modalities": list(map(str, segmenter.modalities)),
    }
    _save(path, _SEGMENTER, {"network": segmenter.network.state_dict()}, description)


@_keeping_the_random_state
def load_segmenter(path: str | Path) -> Segmenter:
    """Read a segmentation network; the file is data only, nothing in it can run, torch's random state stays as it is.

    Raises:
        CheckpointError: when the file is not a sound segmentation network of this project.
    """
    weights, description = _load(path, _SEGMENTER)
    try:
        network = UNet(**description["unet"])
        modalities = tuple(map(Modality, description.get("modalities", Modality)))
        preprocessing = Preprocessing.from_description(description["preprocessing"])
        _fill(path, network, weights["network"])
    except CheckpointError:
        raise
    except _UNUSABLE as error:
        raise CheckpointError(path, f"has an unusable description ({error})") from error
    return Segmenter(network, preprocessing, description["unet"], modalities, file_sha256(path))


def load_stage(output_dir: str | Path, stage: Stage | str) -> Translator:
    """Read the translator that an earlier stage left in the output folder.

    Raises:
        MissingStageError: when that stage has not run, naming the command.
        CheckpointError: when its model is unusable.
    """
    return load_translator(existing_model(output_dir, stage))


def critics_for_student(teacher: Translator, warm_start: bool) -> tuple[ModalityCritic, ModalityCritic]:
    """Return the teacher's own critics, or fresh ones of the same architecture.

    Raises:
        CheckpointError: when the teacher was saved without critics.
    """
    if teacher.critics is None:
        raise CheckpointError("the teacher", "was saved without critics", "train it again")
    if warm_start:
        return teacher.critics
    return critic_pair(**teacher.critics[0].description())


def load_start_weights(
    path: str | Path, generator: TumourAwareGenerator, critics: tuple[ModalityCritic, ModalityCritic]
) -> bool:
    """Let a training begin from an earlier model's weights; tell whether it does.

    Args:
        path: a translator of the same architecture with its critics; empty for none.
        generator: receives the weights.
        critics: receive the weights.

    Raises:
        CheckpointError: when the file is unusable or of another architecture.
    """
    if not str(path):
        return False
    start = load_translator(path)
    pairs = zip((generator, *critics), (start.generator, *(start.critics or ())), strict=False)
    for network, source in pairs:
        _fill(path, network, source.state_dict())
        network.train()
    return True


def common_preprocessing(models: Sequence[Translator | Segmenter]) -> Preprocessing:
    """Return the preprocessing that all models were trained with.

    Raises:
        CheckpointError: when they differ: their results cannot be compared.
    """
    first, *others = (model.preprocessing for model in models)
    if any(other != first for other in others):
        raise CheckpointError("the models", "were trained with different preprocessing", "train all stages alike")
    return first


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save(path: str | Path, kind: str, weights: Mapping[str, Mapping[str, Tensor]], description: Any) -> None:
    for state in weights.values():
        _refuse_non_finite(path, state)
    content = {
        "format": _FORMATS[kind],
        "kind": kind,
        "version": __version__,
        "description": description,
        "weights": {name: {key: value.cpu() for key, value in state.items()} for name, state in weights.items()},
    }
    # a full disk is known as such only where torch does not open the file itself
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def read_translator_content(path: str | Path) -> dict[str, Any]:
    """Return all that a translator's file or package holds: format, kind, version, description and weights.

    Raises:
        CheckpointError: when it is no translator of this format.
    """
    return _content(path, _TRANSLATOR)


def _load(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = _content(path, kind)
    return content["weights"], content["description"]


def _content(path: str | Path, kind: str) -> dict[str, Any]:
    from utad_monai.packaging.content import packaged_content  # which needs this module

    content = packaged_content(path) if Path(path).is_dir() else read_weights_only(path)
    if not isinstance(content, dict) or not {"kind", "weights", "description"} <= set(content):
        raise CheckpointError(path, "has no description: unexpected or missing keys")
    if content["kind"] != kind or content.get("format") != _FORMATS[kind]:
        found = f"{content['kind']} of format {content.get('format')}"
        raise CheckpointError(path, f"is a {found}, not a {kind} of format {_FORMATS[kind]}")
    return content


def read_weights_only(path: str | Path) -> Any:
    """Read tensors and plain data from a torch file; anything that could run code is refused.

    Raises:
        CheckpointError: when the file is missing, damaged or holds more than data.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(path, "is missing", "check the path") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(path, "is unsafe or not a weights_only file: refused unread") from error
    except Exception as error:  # damaged bytes give IndexError, AssertionError, struct.error and more
        raise CheckpointError(path, "is truncated or corrupt", "restore it from a copy, or train again") from error


def _fill(path: str | Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = "does not fit its description (missing or unexpected weights, or a size mismatch in its state_dict)"
        raise CheckpointError(path, reason) from error
    _refuse_non_finite(path, weights)
    network.eval()


def _refuse_non_finite(path: str | Path, weights: Mapping[str, Tensor]) -> None:
    damaged = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if damaged:
        raise CheckpointError(path, f"has weights that are NaN or infinite ({damaged[0]})", "go back to a sound one")
