"""Completing a cohort: what is made, from what, how it is marked, and that one bad case costs nobody else anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas
import pytest

from utad_monai.checkpoints import CheckpointError, Translator
from utad_monai.data import Case, find_cases
from utad_monai.engines import VolumeSynthesizer
from utad_monai.engines.volume_synthesizer import MANIFEST_FILE
from utad_monai.inferers import VolumeTranslator
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator
from utad_monai.provenance import is_synthetic

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
def synthesize(student_translator: Translator, tmp_path: Path) -> Make:
    """Give `synthesize(cases, folder, ...)`, which runs a synthesizer and returns it."""

    def _synthesize(
        cases: Sequence[Case], folder: str = "out", model: Translator = student_translator, **arguments: Any
    ) -> VolumeSynthesizer:
        engine = VolumeSynthesizer("cpu", list(cases), VolumeTranslator(model), tmp_path / folder, **arguments)
        engine.run()
        return engine

    return _synthesize


def rows(engine: VolumeSynthesizer) -> list[tuple[str, ...]]:
    """Return case, target, source and status of every line of the manifest on disk."""
    table = pandas.read_csv(engine.output_dir / MANIFEST_FILE, keep_default_na=False)
    return list(table[["case", "target", "source", "status"]].itertuples(index=False, name=None))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def volumes(engine: VolumeSynthesizer) -> list[str]:
    return [name for name in content(engine.output_dir) if name.endswith(".nii.gz")]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def test_missing_modalities_are_made_and_no_others(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort))
    assert volumes(engine) == ["a/a_t1.nii.gz", "b/b_t1.nii.gz", "b/b_t2.nii.gz"]
    assert rows(engine) == [
        ("a", "t1", "t2", "done"),
        ("b", "t1", "flair", "done"),
        ("b", "t2", "flair", "done"),
        ("c", "", "", "skipped"),
    ]
    assert not engine.refused
    engine.exit_when_refused()


def test_asked_modalities_are_made_even_where_they_exist(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort), targets=["t2", "flair"])
    assert [row[:2] for row in rows(engine)] == [(case, target) for case in "abc" for target in ("t2", "flair")]
    assert len(volumes(engine)) == 6
    assert all(source != target for _, target, source, _ in rows(engine))


def test_best_available_source_follows_the_models_ranking(synthesize: Make, cohort: Path) -> None:
    used = {case: source for case, target, source, _ in rows(synthesize(find_cases(cohort))) if target == "t1"}
    assert used == {"a": "t2", "b": "flair"}


def test_asked_source_is_used_where_it_is_available_and_refused_where_it_is_not(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort), targets=["t1"], source="t2")
    assert rows(engine) == [("a", "t1", "t2", "done"), ("b", "t1", "", "refused"), ("c", "t1", "t2", "done")]
    assert "t2 is not available; the case has flair, t1ce" in engine.refused[0].reason
    with pytest.raises(SystemExit) as ending:
        engine.exit_when_refused()
    assert ending.value.code == 2


def test_source_that_is_the_target_is_refused(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort)[:1], targets=["t2"], source="t2")
    assert rows(engine) == [("a", "t2", "", "refused")]


def test_case_whose_only_image_is_the_target_is_refused(synthesize: Make, tmp_path: Path, write_case: Make) -> None:
    write_case(tmp_path / "lonely", "d", [T1])
    engine = synthesize(find_cases(tmp_path / "lonely"), targets=["t1"])
    assert rows(engine) == [("d", "t1", "", "refused")]
    assert "no source image" in engine.refused[0].reason


def test_target_that_the_model_never_saw_is_refused(
    synthesize: Make, cohort: Path, student_translator: Translator
) -> None:
    windows = {modality: w for modality, w in student_translator.target_windows.items() if modality != T1}
    engine = synthesize(find_cases(cohort), model=replace(student_translator, target_windows=windows))
    assert [row for row in rows(engine) if row[3] == "refused"] == [
        ("a", "t1", "", "refused"),
        ("b", "t1", "", "refused"),
    ]
    assert volumes(engine) == ["b/b_t2.nii.gz"]


def test_bad_case_is_refused_and_the_others_are_byte_equal_to_a_clean_run(synthesize: Make, cohort: Path) -> None:
    clean = content(synthesize(find_cases(cohort), "clean").output_dir)
    damage(cohort / "a" / "a_flair.nii.gz")
    engine = synthesize(find_cases(cohort), "damaged")
    assert [(row[0], row[3]) for row in rows(engine)] == [
        ("a", "refused"),
        ("b", "done"),
        ("b", "done"),
        ("c", "skipped"),
    ]
    assert "a_flair.nii.gz" in engine.refused[0].reason
    others = {name: data for name, data in content(engine.output_dir).items() if name.startswith("b/")}
    assert others == {name: data for name, data in clean.items() if name.startswith("b/")}
    assert len(others) == 4
    with pytest.raises(SystemExit, match="2"):
        engine.exit_when_refused()


def test_bad_case_has_one_refused_row_per_target(synthesize: Make, cohort: Path) -> None:
    damage(cohort / "b" / "b_flair.nii.gz")
    assert [row for row in rows(synthesize(find_cases(cohort))) if row[0] == "b"] == [
        ("b", "t1", "", "refused"),
        ("b", "t2", "", "refused"),
    ]


def test_segmentation_is_not_read(synthesize: Make, cohort: Path) -> None:
    clean = content(synthesize(find_cases(cohort), "clean").output_dir)
    for name in "ab":
        damage(cohort / name / f"{name}_seg.nii.gz")
    assert content(synthesize(find_cases(cohort), "damaged").output_dir) == clean


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


def test_volume_and_sidecar_say_what_they_are(synthesize: Make, cohort: Path, student_translator: Translator) -> None:
    engine = synthesize(find_cases(cohort))
    image = nibabel.load(engine.output_dir / "a" / "a_t1.nii.gz")
    assert is_synthetic(image.header)
    assert b"t1 from t2" in image.header["descrip"].tobytes()
    sidecar = json.loads((engine.output_dir / "a" / "a_t1.json").read_text())
    assert sidecar["Synthetic"] is True
    assert (sidecar["Case"], sidecar["Modality"], sidecar["SourceModality"]) == ("a", "t1", "t2")
    assert sidecar["Sources"] == ["a_t2.nii.gz"]
    assert sidecar["ModelSha256"] == student_translator.sha256
    assert len(sidecar["ModelSha256"]) == len(hashlib.sha256().hexdigest())
    assert sidecar["Preprocessing"] == student_translator.preprocessing.description()
    assert sidecar["Training"] == {"stage": "student"}


def test_teacher_is_refused(student_translator: Translator) -> None:
    with pytest.raises(CheckpointError, match=r"teacher.*give a student"):
        VolumeTranslator(replace(student_translator, generator=TumourAwareGenerator(2)))


def test_nothing_is_written_into_the_cohort(synthesize: Make, cohort: Path) -> None:
    before = content(cohort)
    synthesize(find_cases(cohort), targets=list(Modality))
    assert content(cohort) == before


def test_manifest_names_files_that_exist(synthesize: Make, cohort: Path) -> None:
    engine = synthesize(find_cases(cohort))
    table = pandas.read_csv(engine.output_dir / MANIFEST_FILE, keep_default_na=False)
    assert list(table.columns) == ["case", "target", "source", "status", "reason", "file"]
    assert [name for name in table["file"] if name] == volumes(engine)


@pytest.mark.parametrize("arguments", [{"targets": ["t3"]}, {"source": "pet"}])
def test_unknown_modality_is_refused_at_once(student_translator: Translator, tmp_path: Path, arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"t3|pet"):
        VolumeSynthesizer("cpu", [], VolumeTranslator(student_translator), tmp_path, **arguments)
