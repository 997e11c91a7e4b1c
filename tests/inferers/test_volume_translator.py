"""Whole volumes: the source's grid to the bit, nothing outside its brain, marked as synthetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from transforms import BRAIN_FLOOR, IntensityWindow
from utad_monai.checkpoints import CheckpointError, Translator
from utad_monai.completion import write_volume
from utad_monai.data import Case, Preprocessing, find_cases
from utad_monai.inferers import SliceTranslator, VolumeTranslator
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator

Make = Callable[..., Any]
SOURCE, TARGET = Modality.T2, Modality.T1CE
GEOMETRY = ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y")
GEOMETRY += ("qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units", "dim")
LPS = np.array([[-1.5, 0, 0, 18], [0, -1.5, 0, 15], [0, 0, 3, -18], [0, 0, 0, 1]], dtype=float)
RAS = np.diag([1.5, 1.5, 3.0, 1.0]) + np.array([[0, 0, 0, -18.3], [0, 0, 0, -15], [0, 0, 0, -18], [0] * 4])
TILT = np.array([[1, 0, 0, 0], [0, np.cos(0.2), -np.sin(0.2), 0], [0, np.sin(0.2), np.cos(0.2), 0], [0, 0, 0, 1]])
PERMUTED = np.array([[0, 0, 1.5, -18], [3.0, 0, 0, -15], [0, -1.5, 0, 18], [0, 0, 0, 1]], dtype=float)
STORAGE = {"LPS": LPS, "RAS": RAS, "oblique": TILT @ LPS, "permuted": PERMUTED, "oblique permuted": TILT @ PERMUTED}


@pytest.fixture
def translate(student_translator: Translator, tmp_path: Path) -> Make:
    """Give `translate(case, ...)`, which writes the target made from the source and returns its path."""

    def _translate(case: Case, name: str = "made", model: Translator = student_translator, **arguments: Any) -> Path:
        volumes = VolumeTranslator(model)
        made = volumes.translate(volumes.load(case), TARGET, (SOURCE,))
        return write_volume(tmp_path / f"{name}.nii.gz", made.volume, case.images[SOURCE], "SYNTHETIC", **arguments)

    return _translate


def one_case(root: Path) -> Case:
    (case,) = find_cases(root)
    return case


def voxels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(nibabel.load(path).dataobj)


@pytest.fixture
def stored(tmp_path: Path, write_case: Make) -> Callable[[str], Case]:
    """Give `stored(name)`: the same case, its voxels stored in the order of `STORAGE[name]`."""

    def _stored(name: str) -> Case:
        shape = (12, 20, 24) if "permuted" in name else (24, 20, 12)
        write_case(tmp_path / name, "case", [SOURCE], shape=shape, affine=STORAGE[name])
        return one_case(tmp_path / name)

    return _stored


@pytest.mark.parametrize("name", STORAGE)
def test_geometry_is_the_sources_to_the_bit(translate: Make, stored: Callable[[str], Case], name: str) -> None:
    case = stored(name)
    source, made = nibabel.load(case.images[SOURCE]), nibabel.load(translate(case))
    assert made.shape == source.shape
    assert made.affine.tobytes() == source.affine.tobytes()
    for field in GEOMETRY:
        assert made.header[field].tobytes() == source.header[field].tobytes(), field


@pytest.mark.parametrize("forms", [(1, 0), (0, 2), (1, 2), (3, 4)])
def test_both_forms_keep_their_codes_and_bits(
    translate: Make, stored: Callable[[str], Case], forms: tuple[int, int]
) -> None:
    case = stored("oblique")
    image = nibabel.load(case.images[SOURCE])
    voxel_data, affine = np.asarray(image.dataobj), image.affine
    shifted = affine + np.array([[0, 0, 0, 0.001]] * 3 + [[0] * 4])
    image = nibabel.Nifti1Image(voxel_data, None, image.header)
    image.header.set_qform(affine, code=forms[0])
    image.header.set_sform(shifted if forms[1] else None, code=forms[1])
    nibabel.save(image, case.images[SOURCE])
    source, made = nibabel.load(case.images[SOURCE]).header, nibabel.load(translate(case)).header
    assert (int(made["qform_code"]), int(made["sform_code"])) == forms
    for field in GEOMETRY:
        assert made[field].tobytes() == source[field].tobytes(), field


@pytest.mark.parametrize("name", ["RAS", "permuted"])
def test_voxel_order_of_the_file_does_not_change_the_result(
    translate: Make, stored: Callable[[str], Case], tmp_path: Path, name: str
) -> None:
    case = stored("LPS")
    source = nibabel.load(case.images[SOURCE])
    reordering = ornt_transform(io_orientation(source.affine), io_orientation(STORAGE[name]))
    (tmp_path / "reordered" / "case").mkdir(parents=True)
    nibabel.save(source.as_reoriented(reordering), tmp_path / "reordered" / "case" / "case_t2.nii.gz")
    made, reordered = translate(case), translate(one_case(tmp_path / "reordered"), "reordered")
    back = ornt_transform(io_orientation(STORAGE[name]), axcodes2ornt(("L", "P", "S")))
    assert not np.array_equal(voxels(made), voxels(reordered))
    np.testing.assert_array_equal(voxels(made), np.asarray(nibabel.load(reordered).as_reoriented(back).dataobj))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("name", STORAGE)
def test_outside_the_sources_brain_every_voxel_is_exactly_0(
    translate: Make, stored: Callable[[str], Case], name: str, dtype: str
) -> None:
    case = stored(name)
    made, source = voxels(translate(case, dtype=dtype)), voxels(case.images[SOURCE])
    assert bool((made[source == 0] == 0).all())
    assert bool((made[source != 0] > 0).all())
    assert made.dtype == np.dtype(dtype)


def test_paper_switch_for_the_background_paints_nothing_outside_the_brain_either(
    translate: Make, stored: Callable[[str], Case], student_translator: Translator
) -> None:
    torch.manual_seed(0)
    painter = TumourAwareGenerator(2, second_input="whole_image", keep_background=False).eval()
    case = stored("LPS")
    made = voxels(translate(case, model=replace(student_translator, generator=painter)))
    assert bool((made[voxels(case.images[SOURCE]) == 0] == 0).all())


def test_intensities_are_those_of_the_targets_window(translate: Make, stored: Callable[[str], Case]) -> None:
    made = voxels(translate(stored("LPS"), dtype="float32"))
    brain = made[made != 0]
    assert float(brain.min()) >= 40
    assert float(brain.max()) <= 900 + TARGET.channel
    assert float(np.ptp(brain)) > 10


def test_int16_is_the_rounded_float32(translate: Make, stored: Callable[[str], Case]) -> None:
    case = stored("RAS")
    exact, rounded = voxels(translate(case, "exact", dtype="float32")), voxels(translate(case, "rounded"))
    np.testing.assert_array_equal(rounded, np.rint(exact).astype(np.int16))


def test_volume_is_the_slices_translation_put_back(
    stored: Callable[[str], Case], student_translator: Translator
) -> None:
    unscaled = Preprocessing(frame_size_mm=(48, 48), image_size=(32, 32))
    model = replace(student_translator, preprocessing=unscaled)
    volumes, case = VolumeTranslator(model), stored("LPS")
    loaded = volumes.load(case)
    made = volumes.translate(loaded, TARGET, (SOURCE,)).volume
    image = loaded.images[SOURCE].as_tensor()[0]
    slices = torch.full((12, 32, 32), -1.0)
    row, column = (-start for start in loaded.placement.start)
    slices[:, row : row + 20, column : column + 24] = image.permute(2, 1, 0)
    translated = SliceTranslator(model.generator)(slices, TARGET)[:, row : row + 20, column : column + 24]
    expected = model.target_windows[TARGET].denormalise(translated.clamp_min(BRAIN_FLOOR)).permute(2, 1, 0)
    brain = (image > -1).numpy()
    np.testing.assert_allclose(made[brain], expected.numpy()[brain], rtol=1e-5)
    assert int(brain.sum()) > 500


def test_narrow_window_is_written_as_float32_with_a_warning(
    translate: Make,
    stored: Callable[[str], Case],
    student_translator: Translator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    narrow = replace(student_translator, target_windows={TARGET: IntensityWindow(0.0, 3.0)})
    path = translate(stored("LPS"), model=narrow)
    assert voxels(path).dtype == np.float32
    assert "too narrow for int16" in caplog.text


def test_same_input_gives_the_same_bytes(translate: Make, stored: Callable[[str], Case]) -> None:
    case = stored("oblique")
    first = translate(case).read_bytes()
    assert translate(case, "elsewhere").read_bytes() == first


def test_sources_scaling_display_range_and_extensions_are_not_inherited(
    translate: Make, stored: Callable[[str], Case]
) -> None:
    case = stored("LPS")
    plain = voxels(translate(case, "plain"))
    image = nibabel.load(case.images[SOURCE])
    header = image.header.copy()
    header["cal_max"], header["descrip"] = 500, b"hospital"
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"patient name"))
    scaled = nibabel.Nifti1Image(np.asarray(image.dataobj), None, header)
    scaled.header.set_slope_inter(2.0, 0.0)
    nibabel.save(scaled, case.images[SOURCE])
    path = translate(case, "made")
    made = nibabel.load(path)
    np.testing.assert_array_equal(np.asarray(made.dataobj), plain)
    assert not made.header.extensions
    assert float(made.header["cal_max"]) == 0
    assert b"patient" not in made.to_bytes()


@pytest.mark.parametrize("kind", ["nifti2", "big-endian"])
def test_unusual_but_sound_files_are_answered_in_kind(
    translate: Make, stored: Callable[[str], Case], kind: str
) -> None:
    case = stored("RAS")
    image = nibabel.load(case.images[SOURCE])
    plain = voxels(translate(case, "plain"))
    if kind == "nifti2":
        other: Any = nibabel.Nifti2Image(np.asarray(image.dataobj), image.affine)
    else:
        header = image.header.as_byteswapped(">")
        other = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(">i2"), None, header)
    nibabel.save(other, case.images[SOURCE])
    made = nibabel.load(translate(case))
    assert type(made) is type(other)
    assert made.affine.tobytes() == nibabel.load(case.images[SOURCE]).affine.tobytes()
    np.testing.assert_array_equal(np.asarray(made.dataobj), plain)


def test_corrupt_segmentation_does_not_matter(
    translate: Make, student_translator: Translator, tmp_path: Path, write_case: Make
) -> None:
    write_case(tmp_path / "seg", "case", [SOURCE])
    case = one_case(tmp_path / "seg")
    assert case.segmentation is not None
    clean = translate(case, "clean").read_bytes()
    case.segmentation.write_bytes(b"no segmentation at all")
    assert translate(case).read_bytes() == clean
    assert VolumeTranslator(student_translator).load(case).regions is None


def test_unknown_voxel_type_is_refused(translate: Make, stored: Callable[[str], Case]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        translate(stored("LPS"), dtype="uint8")


def test_modality_that_the_model_never_saw_is_refused(
    translate: Make, stored: Callable[[str], Case], student_translator: Translator
) -> None:
    with pytest.raises(CheckpointError, match="without t1ce images"):
        translate(stored("LPS"), model=replace(student_translator, target_windows={}))


def test_teacher_is_refused(student_translator: Translator) -> None:
    with pytest.raises(CheckpointError, match="teacher"):
        VolumeTranslator(replace(student_translator, generator=TumourAwareGenerator(2)))


def test_a_source_in_a_4d_file_gives_a_3d_image_on_its_grid(
    translate: Make, stored: Callable[[str], Case], tmp_path: Path
) -> None:
    case = stored("oblique")
    image = nibabel.load(case.images[SOURCE])
    volume = np.zeros((*image.shape, 4), np.int16)
    volume[...] = np.asarray(image.dataobj)[..., None]
    (tmp_path / "task" / "imagesTr").mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(volume, None, image.header), tmp_path / "task" / "imagesTr" / "case.nii.gz")
    made, expected = nibabel.load(translate(one_case(tmp_path / "task"))), nibabel.load(translate(case, "expected"))
    assert made.shape == image.shape
    assert int(made.header["dim"][0]) == 3
    assert made.affine.tobytes() == expected.affine.tobytes()
    np.testing.assert_array_equal(np.asarray(made.dataobj), np.asarray(expected.dataobj))
