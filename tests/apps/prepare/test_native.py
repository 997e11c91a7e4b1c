"""Results on the prepared grid return to the raw grid, with their marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from utad_monai.apps.prepare.case_files import transform_file
from utad_monai.apps.prepare.geometry import affine_of, array_of
from utad_monai.apps.prepare.native import write_native
from utad_monai.apps.prepare.outcome import prepare_and_write
from utad_monai.apps.prepare.raw_cases import find_raw_cases
from utad_monai.apps.prepare.settings import BrainMaskMethod, PreparationSettings
from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import Modality
from utad_monai.transforms import read_nifti


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, raw_head: Any, scanner: Any) -> Path:
    """Give the prepared cohort of one case on the grid of BraTS; do not write into it."""
    root = tmp_path_factory.mktemp("native")
    scanner["write_raw_case"](root / "raw", "P1", raw_head)
    (case,) = find_raw_cases(root / "raw")
    assert not prepare_and_write(case, root / "out", PreparationSettings(brain_mask=BrainMaskMethod.OTSU)).problems
    return root / "out"


def result_of(prepared: Path, folder: Path, name: str, dtype: Any, **header: Any) -> Path:
    """Write a result on the prepared grid: the prepared T1ce as it is, with another name and header."""
    source = nibabel.load(prepared / "P1" / "P1_t1ce.nii.gz")
    image = nibabel.Nifti1Image(np.asarray(source.dataobj).astype(dtype), source.affine)
    for key, value in header.items():
        image.header[key] = value
    (folder / "P1").mkdir(parents=True, exist_ok=True)
    nibabel.save(image, folder / "P1" / name)
    return folder


def test_a_volume_sent_there_and_back_agrees_inside_the_brain(prepared: Path, tmp_path: Path, raw_head: Any) -> None:
    written = write_native(prepared, prepared, tmp_path, progress=False)
    assert [one.problem for one in written] == [None] * 5
    raw = raw_head.images[Modality.T1CE]
    back = nibabel.load(tmp_path / "P1" / "P1_t1ce.nii.gz")
    np.testing.assert_allclose(back.affine, affine_of(raw), atol=1e-4)
    assert back.shape == raw.GetSize()
    voxels, true = np.asarray(back.dataobj), array_of(raw)
    inside = ndimage.binary_erosion(voxels > 0, iterations=2)
    assert inside.sum() > 5000
    assert np.abs(voxels - true)[inside].mean() < 0.05 * true[inside].mean()


def test_labels_come_back_as_labels(prepared: Path, tmp_path: Path) -> None:
    write_native(prepared, prepared, tmp_path, progress=False)
    labels = nibabel.load(tmp_path / "P1" / "P1_seg.nii.gz")
    assert labels.get_data_dtype() == np.uint8
    assert set(np.unique(labels.dataobj)) == {0, 1, 2, 4}


def test_the_synthetic_mark_and_the_sidecar_go_along(prepared: Path, tmp_path: Path) -> None:
    results = result_of(prepared, tmp_path / "r", "P1_t2.nii.gz", np.int16, descrip=b"SYNTHETIC t2 from t1")
    (results / "P1" / "P1_t2.json").write_text(json.dumps({"Synthetic": True}))
    (one,) = write_native(prepared, results, tmp_path / "n", progress=False)
    assert one.file == tmp_path / "n" / "P1" / "P1_t2.nii.gz"
    back = nibabel.load(one.file)
    assert bytes(back.header["descrip"].tobytes()).startswith(b"SYNTHETIC t2 from t1")
    assert back.get_data_dtype() == np.int16
    assert json.loads((tmp_path / "n" / "P1" / "P1_t2.json").read_text()) == {"Synthetic": True}


def test_scaled_and_8_bit_results_keep_their_values(prepared: Path, tmp_path: Path) -> None:
    results = result_of(prepared, tmp_path / "r", "P1_x.nii.gz", np.int16, scl_slope=0.5, scl_inter=0.0)
    scaled = nibabel.load(results / "P1" / "P1_x.nii.gz")
    (one,) = write_native(prepared, results, tmp_path / "n", progress=False)
    back = nibabel.load(one.file)
    assert back.get_data_dtype() == np.float32
    assert np.asarray(back.dataobj).max() == pytest.approx(np.asarray(scaled.dataobj).max(), rel=0.1)
    result_of(prepared, tmp_path / "b", "P1_parts.nii", np.uint8)
    (one,) = write_native(prepared, tmp_path / "b", tmp_path / "n", progress=False)
    assert nibabel.load(one.file).get_data_dtype() == np.uint8


def test_another_raw_grid_can_be_asked_for(prepared: Path, tmp_path: Path, raw_head: Any) -> None:
    results = result_of(prepared, tmp_path / "r", "P1_t2.nii.gz", np.float32)
    (one,) = write_native(prepared, results, tmp_path / "n", Modality.FLAIR, progress=False)
    np.testing.assert_allclose(read_nifti(one.file).affine, affine_of(raw_head.images[Modality.FLAIR]), atol=1e-4)  # type: ignore[arg-type]


def test_results_that_do_not_fit_are_refused_one_by_one(prepared: Path, tmp_path: Path) -> None:
    results = result_of(prepared, tmp_path / "r", "P1_t2.nii.gz", np.float32)
    other = nibabel.Nifti1Image(np.ones((9, 9, 9), np.float32), np.eye(4))
    nibabel.save(other, results / "P1" / "P1_small.nii.gz")
    (results / "P2").mkdir()
    nibabel.save(other, results / "P2" / "P2_t1.nii.gz")
    done, unknown, small = sorted(
        write_native(prepared, results, tmp_path / "n", progress=False), key=lambda one: str(one.problem)
    )
    assert done.problem is None
    assert "does not lie on the prepared grid" in str(small.problem) + str(unknown.problem)
    assert "holds no report of a prepared case" in str(small.problem) + str(unknown.problem)


def test_a_missing_raw_grid_or_transform_is_named(prepared: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    results = result_of(prepared, tmp_path / "r", "P1_t2.nii.gz", np.float32)
    transform_file(copy, "P1", "t1ce").write_text("damaged")
    (one,) = write_native(copy, results, tmp_path / "n", progress=False)
    assert "cannot be read as a transform" in str(one.problem)
    report = copy / "preparation" / "P1" / "report.json"
    content = json.loads(report.read_text())
    del content["images"]["t1"]
    report.write_text(json.dumps(content))
    (one,) = write_native(copy, results, tmp_path / "n", Modality.T1, progress=False)
    assert "has no raw t1; choose one of flair, t1ce, t2" in str(one.problem)


def test_nothing_to_bring_back_or_no_place_for_it_is_an_error(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="holds no <case>"):
        write_native(prepared, tmp_path, tmp_path / "n", progress=False)
    with pytest.raises(CohortError, match="choose another --native-output"):
        write_native(prepared, prepared, prepared, progress=False)
