"""Smoothing from slice to slice touches neither background nor the plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from utad_monai.data import Case, CohortError, Preprocessing, find_cases
from utad_monai.data.preprocessing import LoadedCase
from utad_monai.inferers import SliceTranslator, SyntheticVolume, VolumeTranslator, smooth_through_plane
from utad_monai.keys import FusionMethod, Modality
from utad_monai.models import CheckpointError, TranslatorModel
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import BRAIN_FLOOR, IntensityWindow


def striped() -> torch.Tensor:
    slices = torch.full((12, 6, 6), -1.0)
    slices[1:11, 1:5, 1:5] = torch.tensor([0.2, 0.6] * 5)[:, None, None]
    return slices


def test_stripes_become_fainter_and_the_mean_stays() -> None:
    smooth = smooth_through_plane(striped(), 2.0, 1.0)
    brain = striped() > -1
    assert float(smooth[brain].std()) < 0.1 * float(striped()[brain].std())
    assert float(smooth[brain].mean()) == pytest.approx(0.4, abs=0.02)


def test_background_is_neither_changed_nor_mixed_in() -> None:
    smooth = smooth_through_plane(striped(), 3.0, 1.0)
    assert torch.equal(smooth > -1, striped() > -1)
    assert float(smooth[smooth > -1].min()) > 0.2
    assert bool((smooth[striped() == -1] == -1).all())


def test_sigma_is_in_mm() -> None:
    thick, thin = smooth_through_plane(striped(), 3.0, 3.0), smooth_through_plane(striped(), 1.0, 1.0)
    torch.testing.assert_close(thick, thin)


def test_inside_the_brain_it_is_the_gaussian_of_scipy() -> None:
    slices = torch.rand(9, 4, 4) - 0.5
    expected = gaussian_filter1d(slices.numpy(), 1.5, axis=0, mode="constant")
    shares = gaussian_filter1d(torch.ones(9, 4, 4).numpy(), 1.5, axis=0, mode="constant")
    torch.testing.assert_close(smooth_through_plane(slices, 1.5, 1.0), torch.from_numpy(expected / shares))


def test_zero_changes_nothing_and_negative_is_refused() -> None:
    assert smooth_through_plane(striped(), 0.0, 1.0) is not None
    assert torch.equal(smooth_through_plane(striped(), 0.0, 1.0), striped())
    with pytest.raises(ValueError, match="at least 0"):
        smooth_through_plane(striped(), -1.0, 1.0)
    with pytest.raises(ValueError, match="slice_mm positive"):
        smooth_through_plane(striped(), 1.0, 0.0)


Make = Callable[..., Any]
FLAIR, T1, T1CE, T2 = Modality
SOURCE, TARGET = T2, T1CE
ERRORS = {T1CE: {T2: 0.1, T1: 0.2, FLAIR: 0.4}}


@pytest.fixture
def case(tmp_path: Path, write_case: Make) -> Case:
    write_case(tmp_path / "cohort", "case")
    (found,) = find_cases(tmp_path / "cohort")
    return found


@pytest.fixture
def model(student_translator: TranslatorModel) -> TranslatorModel:
    return replace(student_translator, source_errors=ERRORS)


@pytest.fixture
def loaded(model: TranslatorModel, case: Case) -> LoadedCase:
    return VolumeTranslator(model).load(case)


def make(model: TranslatorModel, loaded: LoadedCase, sources: Any = (), **arguments: Any) -> SyntheticVolume:
    return VolumeTranslator(model, **arguments).translate(loaded, TARGET, sources)


def unscaled(model: TranslatorModel, loaded: LoadedCase) -> tuple[TranslatorModel, LoadedCase]:
    """Return both with a frame of the volume's own voxels."""
    preprocessing = Preprocessing(frame_size_mm=(48, 48), image_size=(32, 32))
    placement = preprocessing.frame.place(loaded.brain, loaded.spacing_mm)
    return replace(model, preprocessing=preprocessing), replace(loaded, placement=placement)


def test_volume_is_the_slices_translation_put_back(case: Case, student_translator: TranslatorModel) -> None:
    model = replace(student_translator, preprocessing=Preprocessing(frame_size_mm=(48, 48), image_size=(32, 32)))
    volumes = VolumeTranslator(model)
    loaded = volumes.load(case)
    made = volumes.translate(loaded, TARGET, (SOURCE,)).volume
    image = loaded.images[SOURCE].as_tensor()[0]
    slices = torch.full((12, 32, 32), -1.0)
    row, column = (-start for start in loaded.placement.start)
    slices[:, row : row + 20, column : column + 24] = image.permute(2, 1, 0)
    translated = SliceTranslator(model.generator)({SOURCE: slices}, TARGET)[:, row : row + 20, column : column + 24]
    expected = model.target_windows[TARGET].denormalise(translated.clamp_min(BRAIN_FLOOR)).permute(2, 1, 0)
    brain = (image > -1).numpy()
    np.testing.assert_allclose(made[brain], expected.numpy()[brain], rtol=1e-5)
    assert int(brain.sum()) > 500


