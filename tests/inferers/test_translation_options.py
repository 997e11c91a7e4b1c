"""Options are checked once, stay plain, and leave to the model what it decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from utad_monai.inferers import TranslationOptions
from utad_monai.keys import FusionMethod, InferenceEngine
from utad_monai.models import TranslatorModel
from utad_monai.networks import TumourAwareGenerator


def test_words_of_a_command_line_become_members() -> None:
    asked = TranslationOptions(fusion="mean", engine="openvino")
    assert asked == TranslationOptions(fusion=FusionMethod.MEAN, engine=InferenceEngine.OPENVINO)


@pytest.mark.parametrize("wrong", [{"fusion": "vote"}, {"engine": "abacus"}, {"smooth_mm": -1.0}])
def test_unknown_words_and_negative_smoothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"vote|abacus|at least 0"):
        TranslationOptions(**wrong)  # type: ignore[arg-type]


def test_there_is_nothing_to_fuse_for_a_model_of_several_sources(student_translator: TranslatorModel) -> None:
    several = replace(student_translator, generator=TumourAwareGenerator(2, "global_only", sources="several"))
    asked = TranslationOptions(fusion="mean")
    assert asked.of_model(several).fusion is FusionMethod.BEST
    assert asked.of_model(student_translator).fusion is FusionMethod.MEAN


def test_disagreement_is_written_only_when_it_is_asked(student_translator: TranslatorModel) -> None:
    assert TranslationOptions(fusion="mean").of_model(student_translator).uncertainty is False
    assert TranslationOptions(uncertainty=True).of_model(student_translator).uncertainty is True


def test_what_the_model_decided_stays_when_it_is_asked_again(student_translator: TranslatorModel) -> None:
    chosen = TranslationOptions(engine="auto").of_model(student_translator)
    assert chosen.engine is not InferenceEngine.AUTO
    assert chosen.of_model(student_translator) == chosen
