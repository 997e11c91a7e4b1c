"""Settings are checked once and stay plain."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from utad_monai.apps.complete import CompletionSettings
from utad_monai.inferers import TranslationOptions
from utad_monai.keys import FusionMethod, InferenceEngine, IntensityRange, Modality, VoxelType
from utad_monai.models import TranslatorModel
from utad_monai.networks import TumourAwareGenerator


def test_words_of_a_command_line_become_members() -> None:
    settings = CompletionSettings(targets=["t1"], sources=["t2"], intensities="cohort", dtype="float32")
    assert settings == CompletionSettings(
        targets=(Modality.T1,), sources=(Modality.T2,), intensities=IntensityRange.COHORT, dtype=VoxelType.FLOAT32
    )


def test_unit_intensities_are_never_rounded_to_integers() -> None:
    assert CompletionSettings(intensities="unit", dtype="int16").dtype is VoxelType.FLOAT32


@pytest.mark.parametrize("wrong", [{"targets": ["t9"]}, {"dtype": "uint8"}])
def test_unknown_words_are_refused(wrong: dict[str, object], student_translator: TranslatorModel) -> None:
    with pytest.raises(ValueError, match=r"t9|uint8"):
        CompletionSettings(**wrong).of_model(student_translator)  # type: ignore[arg-type]


def test_description_is_json_and_does_not_depend_on_which_targets_are_asked(
    student_translator: TranslatorModel,
) -> None:
    settings = CompletionSettings(targets=["t1"], options=TranslationOptions(fusion="median", smooth_mm=1.5)).of_model(
        student_translator
    )
    description = settings.description()
    assert json.loads(json.dumps(description)) == {
        "fusion": "median",
        "flips": False,
        "smooth_mm": 1.5,
        "uncertainty": False,
        "intensities": "training",
        "dtype": "int16",
        "engine": "torch",
    }
    other = CompletionSettings(calibrate=False, options=TranslationOptions(fusion="median", smooth_mm=1.5)).of_model(
        student_translator
    )
    assert description == other.description()


@pytest.mark.parametrize("taught", [False, True])
def test_model_decides_what_was_not_asked(student_translator: TranslatorModel, taught: bool) -> None:
    several = TumourAwareGenerator(2, "global_only", sources="several")
    model = replace(student_translator, generator=several)
    if taught:
        histograms = dict.fromkeys(Modality, (1 / 256,) * 256)
        model = replace(model, reference_histograms=histograms, target_windows={})
    settings = CompletionSettings(options=TranslationOptions(fusion="mean", engine="onnx")).of_model(model)
    assert settings.intensities is (IntensityRange.COHORT if taught else IntensityRange.TRAINING)
    assert settings.calibrate is taught
    assert settings.options.uncertainty is False
    assert settings.options.fusion is FusionMethod.BEST
    assert settings.options.engine is InferenceEngine.ONNX
    asked = CompletionSettings(intensities="unit", options=TranslationOptions(uncertainty=True)).of_model(model)
    assert (asked.options.uncertainty, asked.intensities) == (True, IntensityRange.UNIT)
    assert settings.of_model(model) == settings


def test_mirror_images_are_translated_by_the_starter_unless_something_else_is_asked(
    student_translator: TranslatorModel,
) -> None:
    starter = replace(student_translator, training={"stage": "starter"})
    for model, asked, expected in (
        (starter, None, True),
        (starter, False, False),
        (student_translator, None, False),
        (student_translator, True, True),
    ):
        assert (
            CompletionSettings(options=TranslationOptions(flips=asked)).of_model(model).description()["flips"]
            is expected
        )