def test_best_fusion_is_the_translation_of_the_best_source(model: TranslatorModel, loaded: LoadedCase) -> None:
    made = make(model, loaded)
    assert made.sources == (T2,)
    np.testing.assert_array_equal(made.volume, make(model, loaded, (T2,)).volume)
    assert made.uncertainty is None
    np.testing.assert_array_equal(make(model, loaded, (FLAIR, T1)).volume, make(model, loaded, (T1,)).volume)


def test_best_fusion_with_uncertainty_looks_at_every_source_and_gives_the_same_image(
    model: TranslatorModel, loaded: LoadedCase
) -> None:
    made = make(model, loaded, uncertainty=True)
    assert made.weights == {FLAIR: 0.0, T1: 0.0, T2: 1.0}
    np.testing.assert_array_equal(made.volume, make(model, loaded).volume)
    assert made.uncertainty is not None


@pytest.mark.parametrize("fusion", [FusionMethod.MEAN, FusionMethod.WEIGHTED, FusionMethod.MEDIAN])
def test_fused_volume_lies_between_its_sources(
    model: TranslatorModel, loaded: LoadedCase, fusion: FusionMethod
) -> None:
    model, loaded = unscaled(model, loaded)  # resizing would mix pixels of different sources
    made = make(model, loaded, fusion=fusion)
    single = np.stack([make(model, loaded, (source,)).volume for source in (FLAIR, T1, T2)])
    assert made.sources == (FLAIR, T1, T2)
    inside = (single > 0).all(axis=0)
    assert bool((made.volume >= single.min(axis=0) - 1)[inside].all())
    assert bool((made.volume <= single.max(axis=0) + 1)[inside].all())
    assert not any(np.array_equal(made.volume, volume) for volume in single)


def test_uncertainty_is_the_spread_of_the_translations_in_file_units(
    model: TranslatorModel, loaded: LoadedCase
) -> None:
    model, loaded = unscaled(model, loaded)
    made = make(model, loaded, fusion="mean", uncertainty=True)
    single = np.stack([make(model, loaded, (source,)).volume for source in (FLAIR, T1, T2)])
    assert made.uncertainty is not None
    inside = (single > 0).all(axis=0)
    np.testing.assert_allclose(made.uncertainty[inside], single.std(axis=0)[inside], atol=0.5)
    assert float(made.uncertainty[inside].max()) > 5
    assert bool((made.uncertainty[made.volume == 0] == 0).all())


def test_target_image_that_exists_is_not_looked_at(model: TranslatorModel, case: Case, loaded: LoadedCase) -> None:
    without = replace(case, images={m: path for m, path in case.images.items() if m is not TARGET})
    made, blind = make(model, loaded, fusion="mean"), make(model, VolumeTranslator(model).load(without), fusion="mean")
    np.testing.assert_array_equal(made.volume, blind.volume)


def test_flips_average_a_translation_with_that_of_the_mirror_image(model: TranslatorModel, loaded: LoadedCase) -> None:
    made = make(model, loaded, (SOURCE,), flips=True, uncertainty=True)
    plain = make(model, loaded, (SOURCE,))
    assert made.uncertainty is not None
    assert not np.array_equal(made.volume, plain.volume)
    mirrored = replace(loaded, images={SOURCE: loaded.images[SOURCE].flip(1)})
    back = make(model, mirrored, (SOURCE,), flips=True).volume[::-1]
    np.testing.assert_allclose(back, made.volume, atol=0.01)


def test_smoothing_brings_neighbouring_slices_together_and_says_so(model: TranslatorModel, loaded: LoadedCase) -> None:
    plain, smooth = make(model, loaded), make(model, loaded, smooth_mm=4.0)
    assert plain.through_plane.written == plain.through_plane.translated == smooth.through_plane.translated
    assert smooth.through_plane.written < smooth.through_plane.translated
    assert smooth.through_plane.sources == plain.through_plane.sources > 0
    assert not np.array_equal(plain.volume, smooth.volume)
    np.testing.assert_array_equal(plain.volume > 0, smooth.volume > 0)


def test_window_decides_the_intensities(model: TranslatorModel, loaded: LoadedCase) -> None:
    volumes = VolumeTranslator(model)
    trained, unit = volumes.translate(loaded, TARGET), volumes.translate(loaded, TARGET, (), IntensityWindow(0.0, 1.0))
    low, high = model.target_windows[TARGET].lower, model.target_windows[TARGET].upper
    brain = trained.volume > 0
    np.testing.assert_allclose((trained.volume[brain] - low) / (high - low), unit.volume[brain], atol=1e-5)
    assert 0 < float(unit.volume[brain].min()) <= float(unit.volume.max()) <= 1


