"""What must not be translated is refused, what was not trained for is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from utad_monai.data import find_cases
from utad_monai.data.preprocessing import LoadedCase, load_case
from utad_monai.data.quality.finding import FindingKind, Severity
from utad_monai.data.quality.guards import input_error, input_warnings
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel


@pytest.fixture
def loaded(student_translator: TranslatorModel, tmp_path: Path, write_case: Callable[..., Any]) -> LoadedCase:
    write_case(tmp_path / "cohort", "a", [Modality.T1, Modality.T2], seed=9)
    (case,) = find_cases(tmp_path / "cohort")
    return load_case(case, student_translator.preprocessing)


def with_image(loaded: LoadedCase, change: Callable[[torch.Tensor], torch.Tensor]) -> LoadedCase:
    image = loaded.images[Modality.T1]
    changed = MetaTensor(change(image.as_tensor()), affine=image.affine)
    return replace(loaded, images={**loaded.images, Modality.T1: changed})


def phrases(loaded: LoadedCase, model: TranslatorModel) -> list[str]:
    found = list(input_warnings(loaded, model.known_profiles, model.preprocessing))
    assert all(warning.severity is Severity.WARNING for warning in found)
    return [warning.phrase for warning in found]


def test_sound_case_is_not_refused(loaded: LoadedCase) -> None:
    assert input_error(loaded) is None


def test_image_without_background_is_refused(loaded: LoadedCase) -> None:
    error = input_error(with_image(loaded, lambda image: image.clamp_min(-0.9)))
    assert error is not None
    assert (error.severity, error.kind) == (Severity.ERROR, FindingKind.NOT_SKULL_STRIPPED)
    assert "t1 image has no background of 0 (0.0% of its voxels)" in error.text
    assert "skull-strip it" in error.remedy


def test_image_like_those_of_the_training_is_not_warned_of(
    loaded: LoadedCase, student_translator: TranslatorModel
) -> None:
    assert not [text for text in phrases(loaded, student_translator) if "unlike" in text]


def test_image_of_other_contrast_is_warned_of(loaded: LoadedCase, student_translator: TranslatorModel) -> None:
    inverted = with_image(loaded, lambda image: torch.where(image > -1, (-image).clamp(-0.99, 1), image))
    (text,) = [text for text in phrases(inverted, student_translator) if "unlike" in text]
    assert text.startswith("the t1 image is unlike the t1 images of the training cohort")


def test_modality_that_was_never_seen_is_warned_of(loaded: LoadedCase, student_translator: TranslatorModel) -> None:
    blind = replace(student_translator, intensity_profiles={})
    assert [text for text in phrases(loaded, blind) if "never saw t1 images" in text]


def test_model_that_a_phantom_taught_to_take_any_intensities_warns_of_none(
    loaded: LoadedCase, student_translator: TranslatorModel
) -> None:
    painted = {Modality.T1: (1 / 256,) * 256}
    taught = replace(student_translator, target_windows={}, intensity_profiles={}, reference_histograms=painted)
    assert not [text for text in phrases(loaded, taught) if "never saw" in text or "unlike" in text]
    trained_on = replace(student_translator, reference_histograms=painted)
    inverted = with_image(loaded, lambda image: torch.where(image > -1, (-image).clamp(-0.99, 1), image))
    assert [text for text in phrases(inverted, trained_on) if "unlike" in text]


@pytest.mark.parametrize(("scale", "said"), [(1.0, True), (5.0, False), (9.0, True)])
def test_brain_of_another_size_than_brains_have_is_warned_of(
    loaded: LoadedCase, student_translator: TranslatorModel, scale: float, said: bool
) -> None:
    images = {
        modality: MetaTensor(
            image.as_tensor(), affine=image.affine @ torch.diag(torch.tensor([scale] * 3 + [1.0])).double()
        )
        for modality, image in loaded.images.items()
    }
    texts = phrases(replace(loaded, images=images), student_translator)
    assert any("the brain measures" in text for text in texts) is said
