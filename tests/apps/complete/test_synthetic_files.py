"""Other voxels on a known grid."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from utad_monai.apps.complete import SyntheticFiles, write_volume
from utad_monai.apps.complete.provenance import Provenance, SourceImage, is_synthetic
from utad_monai.apps.complete.synthetic_files import write_compressed, write_on_grid
from utad_monai.data import Case, find_cases
from utad_monai.inferers import SyntheticVolume, VolumeTranslator
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, file_sha256
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import IntensityWindow


@pytest.fixture
def like(tmp_path: Path) -> Path:
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([1.5, -2, 3, 1]))
    image.header["descrip"], image.header["aux_file"] = b"hospital", b"name"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"patient"))
    nibabel.save(image, tmp_path / "like.nii.gz")
    return tmp_path / "like.nii.gz"


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 4)])
def test_affine_is_the_others_to_the_bit_and_voxels_are_exact(
    like: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 3
    made = nibabel.load(write_on_grid(tmp_path / "out" / "made.nii.gz", voxels, like, "text"))
    assert made.affine.tobytes() == nibabel.load(like).affine.tobytes()
    np.testing.assert_array_equal(np.asarray(made.dataobj), voxels)
    assert made.header["descrip"].tobytes().startswith(b"text\0")


@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("field", ["db_name", "intent_name", "aux_file", "data_type", "descrip", "extension"])
def test_no_name_of_a_person_goes_along(tmp_path: Path, form: Any, field: str) -> None:
    image = form(np.ones((4, 5, 6), np.int16), np.diag([1.5, -2, 3, 1]))
    if field == "extension":
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JOHN"))
    elif field in image.header:
        image.header[field] = b"DOE^JOHN"
    else:
        image.header["unused_str"] = b"DOE^JOHN"  # of NIfTI-2
    nibabel.save(image, tmp_path / "like.nii")
    path = write_on_grid(tmp_path / "made.nii.gz", np.zeros((4, 5, 6), np.uint8), tmp_path / "like.nii")
    assert b"DOE" in (tmp_path / "like.nii").read_bytes()
    assert b"DOE" not in gzip.decompress(path.read_bytes())


def test_what_describes_the_other_file_does_not_go_along(like: Path, tmp_path: Path) -> None:
    content = nibabel.load(write_on_grid(tmp_path / "made.nii.gz", np.zeros((4, 5, 6), np.uint8), like)).to_bytes()
    assert b"hospital" not in content
    assert b"name" not in content
    assert b"patient" not in content


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = write_compressed(tmp_path / "one.gz", b"abc" * 99), write_compressed(tmp_path / "two.gz", b"abc" * 99)
    assert one.read_bytes() == two.read_bytes()


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
def translate(student_translator: TranslatorModel, tmp_path: Path) -> Make:
    """Give `translate(case, ...)`, which writes the target made from the source and returns its path."""

    def _translate(
        case: Case, name: str = "made", model: TranslatorModel = student_translator, **arguments: Any
    ) -> Path:
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
    translate: Make, stored: Callable[[str], Case], student_translator: TranslatorModel
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


def test_narrow_window_is_written_as_float32_with_a_warning(
    translate: Make,
    stored: Callable[[str], Case],
    student_translator: TranslatorModel,
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


def test_unknown_voxel_type_is_refused(translate: Make, stored: Callable[[str], Case]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        translate(stored("LPS"), dtype="uint8")


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


@pytest.fixture
def files(tmp_path: Path) -> SyntheticFiles:
    sources = (SourceImage(SOURCE, "case_t2.nii.gz", sha256="aa" * 32),)
    provenance = Provenance(
        "case",
        TARGET,
        sources=sources,
        model_sha256="f" * 64,
        preprocessing={"image_size": [32, 32]},
        training={"epoch": 3},
    )
    return SyntheticFiles(tmp_path / "out", provenance)


@pytest.fixture
def made(
    student_translator: TranslatorModel, stored: Callable[[str], Case]
) -> Callable[..., tuple[SyntheticVolume, Path]]:
    """Give `made(**arguments)`: a volume from a translator with these arguments, and the image it was made from."""

    case = stored("oblique")

    def _made(**arguments: Any) -> tuple[SyntheticVolume, Path]:
        volumes = VolumeTranslator(student_translator, **{"uncertainty": True, "flips": False} | arguments)
        return volumes.translate(volumes.load(case), TARGET), case.images[SOURCE]

    return _made


def test_image_and_sidecar_say_that_they_are_synthetic(files: SyntheticFiles, made: Make) -> None:
    volume, like = made()
    content = files.write(volume, like, "int16", {"Note": "x"})
    assert files.image.name == "case_t1ce_synthetic.nii.gz"
    header = nibabel.load(files.image).header
    assert is_synthetic(header)
    assert header["descrip"].tobytes().startswith(b"SYNTHETIC t1ce from t2")
    assert json.loads(files.sidecar.read_text()) == content
    assert content == files.provenance.sidecar({SOURCE: 1.0}) | {"Note": "x", "FileSha256": content["FileSha256"]}
    assert content["FileSha256"] == {files.image.name: file_sha256(files.image)}
    assert not files.uncertainty.exists()


def test_uncertainty_is_written_beside_it_and_marked_too(files: SyntheticFiles, made: Make) -> None:
    volume, like = made(flips=True)
    content = files.write(volume, like, "int16", {})
    spread = nibabel.load(files.uncertainty)
    assert is_synthetic(spread.header)
    assert b"uncertainty of t1ce" in spread.header["descrip"].tobytes()
    assert spread.get_data_dtype() == np.float32
    assert spread.affine.tobytes() == nibabel.load(like).affine.tobytes()
    assert set(content["FileSha256"]) == {files.image.name, files.uncertainty.name}


def test_finished_files_are_recognised(files: SyntheticFiles, made: Make) -> None:
    assert files.finished() is None
    content = files.write(*made(flips=True), "int16", {})
    assert files.finished() == content


@pytest.mark.parametrize("damage", ["image", "uncertainty", "sidecar"])
@pytest.mark.parametrize("how", ["missing", "changed"])
def test_files_that_are_not_whole_are_not_finished(files: SyntheticFiles, made: Make, damage: str, how: str) -> None:
    files.write(*made(flips=True), "int16", {})
    path: Path = getattr(files, damage)
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-2] + b"xx")
    assert files.finished() is None


def test_files_made_in_another_way_are_not_finished(files: SyntheticFiles, made: Make) -> None:
    files.write(*made(), "int16", {})
    other = SyntheticFiles(files.image.parent, replace(files.provenance, settings={"fusion": "mean"}))
    assert other.finished() is None


@pytest.mark.parametrize("content", ["[]", "7", '{"Fingerprint": 1}', "{", '{"Fingerprint": "x", "FileSha256": []}'])
def test_foreign_sidecar_is_not_finished(files: SyntheticFiles, content: str) -> None:
    files.sidecar.parent.mkdir()
    files.sidecar.write_text(content)
    assert files.finished() is None


def test_uncertainty_of_other_settings_is_removed(files: SyntheticFiles, made: Make) -> None:
    files.write(*made(flips=True), "int16", {})
    files.write(*made(), "int16", {})
    assert not files.uncertainty.exists()
    assert files.finished() is not None