def test_a_bad_segmentation_is_a_problem_of_its_file_alone(case: Case, student_translator: TranslatorModel) -> None:
    assert case.segmentation is not None
    case.segmentation.write_bytes(b"no segmentation at all")
    with pytest.raises(CohortError) as refusal:
        VolumeTranslator(student_translator).load(case)
    assert [problem.file for problem in refusal.value.problems] == [case.segmentation]
    assert VolumeTranslator(student_translator).load(replace(case, segmentation=None)).regions is None


def test_modality_that_the_model_never_saw_is_refused(loaded: LoadedCase, student_translator: TranslatorModel) -> None:
    with pytest.raises(CheckpointError, match="without t1ce images"):
        make(replace(student_translator, target_windows={}), loaded)


def test_weights_need_validation_errors(loaded: LoadedCase, student_translator: TranslatorModel) -> None:
    with pytest.raises(ValueError, match="stores no validation error"):
        make(replace(student_translator, source_errors={}), loaded, fusion="weighted")


def test_teacher_is_refused(student_translator: TranslatorModel) -> None:
    with pytest.raises(CheckpointError, match="teacher"):
        VolumeTranslator(replace(student_translator, generator=TumourAwareGenerator(2)))


def test_model_of_several_sources_uses_all_that_there_are_at_once(
    several_translator: TranslatorModel, loaded: LoadedCase
) -> None:
    model, loaded = unscaled(several_translator, loaded)
    volumes = VolumeTranslator(model)
    made = volumes.translate(loaded, TARGET)
    assert made.sources == (FLAIR, T1, T2)
    assert set(made.weights.values()) == {1 / 3}
    framed = {source: volumes._framed(loaded, source) for source in (FLAIR, T1, T2)}
    slices = SliceTranslator(model.generator)(framed, TARGET)
    expected = volumes._volume(loaded, slices, loaded.brain, volumes.window(TARGET))
    np.testing.assert_array_equal(made.volume, expected)
    assert not np.array_equal(made.volume, make(model, loaded, (T2,)).volume)
    assert not np.array_equal(made.volume, make(model, loaded, (FLAIR, T1)).volume)


def test_model_of_several_sources_has_nothing_to_fuse(several_translator: TranslatorModel, loaded: LoadedCase) -> None:
    expected = make(several_translator, loaded).volume
    for fusion in FusionMethod:
        made = make(several_translator, loaded, fusion=fusion)
        np.testing.assert_array_equal(made.volume, expected)


def test_uncertainty_of_several_sources_is_the_spread_of_single_ones_and_all(
    several_translator: TranslatorModel, loaded: LoadedCase
) -> None:
    model, loaded = unscaled(several_translator, loaded)
    made = make(model, loaded, uncertainty=True)
    each = [make(model, loaded, sources).volume for sources in ((), (FLAIR,), (T1,), (T2,))]
    assert made.uncertainty is not None
    np.testing.assert_array_equal(made.volume, each[0])
    inside = (np.stack(each) > 0).all(axis=0)
    np.testing.assert_allclose(made.uncertainty[inside], np.stack(each).std(axis=0)[inside], atol=2.0)
    assert float(made.uncertainty[inside].max()) > 5


def test_uncertainty_of_several_sources_is_made_only_when_it_is_asked_and_there_are_two(
    several_translator: TranslatorModel, loaded: LoadedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    translate = SliceTranslator.__call__
    monkeypatch.setattr(
        SliceTranslator,
        "__call__",
        lambda self, images, *rest: calls.append(len(images)) or translate(self, images, *rest),
    )
    assert make(several_translator, loaded).uncertainty is None
    assert make(several_translator, loaded, (T1,), uncertainty=True).uncertainty is None
    assert calls == [3, 1]
    assert make(several_translator, loaded, uncertainty=True).uncertainty is not None
    assert sorted(calls[2:]) == [1, 1, 1, 3]


def test_brain_of_several_sources_is_that_of_any(several_translator: TranslatorModel, loaded: LoadedCase) -> None:
    half = loaded.images[FLAIR].clone()
    half[:, :12] = -1.0
    other = loaded.images[T2].clone()
    other[:, 14:] = -1.0
    model, cut = unscaled(several_translator, replace(loaded, images={FLAIR: half, T2: other}))
    made = make(model, cut)
    np.testing.assert_array_equal(made.volume > 0, loaded.brain.numpy())


def test_mirror_image_of_several_sources_gives_the_mirrored_mean(
    several_translator: TranslatorModel, loaded: LoadedCase
) -> None:
    made = make(several_translator, loaded, flips=True)
    mirrored = replace(loaded, images={m: image.flip(1) for m, image in loaded.images.items()})
    back = make(several_translator, mirrored, flips=True).volume[::-1]
    np.testing.assert_allclose(back, made.volume, atol=0.01)
    assert made.uncertainty is None
    assert make(several_translator, loaded, flips=True, uncertainty=True).uncertainty is not None
