"""Completing a cohort: what is made, from what, how it is marked, and that one bad case costs nobody else anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas
import pytest

from utad_monai.apps.complete import MANIFEST_FILE, VolumeSynthesizer
from utad_monai.apps.complete.intensities import CALIBRATION_FILE, measure_cohort
from utad_monai.data import Case, find_cases
from utad_monai.inferers import VolumeTranslator
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel

Make = Callable[..., Any]
FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def cohort(tmp_path: Path, write_case: Make) -> Path:
    """Three cases: one lacks T1, one lacks T1 and T2, one lacks nothing."""
    root = tmp_path / "cohort"
    write_case(root, "a", [FLAIR, T1CE, T2], seed=1)
    write_case(root, "b", [FLAIR, T1CE], seed=2)
    write_case(root, "c", seed=3)
    return root


@pytest.fixture
def synthesize(student_translator: TranslatorModel, tmp_path: Path) -> Make:
    """Give `synthesize(cases, folder, ...)`, which runs a synthesizer and returns it."""

    def _synthesize(
        cases: Sequence[Case], folder: str = "out", model: TranslatorModel = student_translator, **arguments: Any
    ) -> VolumeSynthesizer:
        how = {name: arguments.pop(name) for name in ("fusion", "flips", "uncertainty") if name in arguments}
        engine = VolumeSynthesizer(
            "cpu", list(cases), inferer=VolumeTranslator(model, **how), output_dir=tmp_path / folder, **arguments
        )
        engine.run()
        return engine

    return _synthesize


def rows(engine: VolumeSynthesizer) -> list[tuple[str, ...]]:
    """Return case, what was made, from what, and status of every line of the manifest on disk."""
    table = pandas.read_csv(engine.output_dir / MANIFEST_FILE, keep_default_na=False)
    return list(table[["case", "made", "sources", "status"]].itertuples(index=False, name=None))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def volumes(engine: VolumeSynthesizer) -> list[str]:
    return [name for name in content(engine.output_dir) if name.endswith(".nii.gz")]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def test_missing_modalities_are_made_and_no_others(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort))
    assert volumes(engine) == ["a/a_t1_synthetic.nii.gz", "b/b_t1_synthetic.nii.gz", "b/b_t2_synthetic.nii.gz"]
    assert rows(engine) == [
        ("a", "t1", "t2", "done"),
        ("b", "t1; t2", "flair; t1ce", "done"),
        ("c", "", "", "skipped"),
    ]
    assert not engine.refused
    engine.exit_when_refused()


def test_asked_modalities_are_made_even_where_they_exist(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort), targets=["t2", "flair"])
    assert [row[:2] for row in rows(engine)] == [(case, "t2; flair") for case in "abc"]
    assert len(volumes(engine)) == 6
    assert all(volume.target not in volume.sources for result in engine.results for volume in result.made)


def test_best_available_source_follows_the_models_errors(synthesize: Make, cohort: Path) -> None:
    results = synthesize(find_cases(cohort)).results
    used = {r.case_id: volume.sources for r in results for volume in r.made if volume.target == T1}
    assert used == {"a": ("t2",), "b": ("flair",)}


def test_asked_source_is_used_where_it_is_available_and_refused_where_it_is_not(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort), targets=["t1"], sources=["t2"])
    assert rows(engine) == [("a", "t1", "t2", "done"), ("b", "", "", "refused"), ("c", "t1", "t2", "done")]
    assert engine.refused[0].reasons == ("case b: t1: there is no source image to make t1 from",)
    with pytest.raises(SystemExit) as ending:
        engine.exit_when_refused()
    assert ending.value.code == 2


def test_several_sources_are_fused_when_asked(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort), fusion="mean", uncertainty=True)
    assert rows(engine)[0] == ("a", "t1", "flair+t1ce+t2", "done")
    assert (engine.output_dir / "a" / "a_t1_uncertainty.nii.gz").is_file()


def test_bad_case_is_refused_and_the_others_are_byte_equal_to_a_clean_run(synthesize: Make, cohort: Path) -> None:
    clean = content(synthesize(find_cases(cohort), "clean").output_dir)
    damage(cohort / "a" / "a_flair.nii.gz")
    engine = synthesize(find_cases(cohort), "damaged")
    assert [(row[0], row[3]) for row in rows(engine)] == [("a", "refused"), ("b", "done"), ("c", "skipped")]
    assert "a_flair.nii.gz" in engine.refused[0].reasons[0]
    others = {name: data for name, data in content(engine.output_dir).items() if name.startswith("b/")}
    assert others == {name: data for name, data in clean.items() if name.startswith("b/")}
    assert len(others) == 5
    with pytest.raises(SystemExit, match="2"):
        engine.exit_when_refused()


def test_damaged_segmentation_is_reported_and_changes_no_volume(synthesize: Make, cohort: Path) -> None:
    clean = content(synthesize(find_cases(cohort), "clean").output_dir)
    for name in "ab":
        damage(cohort / name / f"{name}_seg.nii.gz")
    damaged = synthesize(find_cases(cohort), "damaged")
    volumes = [name for name in clean if name.endswith("_synthetic.nii.gz")]
    assert volumes
    assert {name: content(damaged.output_dir)[name] for name in volumes} == {name: clean[name] for name in volumes}
    assert [(result.case_id, result.status) for result in damaged.results] == [
        ("a", "refused"),
        ("b", "refused"),
        ("c", "skipped"),
    ]
    assert all("_seg.nii.gz" in result.problems[0] for result in damaged.refused)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_rerun_gives_the_same_bytes(synthesize: Make, cohort: Path, dtype: str) -> None:
    first = content(synthesize(find_cases(cohort), "out", dtype=dtype).output_dir)
    assert content(synthesize(find_cases(cohort), "out", dtype=dtype).output_dir) == first
    assert content(synthesize(find_cases(cohort), "elsewhere", dtype=dtype).output_dir) == first


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_voxel_type_is_the_asked_one(synthesize: Make, cohort: Path, dtype: str) -> None:
    engine = synthesize(find_cases(cohort), dtype=dtype)
    for name in volumes(engine):
        assert nibabel.load(engine.output_dir / name).get_data_dtype() == np.dtype(dtype)


def test_nothing_is_written_into_the_cohort(synthesize: Make, cohort: Path) -> None:
    before = content(cohort)
    synthesize(find_cases(cohort), targets=list(Modality))
    assert content(cohort) == before


def test_manifest_names_files_that_exist(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort))
    table = pandas.read_csv(engine.output_dir / MANIFEST_FILE, keep_default_na=False)
    assert [name for names in table["files"] if names for name in names.split("; ")] == volumes(engine)


def test_model_that_a_phantom_taught_is_calibrated_on_the_loaders_cases(
    synthesize: Make, cohort: Path, student_translator: TranslatorModel
) -> None:
    histograms = dict.fromkeys(Modality, (1 / 256,) * 256)
    model = replace(student_translator, reference_histograms=histograms, target_windows={})
    engine = synthesize(find_cases(cohort), model=model)
    (volume,) = engine.results[0].made
    windows, _ = measure_cohort(find_cases(cohort), model.preprocessing, progress=False)
    assert volume.details["Settings"]["window"] == [windows[T1].lower, windows[T1].upper]
    assert volume.details["Settings"]["calibration"]["patients"] == 1
    assert (engine.output_dir / CALIBRATION_FILE).is_file()


@pytest.mark.parametrize("arguments", [{"targets": ["t3"]}, {"sources": ["pet"]}, {"intensities": "loud"}])
def test_unknown_words_are_refused_at_once(student_translator: TranslatorModel, tmp_path: Path, arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"t3|pet|loud"):
        VolumeSynthesizer("cpu", [], inferer=VolumeTranslator(student_translator), output_dir=tmp_path, **arguments)
