"""What must hold of any grid, intensities and name: there and back is the same, and nothing leaves its folder."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from nibabel.orientations import inv_ornt_aff, ornt_transform
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from utad_monai.apps.complete import SyntheticFiles, write_volume
from utad_monai.apps.complete.provenance import Provenance
from utad_monai.data.layouts import look_for_cases
from utad_monai.data.quality.case_name import unsafe_name
from utad_monai.keys import Modality, VoxelType
from utad_monai.runtime.files import atomic_folder, atomic_path, remove_partials
from utad_monai.transforms import IntensityWindow, LoadNifti, OrientLPS, from_lps, read_nifti

SHAPE = (5, 4, 3)
FILE_NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=255
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
GRIDS = st.builds(
    lambda turn, spacing, origin, order, flips: _affine(turn, spacing, origin, order, flips),
    st.tuples(*[st.floats(-40, 40)] * 3),
    st.tuples(*[st.floats(0.3, 6)] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from((-1, 1))] * 3),
)


def _affine(
    turn: tuple[float, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    order: list[int],
    flips: tuple[int, ...],
) -> np.ndarray:
    """Return the affine of an oblique grid whose axes come in any order and direction; float32, as headers hold it."""
    turned = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ np.diag(spacing)
    stored = np.eye(4)
    stored[:3, :3], stored[:3, 3] = turned, origin
    ornt = np.stack([order, flips], axis=1)
    swapped = stored @ inv_ornt_aff(ornt_transform(ornt, [[0, 1], [1, 1], [2, 1]]), SHAPE)
    return swapped.astype(np.float32).astype(np.float64)


def _write(folder: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, 1)
    nibabel.save(image, folder / "image.nii.gz")
    return folder / "image.nii.gz"


@given(affine=GRIDS, seed=st.integers(0, 999))
def test_volume_made_in_lps_lies_on_the_grid_of_its_source(affine: np.ndarray, seed: int) -> None:
    voxels = np.random.default_rng(seed).integers(0, 1000, SHAPE).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        source = _write(Path(name), voxels, affine)
        oriented = OrientLPS()(LoadNifti()(source))
        made = write_volume(Path(name) / "made.nii.gz", oriented.numpy()[0], source, "text")
        read = read_nifti(made)
        assert read.affine.tobytes() == read_nifti(source).affine.tobytes()
        assert_array_equal(read.array, voxels)
    assert "".join(nibabel.aff2axcodes(oriented.affine.numpy())) == "LPS"
    assert_array_equal(from_lps(oriented.numpy()[0], affine), voxels)


@given(affine=GRIDS, corner=st.tuples(*[st.integers(0, size - 1) for size in SHAPE]))
def test_orientation_moves_no_point(affine: np.ndarray, corner: tuple[int, int, int]) -> None:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[corner] = 7
    with tempfile.TemporaryDirectory() as name:
        oriented = OrientLPS()(LoadNifti()(_write(Path(name), voxels, affine)))
    (place,) = np.argwhere(oriented.numpy()[0] == 7)
    world = affine @ [*corner, 1]
    assert_allclose(oriented.affine.numpy() @ [*place, 1], world, atol=1e-3)


@given(lower=st.floats(0, 1000), width=st.floats(300, 20000), seed=st.integers(0, 999))
def test_int16_costs_half_a_unit_at_most(lower: float, width: float, seed: int) -> None:
    normalised = np.random.default_rng(seed).uniform(-1, 1, SHAPE).astype(np.float32)
    normalised[0, 0, :2] = -1, 1
    import torch

    intensities = IntensityWindow(lower, lower + width).denormalise(torch.from_numpy(normalised)).numpy()
    assume(intensities.max() <= np.iinfo(np.int16).max)
    with tempfile.TemporaryDirectory() as name:
        source = _write(Path(name), np.ones(SHAPE, np.int16), np.diag([-1.0, -1, 1, 1]))
        whole = read_nifti(write_volume(Path(name) / "i.nii.gz", intensities, source, "")).array
        exact = read_nifti(write_volume(Path(name) / "f.nii.gz", intensities, source, "", VoxelType.FLOAT32)).array
    assert_array_equal(exact, intensities)
    assert np.abs(whole - intensities).max() <= 0.5 + 1e-3


@given(FILE_NAMES | st.just("患" * 85))
def test_any_file_name_can_be_written_and_leaves_nothing_beside_it(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inside" / name
        with atomic_path(path) as temporary:
            temporary.write_text("content")
        with atomic_folder(path.with_name("folder")) as other:
            (other / "file").touch()
        remove_partials(folder)
        assert {found.name for found in path.parent.iterdir()} == {name, "folder"} or name.startswith(".partial-")
        assert [found.name for found in Path(folder).iterdir()] == ["inside"]


@given(st.text(max_size=210) | st.text("./\\ a\x00\n:~é\u202e", max_size=12))
def test_no_case_name_leaves_the_output_folder(name: str) -> None:
    assume(not any("\ud800" <= character <= "\udfff" for character in name))
    with tempfile.TemporaryDirectory() as folder:
        cohort, output = Path(folder) / "cohort", Path(folder) / "out"
        cohort.mkdir()
        _write(cohort, np.ones(SHAPE, np.int16), np.eye(4))
        with (cohort / "cohort.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["case", "t1"], [name, "image.nii.gz"]])
        found = look_for_cases(cohort / "cohort.csv")
        assert len(found.cases) + bool(found.problems) == 1 or not name.strip()
        for case in found.cases:
            assert unsafe_name(case.case_id) == ""
            provenance = Provenance(
                case.case_id,
                Modality.T2,
                sources=(),
                model_sha256="",
                preprocessing={},
                training={},
                validation_errors={},
                settings={},
            )
            files = SyntheticFiles(output / case.case_id, provenance)
            for path in (files.image, files.uncertainty, files.sidecar):
                assert path.resolve().parent.parent == output.resolve()
                assert len(path.name.encode()) <= 255
